from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from recognition.arrays import F32
from recognition.recogniser import Recogniser
from streamer.bench.gallery.networks import recorded


class Network:
    device = "cpu"

    def __init__(self) -> None:
        self.ran: list[tuple[int, ...]] = []
        self.sums: list[float] = []
        self.is_closed = False

    def run(self, batch: F32) -> list[F32]:
        self.ran.append(batch.shape)
        self.sums.append(float(batch.sum()))
        return [batch.sum(axis=(1, 2, 3))]

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_the_very_runs_that_were_asked_for_are_made_again_bare(threads: int) -> None:
    detector, embedder = Network(), Network()
    models = {
        name: SimpleNamespace(threads=threads, runner=SimpleNamespace(tensors=network))
        for name, network in (("detector", detector), ("embedder", embedder))
    }
    runs = recorded(cast(Recogniser, cast(Any, SimpleNamespace(**models))))
    for shape in ((1, 3, 64, 64), (1, 3, 32, 64), (1, 3, 64, 64)):
        (answer,) = models["detector"].runner.tensors.run(np.ones(shape, np.float32))
        assert answer.tolist() == [3 * shape[2] * shape[3]]
    crops = np.full((4, 3, 8, 8), 2, np.float32)
    models["embedder"].runner.tensors.run(crops)
    crops.fill(0)  # the batcher's room, which it uses again
    asked = [Counter(network.ran) for network in (detector, embedder)]
    values = [sorted(network.sums) for network in (detector, embedder)]
    for network in (detector, embedder):
        network.ran.clear()
        network.sums.clear()
    assert runs.replay_s() >= 0.0
    assert [Counter(network.ran) for network in (detector, embedder)] == asked
    assert [sorted(network.sums) for network in (detector, embedder)] == values
    models["detector"].runner.tensors.close()
    assert (detector.is_closed, models["embedder"].runner.tensors.device) == (True, "cpu")
