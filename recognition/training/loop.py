"""The training loop: a task in, its trained network out; everything a run needs to be resumed or made again is on disk.

Blocks for as long as training takes. One folder for each run: checkpoint.pt, run.json and curves.png in it. The
learning rate rises, stays, and falls linearly over the last `decay` of the epochs (warmup-stable-decay, Hu et al.
2024), so that a run which is still in its middle part can be resumed with more epochs, or with fewer to end it.
"""

import json
import math
import os
import pickle
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from recognition.errors import RunMismatch, TrainingDiverged

CHECKPOINT, RECORD, CURVES = "checkpoint.pt", "run.json", "curves.png"
Say = Callable[[str], None]
Told = Callable[[int, int], None]
_EMA = 0.999
_CLIP_NORM = 5.0
# What reading a checkpoint that is cut short, empty or something else may raise.
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, RuntimeError, pickle.UnpicklingError)


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast. `decay`: the share of the epochs over which the learning rate falls to nothing."""

    epochs: int
    seed: int = 0
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warmup_steps: int = 200
    decay: float = 0.25
    device: str = "auto"
    threads: int = 0
    save_every_s: float = 120.0
    figures_every: int = 2


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What every run needs. `start_from`: the folder of a run, or the ONNX file of such a network, whose weights are
    the first ones.
    """

    data: Path
    teacher: str
    weights_folders: tuple[Path, ...]
    out: Path
    schedule: Schedule
    workers: int = 1
    start_from: Path | None = None


def untold(_done: int, _total: int) -> None:
    """For callers that want no progress."""


class Task(Protocol):
    """What is to be learnt. The loop owns seeds, device, precision, optimiser, averaging and files."""

    name: str
    net: nn.Module

    @property
    def steps_per_epoch(self) -> int: ...

    def batches(self, epoch: int, seed: int) -> Iterable[Sequence[Tensor]]:
        """The epoch's batches, the same for the same epoch and seed; tensors on the CPU."""
        ...

    def losses(self, net: nn.Module, batch: Sequence[Tensor]) -> dict[str, Tensor]:
        """Named scalar losses, already weighted: their sum is minimised."""
        ...

    def figures(self, net: nn.Module) -> dict[str, float]:
        """How good it is, on what was held out of the training data. The net is in eval mode."""
        ...

    def facts(self) -> dict[str, Any]:
        """What the run record is to say about data, teacher and options."""
        ...


