"""A live stream's own time: when a frame was shown to the camera, as far as the stream tells, and when it is due here.

Timestamps and moments of arrival go in, on the camera's thread; pure. Streams that come in bursts (HLS, proxies,
Wi-Fi) are handed out at the pace of their timestamps, as late as their latest part needs, and no later for long.
"""

import math
from dataclasses import dataclass

# A longer step, or one back, is a fault in the timestamps (they wrap, or the camera's clock was set).
LONGEST_STEP_S = 10.0
# Timestamps that would have frames wait for longer are not of this world's seconds: arrival counts from then on.
LONGEST_HOLD_S = 15.0
# A stream whose frames are never so much later one than another is handed out as it comes: networks jitter.
NO_HOLD_S = 0.25
# Having been late once, a stream is played this much faster until it is on time again.
_CATCH_UP = 0.1
# How fast the best time that a frame ever took is forgotten: clocks drift apart by less.
_FORGET = 0.01
_LEAST_STEP_S = 1e-6


@dataclass(frozen=True, slots=True)
class Placed:
    """One frame. `at_s`: on the stream's unbroken time. `hold_s`: until it is due. `late_s`: how much later than the
    stream's quickest frame it is handed out; `came_late_s`: it came.
    """

    at_s: float
    hold_s: float
    late_s: float
    came_late_s: float = 0.0


class StreamClock:
    """Of one opening. Frames come in the order in which they are shown.

    `is_told`: whether the stream has timestamps at all; of pictures one after another libav makes some up.
    `longest_late_s`: nothing is held for the sake of frames that are later than that.
    """

    def __init__(self, *, is_told: bool = True, longest_late_s: float = math.inf) -> None:
        self._longest_late_s = longest_late_s
        self._is_trusted = is_told
        self._offset_s = 0.0  # from the stream's timestamps to its unbroken time
        self._next_offset_s = 0.0
        self._at_s: float | None = None
        self._arrived_s = 0.0
        self._latest_s = 0.0  # arrival less time: of the latest part of late, and of the quickest
        self._quickest_s = 0.0

    def place(self, stream_s: float | None, arrived_s: float, now_s: float, waited_s: float = math.inf) -> Placed:
        """The next frame: its timestamp in s (None: it has none), when its packet came, and what time it is.

        waited_s: for how long its packet was waited for. One that is late although it lay there already is late by this
        machine, which reads too slowly, not by its stream: nothing is held for the sake of such.
        """
        before_s = self._at_s
        at_s = self._time_of(stream_s, arrived_s)
        lag_s = arrived_s - at_s
        if before_s is None:
            self._latest_s = self._quickest_s = lag_s
        else:
            passed_s = max(0.0, arrived_s - self._arrived_s)
            self._latest_s = max(self._latest_s - _CATCH_UP * passed_s, min(lag_s, self._quickest_s))
            if waited_s >= NO_HOLD_S:
                self._latest_s = max(lag_s, self._latest_s)
            self._quickest_s = min(lag_s, self._quickest_s + _FORGET * passed_s)
            self._latest_s = min(self._latest_s, self._quickest_s + self._longest_late_s)
        self._at_s, self._arrived_s = at_s, max(arrived_s, self._arrived_s)
        hold_s = at_s + self._latest_s - now_s
        if hold_s > LONGEST_HOLD_S or self._latest_s - self._quickest_s > LONGEST_HOLD_S:
            self._is_trusted = False
            self._latest_s = self._quickest_s = lag_s
            hold_s = 0.0
        if self._latest_s - self._quickest_s <= NO_HOLD_S:
            hold_s = 0.0
        hold_s = max(0.0, hold_s)
        late_s = max(0.0, now_s + hold_s - at_s - self._quickest_s)
        return Placed(at_s, hold_s, late_s, lag_s - self._quickest_s)

    def due_s(self, stream_s: float | None) -> float | None:
        """When what is of this time is handed out, as far as the frames before it tell; None: they don't."""
        if stream_s is None or self._at_s is None or not self._is_trusted:
            return None
        return stream_s + self._offset_s + self._latest_s

    def _time_of(self, stream_s: float | None, arrived_s: float) -> float:
        if self._at_s is None:
            self._offset_s = self._next_offset_s = arrived_s - (arrived_s if stream_s is None else stream_s)
            return arrived_s
        if stream_s is not None and self._is_trusted:
            # One timestamp that is wrong changes nothing; the next one shows whether the clock was set.
            for offset_s in (self._offset_s, self._next_offset_s):
                at_s = stream_s + offset_s
                if self._at_s < at_s <= self._at_s + LONGEST_STEP_S:
                    self._offset_s = self._next_offset_s = offset_s
                    return at_s
        at_s = self._at_s + min(max(arrived_s - self._arrived_s, _LEAST_STEP_S), LONGEST_STEP_S)
        if stream_s is not None:
            self._next_offset_s = at_s - stream_s
        return at_s
