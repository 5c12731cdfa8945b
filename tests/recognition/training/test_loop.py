"""The loop on a task of a few numbers: it learns, resumes as if never stopped, and refuses what it can't go on with."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from recognition.errors import RunMismatch, TrainingDiverged
from recognition.training.loop import CHECKPOINT, CURVES, RECORD, Schedule, rate, start_from, train

SCHEDULE = Schedule(epochs=4, learning_rate=0.05, warmup_steps=2, save_every_s=0.0, threads=1, figures_every=1)


class Line:
    """y = 2x - 1, to be found out by one linear layer."""

    name = "line"
    steps_per_epoch = 20

    def __init__(self, *, breaks_at: int | None = None, data: str = "line") -> None:
        torch.manual_seed(1)
        self.net: nn.Module = nn.Linear(1, 1)
        self.breaks_at, self.data, self.steps = breaks_at, data, 0

    def batches(self, epoch, seed):
        rng = np.random.default_rng((seed, epoch))
        for _ in range(self.steps_per_epoch):
            yield (torch.from_numpy(rng.normal(0, 1, (64, 1)).astype(np.float32)),)

    def losses(self, net, batch):
        self.steps += 1
        (x,) = batch
        worth = float("nan") if self.steps == self.breaks_at else 1.0
        return {"square": ((net(x).float() - (2 * x - 1)) ** 2).mean() * worth}

    def figures(self, net):
        return {"at_one": float(net(torch.ones(1, 1)))}

    def facts(self):
        return {"data": self.data}


def weights(net: nn.Module) -> list[float]:
    return [float(part) for tensor in net.state_dict().values() for part in tensor.reshape(-1)]


def test_it_learns_and_writes_everything_down(tmp_path):
    told, lines = [], []
    net = train(
        Line(), Schedule(epochs=30, learning_rate=0.05, threads=1), tmp_path, lines.append, lambda *n: told.append(n)
    )
    assert weights(net) == pytest.approx([2.0, -1.0], abs=0.1)
    record = json.loads((tmp_path / RECORD).read_text())
    assert record["facts"] == {"data": "line"}
    assert record["epochs_done"] == 30
    assert record["steps_done"] == 600
    assert record["curve"][-1]["at_one"] == pytest.approx(1.0, abs=0.2)
    assert record["versions"]["torch"] == torch.__version__
    assert (tmp_path / CURVES).read_bytes().startswith(b"\x89PNG")
    assert told[-1] == (600, 600)
    assert len(lines) == 30


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path):
    whole = train(Line(), SCHEDULE, tmp_path / "whole", print)

    class StoppedError(Exception):
        pass

    def stop(line: str) -> None:
        if line.startswith("epoch 3"):
            raise StoppedError

    with pytest.raises(StoppedError):
        train(Line(), SCHEDULE, tmp_path / "parts", stop)
    lines = []
    resumed = train(Line(), SCHEDULE, tmp_path / "parts", lines.append)
    assert lines[0].startswith("going on with")
    assert "after epoch 2" in lines[0]
    assert weights(resumed) == weights(whole)


def test_the_same_seed_gives_the_same_and_another_one_another(tmp_path):
    nets = [
        train(Line(), Schedule(epochs=2, seed=seed, threads=1), tmp_path / str(place), print)
        for place, seed in enumerate((0, 0, 1))
    ]
    assert weights(nets[0]) == weights(nets[1])
    assert weights(nets[0]) != weights(nets[2])


def test_a_finished_run_is_not_trained_again(tmp_path):
    train(Line(), SCHEDULE, tmp_path, print)
    again = Line()
    train(again, SCHEDULE, tmp_path, print)
    assert again.steps == 0


def test_another_run_in_the_folder_is_refused(tmp_path):
    train(Line(), SCHEDULE, tmp_path, print)
    before = (tmp_path / CHECKPOINT).read_bytes()
    with pytest.raises(RunMismatch, match="other data"):
        train(Line(data="another"), SCHEDULE, tmp_path, print)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


@pytest.mark.parametrize("kept", [0.0, 0.6])
def test_a_checkpoint_cut_short_is_said_and_kept(tmp_path, kept):
    train(Line(), SCHEDULE, tmp_path, print)
    whole = (tmp_path / CHECKPOINT).read_bytes()
    (tmp_path / CHECKPOINT).write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(RunMismatch, match=f"{CHECKPOINT} can't be read"):
        train(Line(), SCHEDULE, tmp_path, print)
    with pytest.raises(RunMismatch, match="there is no run to start from"):
        start_from(nn.Linear(1, 1), tmp_path)
    assert (tmp_path / CHECKPOINT).stat().st_size == int(kept * len(whole))


def test_a_loss_that_is_no_number_stops_it_and_keeps_the_checkpoint(tmp_path):
    with pytest.raises(TrainingDiverged, match="step 49"):
        train(Line(breaks_at=50), SCHEDULE, tmp_path, print)
    assert json.loads((tmp_path / RECORD).read_text())["epochs_done"] == 2
    resumed = train(Line(), SCHEDULE, tmp_path, print)
    assert len(weights(resumed)) == 2


def test_a_run_can_start_from_anothers_weights(tmp_path):
    trained = train(Line(), SCHEDULE, tmp_path, print)
    net = nn.Linear(1, 1)
    record = start_from(net, tmp_path)
    assert weights(net) == weights(trained)
    assert record["facts"] == {"data": "line"}
    assert record["schedule"]["learning_rate"] == 0.05
    assert record["epochs_done"] == 4
    assert "curve" not in record


def test_without_a_run_there_is_nothing_to_start_from(tmp_path):
    with pytest.raises(RunMismatch, match="there is no run to start from"):
        start_from(nn.Linear(1, 1), tmp_path)
    (tmp_path / CHECKPOINT).write_text("This is no checkpoint.")
    with pytest.raises(RunMismatch, match="there is no run to start from"):
        start_from(nn.Linear(1, 1), tmp_path)


@pytest.mark.parametrize("other", [nn.Linear(2, 1), nn.Conv2d(1, 1, 1), nn.Linear(1, 1, bias=False)])
def test_a_run_of_another_network_is_nothing_to_start_from(tmp_path, other):
    train(Line(), SCHEDULE, tmp_path, print)
    with pytest.raises(RunMismatch, match="a run of another network"):
        start_from(other, tmp_path)


@pytest.mark.parametrize(("step", "share"), [(0, 0.01), (99, 1.0), (500, 1.0), (749, 1.0), (875, 0.5), (1000, 0.0)])
def test_the_rate_rises_stays_and_falls(step, share):
    assert rate(step, 1000, Schedule(1, warmup_steps=100, decay=0.25)) == pytest.approx(share, abs=0.005)