def train(task: Task, schedule: Schedule, out: Path, say: Say, told: Told = untold) -> nn.Module:
    """Train until the last epoch, resuming from `out` where a run of this task lies there; returns the averaged net.

    `say` gets a line for each epoch, `told` the step and how many there are, after each.
    Raises TrainingDiverged when a loss is no number any more (the last checkpoint stays), RunMismatch.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(schedule.seed)
    if schedule.threads:
        torch.set_num_threads(schedule.threads)
    cv2.setNumThreads(1)
    run = _Run(task, schedule, out)
    run.resume(say)
    saved_s = time.monotonic()
    while run.epoch < schedule.epochs:
        row = run.train_epoch(told)
        is_last = run.epoch == schedule.epochs
        if is_last or run.epoch % schedule.figures_every == 0:
            with torch.no_grad():
                row |= task.figures(run.averaged.module)
        run.curve.append(row)
        shown = ", ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "epoch")
        say(f"epoch {run.epoch} of {schedule.epochs}: {shown}")
        if is_last or time.monotonic() - saved_s > schedule.save_every_s:
            run.save()
            saved_s = time.monotonic()
    trained: nn.Module = run.averaged.module
    return trained.to("cpu")


def start_from(net: nn.Module, run: Path) -> dict[str, Any]:
    """Give `net` the averaged weights of the run that lies in `run`; what that run's record says, but for its curve.

    Raises RunMismatch where there is no such run, or one of another network.
    """
    try:
        averaged = torch.load(run / CHECKPOINT, map_location="cpu", weights_only=True)["averaged"]
        record: dict[str, Any] = json.loads((run / RECORD).read_text())
    except _UNREADABLE as error:
        raise RunMismatch(
            f"{run}: there is no run to start from ({type(error).__name__}); name a run's --out"
        ) from error
    prefix = "module."
    weights = {name.removeprefix(prefix): part for name, part in averaged.items() if name.startswith(prefix)}
    try:
        net.load_state_dict(weights)
    except RuntimeError as error:
        raise RunMismatch(f"{run} holds a run of another network; start from one of the same kind") from error
    return {name: value for name, value in record.items() if name != "curve"}


class _Run:
    """What a checkpoint holds, and how it is trained on."""

    def __init__(self, task: Task, schedule: Schedule, out: Path) -> None:
        self.task, self.schedule, self.out = task, schedule, out
        self.device = _device(schedule.device)
        self.net = task.net.to(self.device, memory_format=torch.channels_last)
        self.averaged = torch.optim.swa_utils.AveragedModel(self.net, avg_fn=_average, use_buffers=True).eval()
        self.optimiser = torch.optim.AdamW(_groups(self.net, schedule.weight_decay), lr=schedule.learning_rate)
        self.epoch = self.step = 0
        self.trained_s = 0.0
        self.curve: list[dict[str, float]] = []
        self._since_s = time.monotonic()

    def train_epoch(self, told: Told) -> dict[str, float]:
        """One pass over the data -> its mean losses."""
        total = self.schedule.epochs * self.task.steps_per_epoch
        self.net.train()
        sums: dict[str, float] = {}
        for batch in self.task.batches(self.epoch, self.schedule.seed):
            for group in self.optimiser.param_groups:
                group["lr"] = self.schedule.learning_rate * rate(self.step, total, self.schedule)
            for name, value in self._train_step(batch).items():
                sums[name] = sums.get(name, 0.0) + value / self.task.steps_per_epoch
            self.step += 1
            told(self.step, total)
        self.epoch += 1
        return {"epoch": self.epoch, "rate": rate(self.step, total, self.schedule), **sums}

    def _train_step(self, batch: Sequence[Tensor]) -> dict[str, float]:
        moved = [part.to(self.device, non_blocking=True) for part in batch]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=_has_bfloat16(self.device)):
            losses = self.task.losses(self.net, moved)
        loss = torch.stack([part.float() for part in losses.values()]).sum()
        if not math.isfinite(loss.item()):
            raise TrainingDiverged(
                f"training {self.task.name}: the loss is no number any more at step {self.step}; lower the learning "
                f"rate and go on from the checkpoint in {self.out}"
            )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), _CLIP_NORM)
        self.optimiser.step()
        self.averaged.update_parameters(self.net)
        return {name: part.item() for name, part in losses.items()}

    def resume(self, say: Say) -> None:
        """Go on where the last checkpoint in the folder was written, if one is there."""
        file = self.out / CHECKPOINT
        if not file.exists():
            return
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
        except _UNREADABLE as error:
            raise RunMismatch(f"{file} can't be read ({type(error).__name__}); delete it to begin anew") from error
        if state["task"] != self.task.name or state["facts"] != self.task.facts():
            raise RunMismatch(
                f"{self.out} holds a run with other data, another teacher or other options ({RECORD} tells); "
                "give the same ones to go on with it, or another --out"
            )
        self.net.load_state_dict(state["net"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["random"])
        progress = state["progress"]
        self.epoch, self.step, self.curve = progress["epoch"], progress["step"], progress["curve"]
        self.trained_s = progress["trained_s"]
        say(f"going on with {self.out} after epoch {self.epoch}, {self.trained_s / 60:.0f} minutes trained")

    def save(self) -> None:
        """Checkpoint, record and curves. Renamed into place: a run killed meanwhile keeps the checkpoint before."""
        now_s = time.monotonic()
        self.trained_s, self._since_s = self.trained_s + now_s - self._since_s, now_s
        progress = {"epoch": self.epoch, "step": self.step, "trained_s": self.trained_s, "curve": self.curve}
        state = {
            "task": self.task.name,
            "facts": self.task.facts(),
            "net": self.net.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "random": torch.get_rng_state(),
            "progress": progress,
        }
        part = self.out / f"{CHECKPOINT}.part"
        torch.save(state, part)
        os.replace(part, self.out / CHECKPOINT)
        (self.out / RECORD).write_text(json.dumps(self._record(), indent=1) + "\n")
        _draw(self.out / CURVES, self.task.name, self.curve)

    def _record(self) -> dict[str, Any]:
        cuda = f", {torch.cuda.get_device_name()}" if self.device.type == "cuda" else ""
        return {
            "task": self.task.name,
            "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "schedule": asdict(self.schedule),
            "facts": self.task.facts(),
            "trained_minutes": round(self.trained_s / 60, 1),
            "epochs_done": self.epoch,
            "steps_done": self.step,
            "parameters": sum(p.numel() for p in self.net.parameters()),
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "numpy": np.__version__,
                "opencv": cv2.__version__,
            },
            "machine": f"{platform.machine()}, {os.cpu_count()} cores{cuda}",
            "curve": self.curve,
        }


def _average(averaged: Tensor, new: Tensor, count: Tensor | int) -> Tensor:
    """Exponential moving average that follows closely at first, when what it began with is worth nothing."""
    if not averaged.is_floating_point():
        return new
    return averaged.lerp(new, 1 - min(_EMA, (1 + int(count)) / (10 + int(count))))


def rate(step: int, total: int, schedule: Schedule) -> float:
    """The share of the learning rate at a step of `total`: warm-up, then 1, then linearly down to 0."""
    left = (total - step) / max(1.0, schedule.decay * total)
    return max(0.0, min(1.0, (step + 1) / schedule.warmup_steps, left))


def _groups(net: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weights decay; biases and normalisations do not."""
    decays = [p for p in net.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in net.parameters() if p.requires_grad and p.ndim <= 1]
    return [{"params": decays, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def _device(asked: str) -> torch.device:
    return torch.device(asked if asked != "auto" else "cuda" if torch.cuda.is_available() else "cpu")


def _has_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is computed by the hardware; emulated it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _draw(file: Path, title: str, curve: list[dict[str, float]]) -> None:
    """Every column of the curve over the epochs, a panel each."""
    from matplotlib.figure import Figure

    names = [name for name in dict.fromkeys(key for row in curve for key in row) if name != "epoch"]
    figure = Figure(figsize=(4 * min(3, len(names)), 2.8 * -(-len(names) // 3)), layout="constrained")
    figure.suptitle(title)
    for place, name in enumerate(names):
        axes = figure.add_subplot(-(-len(names) // 3), min(3, len(names)), place + 1)
        points = [(row["epoch"], row[name]) for row in curve if name in row]
        axes.plot(*zip(*points, strict=True))
        axes.set_title(name)
        axes.set_xlabel("epoch")
        axes.grid(visible=True, alpha=0.3)
    figure.savefig(file)
