"""Right weights that fail by a processor's kernels: an int8 model that fails its tests runs in its surest form."""

import numpy as np
import pytest

from recognition.errors import EmbeddingSpaceMismatch
from recognition.models.manager import ModelManager
from recognition.runtimes import onnx_runner as runner_module
from recognition.runtimes.int8_forms import UNFUSED, Opened, open_form


class Wrong:
    """A session that computes with kernels that nobody tried: what it says is off."""

    def __init__(self, opened: Opened) -> None:
        self._session = opened.session

    def __getattr__(self, name: str) -> object:
        return getattr(self._session, name)

    def run(self, outputs: None, feed: dict[str, np.ndarray], options: object = None) -> list[np.ndarray]:
        rng = np.random.default_rng(0)
        return [
            out + rng.normal(0, out.std(), out.shape).astype(np.float32) for out in self._session.run(outputs, feed)
        ]


@pytest.fixture
def forms(monkeypatch) -> list[bool]:
    """Whether each session that is opened is unfused; all the others are wrong."""
    opened: list[bool] = []

    def open_wrongly(weights: bytes, who: str, *, unfused: bool = False) -> Opened:
        opened.append(unfused)
        right = open_form(weights, who, unfused=unfused)
        return right if unfused else Opened(Wrong(right), right.form)

    monkeypatch.setattr(runner_module, "open_form", open_wrongly)
    return opened


def test_it_runs_unfused_and_says_why(forms):
    manager = ModelManager([], device="cpu", portraits=True)
    model = manager.open_embedder("nano_embed")
    told = model.metadata()
    assert told.form == UNFUSED
    (note,) = told.notes
    assert note.startswith("runs as unfused int8, since in a faster form model nano_embed: ")
    assert forms == [False, True]


def test_wrong_weights_stay_refused_in_every_form(forms, monkeypatch):
    monkeypatch.setattr(runner_module, "open_form", lambda weights, who, *, unfused=False: wrong(weights, who, unfused))

    def wrong(weights: bytes, who: str, unfused: bool) -> Opened:
        right = open_form(weights, who, unfused=unfused)
        return Opened(Wrong(right), right.form)

    with pytest.raises(EmbeddingSpaceMismatch):
        ModelManager([], device="cpu").open_embedder("nano_embed")
