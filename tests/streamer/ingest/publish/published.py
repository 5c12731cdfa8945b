"""Plays a publication's pictures through a camera's thread, and keeps every frame that comes out.

No loop and no wall clock: the pictures are all there, the clock stands still, each frame is caught where it is offered.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streamer.errors import StreamLost
from streamer.ingest.decode_gate.gate import GateReport
from streamer.ingest.frame import Frame
from streamer.ingest.pacing import Clock
from streamer.ingest.picture_trouble import PictureReason
from streamer.ingest.publish.publication import Picture, Publication, PublishedStream
from streamer.ingest.publish.publication_decoder import PublicationDecoder
from streamer.ingest.slot import LatestSlot
from streamer.ingest.stream import SourceHooks
from streamer.motion.attention import Attention
from streamer.settings import CameraSettings


class EverySlot(LatestSlot):
    """Keeps them all."""

    def __init__(self, offered: Callable[[], object] = lambda: None) -> None:
        super().__init__(asyncio.new_event_loop())
        self._offered = offered
        self._loop.close()
        self.frames: list[Frame] = []
        self.end: BaseException | None = None

    def offer(self, frame: Frame) -> bool:
        self.frames.append(frame)
        self._offered()
        return False

    def close(self, end: BaseException) -> None:
        self.end = self.end or end


class ArrivalClock:
    """Stands at the arrival of the picture that was taken last."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds

    def clock(self) -> Clock:
        def wait(_stop: object, seconds: float) -> bool:
            self.now_s += seconds
            return False

        return Clock(lambda: 1e9 + self.now_s, lambda: self.now_s, wait)


class Tape(Publication):
    """Hands out pictures that are there already, each at its time; those that came meanwhile wait."""

    def __init__(
        self, stream: PublishedStream, pictures: Iterable[Picture], clock: ArrivalClock, taken: Callable[[], object]
    ) -> None:
        super().__init__(stream, lambda: None)
        self._tape = deque(pictures)
        self._at = clock
        self._taken = taken

    @property
    def has_more(self) -> bool:
        return bool(self._tape) and self._tape[0].at.monotonic_s <= self._at.now_s

    def take(self, limit_s: float) -> Picture | None:
        self._taken()
        if not self._tape:
            raise StreamLost("the tape is over")
        picture = self._tape.popleft()
        self._at.now_s = max(self._at.now_s, picture.at.monotonic_s)
        return picture


@dataclass
class Shown:
    frames: list[Frame] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    reasons: list[PictureReason | None] = field(default_factory=list)  # before each picture, and at the end
    end: BaseException | None = None
    gated: list[GateReport] = field(default_factory=list)

    def lumas(self) -> list[NDArray[np.uint8]]:
        return [frame.image.luma() for frame in self.frames]


def show(
    stream: PublishedStream,
    pictures: Iterable[Picture],
    camera: CameraSettings | None = None,
    attention: Attention | None = None,
    slow_s: float = 0.0,
) -> Shown:
    """Every frame that a camera of 120 fps makes of them; each takes so long."""
    shown, clock = Shown(), ArrivalClock()
    slot = EverySlot(lambda: clock.pass_time(slow_s))
    counts = shown.counts

    def failed(code: str) -> None:
        counts[code] += 1

    def taken() -> None:
        shown.reasons.append(decoder.outlet.trouble.reason)

    hooks = SourceHooks(
        dropped=lambda: counts.update(["dropped"]),
        failed=failed,
        held_back=lambda: counts.update(["held_back"]),
        gated=shown.gated.append,
    )
    settings = camera or CameraSettings(url="publish://", password="secret", fps=120)
    tape = Tape(stream, pictures, clock, taken)
    decoder = PublicationDecoder("door", tape, settings, slot, hooks, 0, clock.clock(), attention)
    decoder.run()
    shown.frames, shown.end = slot.frames, slot.end
    return shown
