"""Shedder: frames of all cameras wait here for a place among those that are worked on; who comes too late is shed.

Cameras that have a frame go in; a Place each comes out, in fair turns, as many at once as are done within the goal.
On the loop; what is lost meanwhile is counted on the cameras' threads.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from recognition.recogniser import Recogniser
from streamer.settings import RecognitionSettings
from streamer.shedding.holding import Holding
from streamer.shedding.turns import FairTurns, Need
from streamer.shedding.window import Done, Goals, Window
from streamer.telemetry.metrics import Metrics

# A camera can be cut down where it asked for so many places within so long. Quiet ones ask now and again, and if they
# were all that could be, what others ask too much (requests over HTTP) would never be met by a faster model.
_ASKS, _ASKS_S = 3, 10.0
# Why a frame is shed.
NOBODY_SEEN = "nobody_seen"  # cameras on which somebody is seen go first
ALL_BUSY = "all_busy"  # it is not enough that the others give way
# Why a face is not embedded once more.
SURE = "sure"  # it was said who it is


@dataclass(frozen=True, slots=True)
class Crew:
    """runners: frames that are worked on at the very same time. fill: so many fill all their batches, twice."""

    runners: int
    fill: int


def crew_of(recogniser: Recogniser) -> Crew:
    """Of the detector that serves. On CPUs a batch of one is as good as any."""
    model = recogniser.detector
    limits = model.batcher.limits
    return Crew(model.threads, 2 * model.threads * (limits.max_batch if limits.pad else 1))


class Place:
    """One frame's, from before it is taken until it is done."""

    def __init__(self, shedder: "Shedder | None", taken_s: float, beside: int) -> None:
        """shedder None: there is no limit, and nobody is told."""
        self._shedder = shedder
        self._taken_s = taken_s
        self._beside = beside
        self._is_left = False

    def done(self, captured_s: float, faces_s: float | None) -> None:
        """The frame went its whole way; faces_s: what embedding its faces took, None: there were none."""
        if self._shedder is not None:
            self._shedder.done(captured_s, self._taken_s, self._beside, faces_s)

    def leave(self) -> None:
        """For the next one. A second time it does nothing."""
        if self._shedder is not None and not self._is_left:
            self._is_left = True
            self._shedder.left()


NOWHERE = Place(None, 0.0, 1)


class Share:
    """One camera's part of what can be done. need: what its frames are wanted for, asked on the loop."""

    def __init__(self, shedder: "Shedder", name: str, need: Callable[[], Need], metrics: Metrics) -> None:
        self.name = name
        self.need = need
        self.waits = False
        self.asked_s: deque[float] = deque(maxlen=_ASKS)  # its last places, the oldest first
        self._sees_somebody = False
        self._shedder = shedder
        self._metrics = metrics

    async def place(self) -> Place:
        """As soon as it is this camera's turn."""
        self._sees_somebody, self.waits = self.need() > Need.NOBODY, True
        try:
            return await self._shedder.place(self)
        finally:
            self.waits = False

    def lost(self) -> bool:
        """A frame was replaced by a newer one before it was taken: whether it was shed, and counted so. Any thread."""
        if not self.waits:
            return False
        has_faces = self._sees_somebody
        self._metrics.shed.labels(camera=self.name, what="frame", reason=ALL_BUSY if has_faces else NOBODY_SEEN).inc()
        self._shedder.holding.shed(self._shedder.clock(), has_faces=has_faces)
        return True

    @property
    def spares_sure_faces(self) -> bool:
        """Whether who is known for sure is to be embedded no more for now."""
        return self._shedder.holding.reaches_faces(self._shedder.clock())

    def spared(self, faces: int) -> None:
        """So many faces were not embedded again."""
        if faces:
            self._metrics.shed.labels(camera=self.name, what="embedding", reason=SURE).inc(faces)


class Shedder:
    """One per service. crew: asked now and again, as another model may serve."""

    def __init__(
        self, goals: Goals, crew: Callable[[], Crew], metrics: Metrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.holding = Holding()
        self.clock = clock
        self._metrics = metrics
        self._crew = crew
        self._window = Window(goals, crew().runners, crew().fill)
        self._turns = FairTurns()
        self._asked_s = float("-inf")
        self._waiting: dict[Share, asyncio.Future[Place]] = {}
        self.in_flight = 0

    def share(self, name: str, need: Callable[[], Need]) -> Share:
        """A camera's, for all its frames."""
        return Share(self, name, need, self._metrics)

    def forget(self, name: str) -> None:
        """It is no camera any more."""
        self._turns.forget(name)

    @property
    def at_once(self) -> int:
        """How many frames may be worked on at once, now."""
        return self._window.size

    def held_s(self) -> float | None:
        """For how long frames have been shed without a pause, or all that can be; None where no camera's may be."""
        now_s = self.clock()
        asks = bool(self._waiting) or now_s - self._asked_s <= _ASKS_S
        return self.holding.held_s(now_s) if asks else None

    async def place(self, share: Share) -> Place:
        """For Share."""
        now_s = self.clock()
        future: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        self._turns.ask(share.name, now_s)
        share.asked_s.append(now_s)
        if len(share.asked_s) == _ASKS and now_s - share.asked_s[0] <= _ASKS_S:
            self._asked_s = now_s
        self._waiting[share] = future
        self._admit(now_s)
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                future.result().leave()
            raise
        finally:
            self._waiting.pop(share, None)

    def done(self, captured_s: float, taken_s: float, beside: int, faces_s: float | None) -> None:
        """For Place."""
        now_s = self.clock()
        self._window.crew(self._crew().runners, self._crew().fill)
        self._window.finished(Done(captured_s, taken_s, now_s, beside, faces_s is not None, faces_s or 0.0))
        if self._window.is_strained:
            self.holding.strained(now_s)

    def left(self) -> None:
        """For Place."""
        self.in_flight -= 1
        self._admit(self.clock())

    def _admit(self, now_s: float) -> None:
        while self._waiting and self.in_flight < self._window.size:
            by_name = {share.name: share for share in self._waiting}
            name = self._turns.next({share.name: share.need() for share in self._waiting}, now_s)
            self.in_flight += 1
            future = self._waiting.pop(by_name[name])
            if future.cancelled():  # its camera has just been stopped
                self.in_flight -= 1
                continue
            future.set_result(Place(self, now_s, self.in_flight))
        self._window.used(now_s, self.in_flight, is_full=bool(self._waiting))


def make_shedder(rules: RecognitionSettings, recogniser: Recogniser, metrics: Metrics) -> Shedder | None:
    """As it is configured; None where nothing is to be shed."""
    if rules.event_goal_ms is None:
        return None
    faces_s = None if rules.latency_goal_ms is None else rules.latency_goal_ms / 1000
    return Shedder(Goals(rules.event_goal_ms / 1000, faces_s), lambda: crew_of(recogniser), metrics)
