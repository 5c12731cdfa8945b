"""The runs of networks that an enrolment asks for: written down as they are made, and made again bare.

recorded() is called on the event loop, runs are noted on the models' threads; replay_s() blocks.
"""

import threading
import time
from collections import deque

import numpy as np

from recognition.arrays import F32
from recognition.recogniser import Recogniser
from recognition.runtimes.tensor_runner import TensorRunner

Shape = tuple[int, ...]


class Runs:
    """Of both models of a recogniser, from when it was made."""

    def __init__(self, recogniser: Recogniser) -> None:
        self._made: deque[tuple[TensorRunner, Shape]] = deque()
        self._threads = max(recogniser.detector.threads, recogniser.embedder.threads)
        for runner in (recogniser.detector.runner, recogniser.embedder.runner):
            runner.tensors = _Noting(runner.tensors, self._made)

    def replay_s(self) -> float:
        """The same shapes in the same batches on as many threads, with nothing before, between or after: seconds."""
        made = self._made.copy()
        batches = {shape: np.zeros(shape, np.float32) for _, shape in made}
        threads = [threading.Thread(target=_drain, args=(made, batches)) for _ in range(self._threads)]
        began_s = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.monotonic() - began_s


class _Noting:
    """A TensorRunner that notes what another is asked to run."""

    def __init__(self, inner: TensorRunner, made: deque[tuple[TensorRunner, Shape]]) -> None:
        self._inner = inner
        self._made = made
        self.device = inner.device

    def run(self, batch: F32) -> list[F32]:
        self._made.append((self._inner, batch.shape))
        return self._inner.run(batch)

    def close(self) -> None:
        self._inner.close()


def recorded(recogniser: Recogniser) -> Runs:
    """From now on."""
    return Runs(recogniser)


def _drain(made: deque[tuple[TensorRunner, Shape]], batches: dict[Shape, F32]) -> None:
    while True:
        try:
            inner, shape = made.popleft()
        except IndexError:
            return
        inner.run(batches[shape])
