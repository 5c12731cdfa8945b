"""When a live stream is decoded too late to be of use: then all up to a newer keyframe is passed by.

How late each packet is goes in, on a camera's thread; pure. Decoding can't leave out single pictures: others are made
from them. So where a machine can't decode as fast as packets come, latency would grow until the reader's room is full.
"""

from typing import Literal

from streamer.ingest.decode_gate.picture_kind import PictureKind

Pace = Literal["on_time", "passed_by", "resumed"]

# Late is what is further behind than a keyframe's interval, and than this: the next keyframe is newer then.
LATE_S = 0.5
UNKNOWN_S = 2.0  # of a stream whose keyframes' interval is not known yet
# Passing by takes next to no time, so that the first keyframe that is as good as new is the newest.
_AS_NEW = 0.5


class Lateness:
    """Of one opening."""

    def __init__(self) -> None:
        self._is_passing = False

    def judge(self, kind: PictureKind, late_s: float, keyframe_s: float | None) -> Pace:
        """late_s: since the packet came, without the time that was waited on purpose."""
        limit_s = max(LATE_S, UNKNOWN_S if keyframe_s is None else keyframe_s)
        if not self._is_passing:
            self._is_passing = late_s > limit_s
            return "passed_by" if self._is_passing else "on_time"
        if kind.is_entry and late_s <= _AS_NEW * limit_s:
            self._is_passing = False
            return "resumed"
        return "passed_by"
