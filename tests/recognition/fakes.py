"""A runner that answers at once, waits at a gate, or fails at a chosen call; and how to wait."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np

from recognition.arrays import F32
from recognition.serving.batcher import MicroBatcher


class FakeRunner:
    """Answers each item with its own mean, so that every caller can tell its answers from another's.

    `fail_at`: the number (from 1) of the call that raises `error`. While `gate` is clear, calls wait at it.
    """

    device = "cpu"

    def __init__(self, fail_at: int | None = None, error: Exception | None = None) -> None:
        self.fail_at = fail_at
        self.error = error or MemoryError("scripted")
        self.gate = threading.Event()
        self.gate.set()
        self.started: list[tuple[int, ...]] = []
        self.answered: list[float] = []

    def run(self, batch: F32) -> list[F32]:
        self.started.append(batch.shape)
        call = len(self.started)
        if not self.gate.wait(timeout=10):
            raise TimeoutError("nobody opened the gate")
        if call == self.fail_at:
            raise self.error
        means = batch.mean(axis=(1, 2, 3))
        self.answered += means.tolist()
        return [means[:, None]]

    def close(self) -> None:
        self.gate.set()


def item(value: float) -> F32:
    return np.full((3, 2, 2), value, np.float32)


@asynccontextmanager
async def serving(batcher: MicroBatcher) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(batcher.serve())
        try:
            yield
        finally:
            batcher.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)
