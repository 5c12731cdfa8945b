"""A machine in made-up time: cameras that ask for so many frames a second, cores that take so long for each.

The shedder is the real one, on an event loop whose clock jumps to what is due next: a minute takes a moment, and every
run is the same.
"""

import asyncio
import random
import selectors
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from streamer.shedding.shedder import Crew, Share, Shedder
from streamer.shedding.turns import Need
from streamer.shedding.window import Goals
from streamer.telemetry.metrics import Metrics

IN_FLIGHT = 3  # of one camera, as configured


class _JumpingSelector(selectors.SelectSelector):
    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready and timeout:
            self.now_s += timeout
        return ready


class _JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.selector = _JumpingSelector()
        super().__init__(self.selector)

    def time(self) -> float:
        return self.selector.now_s


def in_made_up_time(work: Coroutine[Any, Any, Any]) -> None:
    with asyncio.Runner(loop_factory=_JumpingLoop) as runner:
        runner.run(work)


@dataclass
class Told:
    """A frame that was done."""

    camera: str
    at_s: float
    latency_s: float


@dataclass
class Machine:
    """`run_s`: what a frame takes, and each of its faces; `batch`: so many frames are done as fast as one."""

    runners: int = 2
    run_s: float = 0.04
    face_s: float = 0.01
    batch: int = 1
    goal_s: float = 0.4
    sheds: bool = True
    metrics: Metrics = field(default_factory=Metrics)
    told: list[Told] = field(default_factory=list)
    named: list[tuple[str, float]] = field(default_factory=list)
    sizes: list[tuple[float, int]] = field(default_factory=list)
    faces_s: list[tuple[float, float]] = field(default_factory=list)  # when, and what the faces of a frame took

    def __post_init__(self) -> None:
        self.chance = random.Random(7)
        fill = 2 * self.runners * self.batch
        clock = asyncio.get_running_loop().time
        self.shedder = Shedder(Goals(self.goal_s), lambda: Crew(self.runners, fill), self.metrics, clock)
        self._queue: list[asyncio.Future[None]] = []
        self._work = asyncio.Semaphore(0)
        self._cores = asyncio.Semaphore(self.runners)

    async def detected(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._queue.append(future)
        self._work.release()
        await future

    async def runner(self) -> None:
        while True:
            await self._work.acquire()
            batch, self._queue = self._queue[: self.batch], self._queue[self.batch :]
            for _ in batch[1:]:
                await self._work.acquire()
            async with self._cores:
                await asyncio.sleep(self.run_s * self.chance.uniform(0.7, 1.3))
            for future in batch:
                future.set_result(None)

    async def embedded(self, faces: int) -> float:
        began_s = asyncio.get_running_loop().time()
        async with self._cores:
            await asyncio.sleep(self.face_s * faces * self.chance.uniform(0.7, 1.3))
        took_s = asyncio.get_running_loop().time() - began_s
        self.faces_s.append((began_s, took_s))
        return took_s

    # What is measured.

    def between(self, from_s: float, to_s: float) -> list[Told]:
        return [one for one in self.told if from_s <= one.at_s < to_s]

    def per_s(self, from_s: float, to_s: float, camera: str | None = None) -> float:
        told = self.between(from_s, to_s)
        return sum(camera in (None, one.camera) for one in told) / (to_s - from_s)

    def latency_s(self, from_s: float, to_s: float, share: float = 0.95) -> float:
        waits = sorted(one.latency_s for one in self.between(from_s, to_s))
        return waits[int(share * len(waits))]

    def size_changes(self, from_s: float, to_s: float) -> int:
        sizes = [size for at_s, size in self.sizes if from_s <= at_s < to_s]
        return sum(one != other for one, other in pairwise(sizes))

    def shed(self, **labels: str) -> float:
        found = self.metrics.shed.collect()[0].samples
        return sum(
            one.value
            for one in found
            if one.name.endswith("_total") and all(one.labels[key] == value for key, value in labels.items())
        )


@dataclass
class MadeUpCamera:
    """`fps(now_s)`: how many frames it asks for; `faces(now_s)`: how many faces are seen."""

    name: str
    machine: Machine
    fps: Callable[[float], float] = lambda now_s: 10.0
    faces: Callable[[float], int] = lambda now_s: 0
    phase_s: float = 0.0
    seen_s: list[float] = field(default_factory=list)

    async def run(self) -> None:
        """As run_camera() and the camera's thread do."""
        self.newest_s: float | None = None
        self.came = asyncio.Event()
        share = self.machine.shedder.share(self.name, self._need)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._film(share))
            in_flight = asyncio.Semaphore(IN_FLIGHT)
            while True:
                await in_flight.acquire()
                await self.came.wait()
                place = await share.place() if self.machine.sheds else None
                captured_s, self.newest_s = self.newest_s, None
                self.came.clear()
                assert captured_s is not None
                tasks.create_task(self._walk(captured_s, place, in_flight))

    def _need(self) -> Need:
        """A person is known by three frames that follow one another closely; who leaves is looked for for 2 s."""
        now_s = asyncio.get_running_loop().time()
        if not self.faces(now_s):
            self.seen_s = []
        if not self.seen_s:
            return Need.NOBODY
        return Need.KNOWN if len(self.seen_s) >= 3 else Need.UNKNOWN

    def _saw(self, captured_s: float, now_s: float) -> None:
        if not self.faces(captured_s):
            self.seen_s = []
            return
        self.seen_s = [*self.seen_s, captured_s] if self.seen_s and captured_s - self.seen_s[-1] < 0.8 else [captured_s]
        if len(self.seen_s) == 3:
            self.machine.named.append((self.name, now_s))

    async def _film(self, share: Share) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self.phase_s)
        while True:
            if self.newest_s is not None:
                share.lost()
            self.newest_s = loop.time()
            self.came.set()
            await asyncio.sleep(1.0 / self.fps(loop.time()))

    async def _walk(self, captured_s: float, place: Any, in_flight: asyncio.Semaphore) -> None:
        machine, loop = self.machine, asyncio.get_running_loop()
        try:
            await machine.detected()
            faces = self.faces(captured_s)
            took_s = await machine.embedded(faces) if faces else None
            if place is not None:
                place.done(captured_s, took_s)
            self._saw(captured_s, loop.time())
            machine.told.append(Told(self.name, loop.time(), loop.time() - captured_s))
            machine.sizes.append((loop.time(), machine.shedder.at_once))
        finally:
            in_flight.release()
            if place is not None:
                place.leave()


def play(
    make: Callable[[], Machine],
    cameras: Callable[[Machine], list[MadeUpCamera]],
    seconds: float,
    beside: Callable[[Machine], Coroutine[Any, Any, None]] | None = None,
) -> Machine:
    """So many seconds of all these cameras; what the machine did."""
    made: list[Machine] = []

    async def run() -> None:
        machine = make()
        made.append(machine)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as tasks:
                for _ in range(machine.runners):
                    tasks.create_task(machine.runner())
                for camera in cameras(machine):
                    tasks.create_task(camera.run())
                if beside is not None:
                    tasks.create_task(beside(machine))

    in_made_up_time(run())
    return made[0]
