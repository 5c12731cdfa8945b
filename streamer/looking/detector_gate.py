"""The gate before the detector: a camera's next frame in, whether it goes on out. On the loop, for every frame taken.

What it goes by is decided in looking; here it is counted, and told to whoever decodes for how long frames are wanted.
"""

from collections.abc import Sequence

from streamer.ingest.frame import Frame
from streamer.looking.looking import Followed, Looking, Shown
from streamer.motion.attention import Attention
from streamer.telemetry.metrics import Metrics

# Longer gaps between two frames are outages, in which it was neither open nor closed.
_LONGEST_GAP_S = 15.0
_WATCHED_S = 1.0  # for so long whoever looks at a camera asks for every frame


class DetectorGate:
    """Of one opening of a camera; its looking is the camera's, and begins anew."""

    def __init__(self, camera: str, looking: Looking, attention: Attention, metrics: Metrics) -> None:
        looking.opened()
        self._camera = camera
        self._looking = looking
        self._attention = attention
        self._metrics = metrics
        self._last_s: float | None = None

    def lets_in(self, frame: Frame, tracks: Sequence[Followed], generation: int, *, is_watched: bool) -> bool:
        """Whether it is looked at. Frames come in their order; generation: the gallery's."""
        at_s, looking = frame.captured_s, self._looking
        is_open = looking.wants(_shown(frame), tracks, generation)
        if tracks:
            self._attention.follow(at_s + looking.rules.gone_after_s)
        else:
            self._attention.unfollow()
        self._attention.hold(max(looking.held_until_s, at_s + _WATCHED_S if is_watched else at_s))
        if frame.moved is not None:
            self._count(at_s, is_open=is_open)
        if not is_open:
            self._metrics.frames.labels(camera=self._camera, outcome="quiet").inc()
        return is_open

    def would_let_in(self, frame: Frame, tracks: Sequence[Followed], generation: int) -> bool:
        """What lets_in() would answer now; nothing is counted or told."""
        return self._looking.would_want(_shown(frame), tracks, generation)

    def _count(self, at_s: float, *, is_open: bool) -> None:
        since_s = 0.0 if self._last_s is None else at_s - self._last_s
        self._last_s = at_s
        if 0.0 < since_s <= _LONGEST_GAP_S:
            state = "open" if is_open else "closed"
            self._metrics.gate_seconds.labels(camera=self._camera, gate="detector", state=state).inc(since_s)


def _shown(frame: Frame) -> Shown:
    return Shown(frame.moved, (frame.width, frame.height), frame.captured_s)
