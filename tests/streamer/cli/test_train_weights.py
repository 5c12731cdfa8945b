"""`train-weights`: what is typed reaches the training; the training itself has its own tests."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch", reason="the extra train is not installed: pip install -e '.[train]'")

from recognition.training import student
from streamer.commands import app


@pytest.fixture
def asked_for(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The options of every training that was asked for; none takes place."""
    asked: list[Any] = []

    def make(options: Any, name: str, _say: object, _told: object) -> SimpleNamespace:
        asked.append(options)
        return SimpleNamespace(name=name)

    for maker in ("make_embedder", "make_detector"):
        monkeypatch.setattr(student, maker, make)
    return asked


def run(kind: str, *more: str) -> str:
    typed = ["train-weights", kind, "--data", "photos.zip", "--teacher", "t", "--out", "runs/mine", *more]
    ended = CliRunner().invoke(app, typed)
    assert ended.exit_code == 0, (ended.exception, ended.stderr)
    return ended.stdout


@pytest.mark.parametrize("kind", ["embedder", "detector"])
def test_rate_decay_and_first_weights_are_passed_on(asked_for: list[Any], kind: str) -> None:
    rates = ("--learning-rate", "0.0007", "--weight-decay", "0.3", "--decay", "0.9")
    said = run(kind, *rates, "--start-from", "runs/before", "--epochs", "3", "--seed", "5")
    (options,) = asked_for
    schedule = options.schedule
    assert (schedule.learning_rate, schedule.weight_decay, schedule.decay) == (0.0007, 0.3, 0.9)
    assert (schedule.epochs, schedule.seed) == (3, 5)
    assert options.start_from == Path("runs/before")
    assert "runs/mine" in said


@pytest.mark.parametrize("kind", ["embedder", "detector"])
def test_a_run_starts_from_nothing_unless_told(asked_for: list[Any], kind: str) -> None:
    run(kind)
    assert asked_for[0].start_from is None


@pytest.mark.parametrize("kind", ["embedder", "detector"])
@pytest.mark.parametrize(("option", "value"), [("--learning-rate", "0"), ("--weight-decay", "-0.1"), ("--decay", "0")])
def test_rates_that_teach_nothing_are_refused(asked_for: list[Any], kind: str, option: str, value: str) -> None:
    typed = ["train-weights", kind, "--data", "p", "--teacher", "t", "--out", "o", option, value]
    ended = CliRunner().invoke(app, typed)
    assert ended.exit_code == 2
    assert option in ended.stderr
    assert asked_for == []
