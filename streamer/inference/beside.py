"""An embedder that is asked beside the one that serves: a lease for one request, the cameras' model stays what it is.

Loading is on a thread (seconds the first time; the manager keeps it until its memory is needed), runs are on the lane's
pool.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from recognition import embed
from recognition.arrays import F32
from recognition.image import Image
from recognition.models.model_runner import ModelRunner
from recognition.recogniser import Embedded, Recogniser
from recognition.specs.spec import EmbedderSpec


class Beside:
    """Made by beside(): answers as Recogniser.embed() does, by this model."""

    def __init__(self, recogniser: Recogniser, runner: ModelRunner[EmbedderSpec]) -> None:
        self._recogniser = recogniser
        self._runner = runner
        self.spec = runner.spec

    async def embed(self, image: Image, landmarks: F32, lane: str) -> Embedded:
        """The faces with these landmarks (k,5,2), image pixels. Raises what ModelRunner.run() raises."""
        pool = self._recogniser.pool_of(lane)
        return await asyncio.get_running_loop().run_in_executor(pool, _embedded, self._runner, image, landmarks)


@asynccontextmanager
async def beside(recogniser: Recogniser, spec: EmbedderSpec, loading: asyncio.Semaphore) -> AsyncIterator[Beside]:
    """`loading`: so many wait for a load at once, for seconds and on threads that the service needs for other things.

    Raises what ModelManager.lease() raises.
    """
    async with loading:
        lease = await asyncio.to_thread(recogniser.manager.lease, spec)
    try:
        yield Beside(recogniser, lease.runner)
    finally:
        lease.release()


def _embedded(runner: ModelRunner[EmbedderSpec], image: Image, landmarks: F32) -> Embedded:
    spec, started_s = runner.spec, time.perf_counter()
    tensors = embed.prepare(spec, embed.crops(spec, image, landmarks))
    aligned_s = time.perf_counter()
    outputs = runner.run_each(tensors)
    return Embedded(
        embed.parse(spec, outputs),
        aligned_s - started_s,
        0.0,
        time.perf_counter() - aligned_s,
        spec.name,
        spec.space,
        embed.norms(spec, outputs),
        embed.lengths(spec, outputs),
    )
