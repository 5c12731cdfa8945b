"""When a live stream is decoded too late to be of use: then all up to a newer keyframe is passed by.

How late each packet is goes in, on a camera's thread; pure. Decoding can't leave out single pictures: others are made
from them. So where a machine can't decode as fast as packets come, latency would grow until the reader's room is full.
"""

import math
from typing import Literal

from streamer.ingest.decode_gate.picture_kind import PictureKind

Pace = Literal["on_time", "passed_by", "resumed"]

# Late is what is further behind than a keyframe's interval, and than this: the next keyframe is here already then. So
# nothing is passed by where the interval is not known, as in a stream that has no second keyframe (intra refresh).
LATE_S = 0.5
# Passing by takes next to no time, so that the first keyframe that is as good as new is the newest.
_AS_NEW = 0.5
# Intervals without the keyframe that should have come: then it goes on as after a loss, rather than never.
_MOST_WAITED = 2.0


class Lateness:
    """Of one opening."""

    def __init__(self) -> None:
        self._is_passing = False
        self._limit_s = math.inf  # as it was when passing by began
        self._waited_s = 0.0  # for a keyframe, while all that came was as good as new

    def judge(self, kind: PictureKind, late_s: float, step_s: float, keyframe_s: float | None) -> Pace:
        """late_s: since the packet came, without the time that was waited on purpose. step_s: of the stream's time,
        since the one before.
        """
        if not self._is_passing:
            self._limit_s = math.inf if keyframe_s is None else max(LATE_S, keyframe_s)
            self._is_passing, self._waited_s = late_s > self._limit_s, 0.0
            return "passed_by" if self._is_passing else "on_time"
        is_as_new = late_s <= _AS_NEW * self._limit_s
        self._waited_s = self._waited_s + step_s if is_as_new else 0.0
        if is_as_new and (kind.is_entry or self._waited_s > _MOST_WAITED * self._limit_s):
            self._is_passing = False
            return "resumed"
        return "passed_by"
