"""What a stream does of itself, and how it is watched for that: every frame, those that others need, or keyframes.

What each picture is and weighs goes in, on a camera's thread; a Watch comes out. Pure.
"""

from collections import deque
from dataclasses import dataclass
from typing import Literal

from streamer.ingest.decode_gate.picture_kind import PictureKind
from streamer.ingest.decode_gate.size_floor import SizeFloor

Way = Literal["all", "reference", "keyframes"]
Reason = Literal[
    "learning",
    "sizes_and_keyframes",
    "sizes_say_nothing",
    "sizes_unknown",
    "keyframes_far_apart",
    "intra_refresh",
    "no_timestamps",
]

# Networks and encoders jitter: an interval of 1 s is within a second.
_TOLERANCE, _JITTER_S = 1.1, 0.1
_INTERVALS = 5  # between keyframes, that are remembered; one has to be known
# What moves in a twentieth of the picture weighs about a twentieth of a keyframe; the floor has to show that.
# Clear it is where a fiftieth shows: whoever is near enough to be recognised moves more.
_SHARE, _CLEAR = 0.05, 0.02
# Leaving out pictures that nothing is made from has to spare something: from this share on, down to that.
_SPARED, _NOT_SPARED = 0.25, 0.15
_SMOOTHING = 0.02


@dataclass(frozen=True, slots=True)
class Watch:
    """How a stream is watched while nothing moves, and why so."""

    way: Way
    reason: Reason


class Habits:
    """Of one stream, across its laps. Times are seconds of the stream."""

    def __init__(self, wake_within_s: float) -> None:
        self._limit_s = wake_within_s * _TOLERANCE + _JITTER_S
        self._intervals: deque[float] = deque(maxlen=_INTERVALS)
        self.seen_s = 0.0
        self._since_entry_s = 0.0
        self._has_entry = self._has_refresh = self._is_untimed = False
        self._spared, self._is_spared = 0.0, False  # the share of pictures that nothing is made from
        self._entry_bytes = 0.0
        self.floors = {True: SizeFloor(), False: SizeFloor()}  # by whether others are made from it

    def saw(self, kind: PictureKind, size: int, step_s: float, *, is_untimed: bool = False) -> None:
        """The next picture, so long after the one before. is_untimed: its place in the order can't be known."""
        self.seen_s += step_s
        self._since_entry_s += step_s
        self._is_untimed = is_untimed
        self._spared += ((not kind.is_reference) - self._spared) * _SMOOTHING
        self._is_spared = self._spared > (_NOT_SPARED if self._is_spared else _SPARED)
        if kind.is_entry:
            if self._has_entry:
                self._intervals.append(self._since_entry_s)
            self._has_entry, self._since_entry_s = True, 0.0
            self._entry_bytes += (size - self._entry_bytes) * (0.25 if self._entry_bytes else 1.0)
            self._has_refresh = False
        elif kind.is_refresh:
            self._has_refresh = True

    def learn_quiet(self, kind: PictureKind, size: int) -> None:
        """A picture, no keyframe, in which nothing moved."""
        self.floors[kind.is_reference].learn(size)

    @property
    def keyframe_s(self) -> float | None:
        """The longest interval between keyframes lately, or since the last one; None before the first interval."""
        return max((*self._intervals, self._since_entry_s)) if self._intervals else None

    @property
    def is_overdue(self) -> bool:
        """Whether the next keyframe should have come."""
        return self._since_entry_s > self._limit_s

    @property
    def watch(self) -> Watch:
        if self._is_untimed:
            return self._fallback("no_timestamps")
        if self.is_overdue or any(interval_s > self._limit_s for interval_s in self._intervals):
            return self._fallback("intra_refresh" if self._has_refresh else "keyframes_far_apart")
        if not self._intervals:
            return Watch("all", "learning")
        share = self._least_share
        if share is None:
            return Watch("keyframes", "sizes_unknown")
        return Watch("keyframes", "sizes_and_keyframes" if share < _SHARE else "sizes_say_nothing")

    @property
    def is_clear(self) -> bool:
        """Whether sizes tell of all movement that matters."""
        share = self._least_share
        return share is not None and share < _CLEAR

    @property
    def _least_share(self) -> float | None:
        """In which share of the picture movement shows by its weight, about; None: not known yet."""
        lift = self.floors[True].lift
        return None if lift is None else lift / self._entry_bytes

    def _fallback(self, reason: Reason) -> Watch:
        return Watch("reference" if self._is_spared else "all", reason)
