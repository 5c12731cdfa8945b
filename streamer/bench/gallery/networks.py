"""The runs of networks that an enrolment asks for: written down as they are made, and made again bare.

recorded() is called on the event loop, runs are noted on the models' threads; replay_s() blocks.
"""

import threading
import time
from collections import deque
from collections.abc import Mapping

from recognition.arrays import F32
from recognition.recogniser import Recogniser
from recognition.runtimes.tensor_runner import TensorRunner

Run = tuple[TensorRunner, tuple[int, ...]]  # of a batch of that shape


class Runs:
    """Of both models of a recogniser, from when it was made."""

    def __init__(self, recogniser: Recogniser) -> None:
        self._made: deque[Run] = deque()
        self._batches: dict[Run, F32] = {}
        self._threads = max(recogniser.detector.threads, recogniser.embedder.threads)
        for runner in (recogniser.detector.runner, recogniser.embedder.runner):
            runner.tensors = _Noting(runner.tensors, self._made, self._batches)

    def replay_s(self) -> float:
        """The same shapes in the same batches on as many threads, with nothing before, between or after: seconds.

        Each time the first batch of that shape, for all of them would not fit into memory. Not zeros: of these PReLU is
        done in half the time that a picture takes, since the processor always guesses its branches right.
        """
        made = self._made.copy()
        threads = [threading.Thread(target=_drain, args=(made, self._batches)) for _ in range(self._threads)]
        began_s = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.monotonic() - began_s


class _Noting:
    """A TensorRunner that notes what another is asked to run."""

    def __init__(self, inner: TensorRunner, made: deque[Run], batches: dict[Run, F32]) -> None:
        self._inner = inner
        self._made = made
        self._batches = batches
        self.device = inner.device

    def run(self, batch: F32) -> list[F32]:
        run = (self._inner, batch.shape)
        if run not in self._batches:
            self._batches[run] = batch.copy()
        self._made.append(run)
        return self._inner.run(batch)

    def close(self) -> None:
        self._inner.close()


def recorded(recogniser: Recogniser) -> Runs:
    """From now on."""
    return Runs(recogniser)


def _drain(made: deque[Run], batches: Mapping[Run, F32]) -> None:
    while True:
        try:
            run = made.popleft()
        except IndexError:
            return
        run[0].run(batches[run])
