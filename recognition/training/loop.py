"""The training loop: a task in, its trained network out; everything a run needs to be resumed or made again is on disk.

Blocks for as long as training takes. One folder for each run: checkpoint.pt, run.json and curves.png in it. The
learning rate rises, stays, and falls linearly over the last `decay` of the epochs (warmup-stable-decay, Hu et al.
2024), so that a run which is still in its middle part can be resumed with more epochs, or with fewer to end it.
"""

import json
import math
import os
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from recognition.training.errors import TrainingDiverged

CHECKPOINT, RECORD, CURVES = "checkpoint.pt", "run.json", "curves.png"
_EMA = 0.999
_CLIP_NORM = 5.0


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


@dataclass(slots=True)
class _Progress:
    epoch: int = 0
    step: int = 0
    trained_s: float = 0.0
    curve: list[dict[str, float]] = field(default_factory=list)


def train(task: Task, schedule: Schedule, out: Path, say: Callable[[str], None]) -> nn.Module:
    """Train until the last epoch, resuming from `out` where a run of this task lies there; returns the averaged net.

    Raises TrainingDiverged when a loss is no number any more; the last checkpoint stays.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(schedule.seed)
    if schedule.threads:
        torch.set_num_threads(schedule.threads)
    cv2.setNumThreads(1)
    device = _device(schedule.device)
    net = task.net.to(device, memory_format=torch.channels_last)
    averaged = torch.optim.swa_utils.AveragedModel(
        net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(_EMA), use_buffers=True
    )
    optimiser = torch.optim.AdamW(_groups(net, schedule.weight_decay), lr=schedule.learning_rate)
    progress = _resume(out, net, averaged, optimiser, say)
    lasts = device.type == "cpu"
    total = schedule.epochs * task.steps_per_epoch
    began_s = saved_s = time.monotonic()
    while progress.epoch < schedule.epochs:
        net.train()
        sums: dict[str, float] = {}
        for number, batch in enumerate(task.batches(progress.epoch, schedule.seed)):
            for group in optimiser.param_groups:
                group["lr"] = schedule.learning_rate * rate(progress.step, total, schedule)
            moved = [part.to(device, non_blocking=True) for part in batch]
            with torch.autocast(device.type, torch.bfloat16, enabled=_has_bfloat16(device)):
                losses = task.losses(net, moved)
            loss = torch.stack([part.float() for part in losses.values()]).sum()
            if not math.isfinite(loss.item()):
                raise TrainingDiverged(
                    f"training {task.name}: the loss is no number any more at step {progress.step}; "
                    f"lower the learning rate and resume from {out}"
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), _CLIP_NORM)
            optimiser.step()
            averaged.update_parameters(net)
            progress.step += 1
            for name, part in losses.items():
                sums[name] = sums.get(name, 0.0) + part.item()
            if number % 50 == 49 and lasts:
                elapsed_s = progress.trained_s + time.monotonic() - began_s
                mean = ", ".join(f"{name} {value / (number + 1):.4f}" for name, value in sums.items())
                say(
                    f"epoch {progress.epoch + 1}/{schedule.epochs} step {number + 1}/{task.steps_per_epoch} "
                    f"{mean} ({elapsed_s / 60:.1f} min)"
                )
        progress.epoch += 1
        row = {name: value / task.steps_per_epoch for name, value in sums.items()}
        row |= {"epoch": progress.epoch, "rate": rate(progress.step, total, schedule)}
        is_last = progress.epoch == schedule.epochs
        if is_last or progress.epoch % schedule.figures_every == 0:
            averaged.eval()
            with torch.no_grad():
                row |= task.figures(averaged.module)
            say(f"epoch {progress.epoch}/{schedule.epochs}: " + ", ".join(f"{k} {v:.4g}" for k, v in row.items()))
        progress.curve.append(row)
        now_s = time.monotonic()
        if is_last or now_s - saved_s > schedule.save_every_s:
            progress.trained_s += now_s - began_s
            began_s = saved_s = now_s
            _save(out, net, averaged, optimiser, progress)
            _write_record(out, task, schedule, progress)
    averaged.eval()
    module: nn.Module = averaged.module
    return module.to("cpu")


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


def _resume(
    out: Path,
    net: nn.Module,
    averaged: torch.optim.swa_utils.AveragedModel,
    optimiser: torch.optim.Optimizer,
    say: Callable[[str], None],
) -> _Progress:
    file = out / CHECKPOINT
    if not file.exists():
        return _Progress()
    state = torch.load(file, map_location="cpu", weights_only=True)
    net.load_state_dict(state["net"])
    averaged.load_state_dict(state["averaged"])
    optimiser.load_state_dict(state["optimiser"])
    torch.set_rng_state(state["random"])
    progress = _Progress(**state["progress"])
    say(f"resuming {out} after epoch {progress.epoch}, {progress.trained_s / 60:.0f} minutes trained")
    return progress


def _save(
    out: Path,
    net: nn.Module,
    averaged: torch.optim.swa_utils.AveragedModel,
    optimiser: torch.optim.Optimizer,
    progress: _Progress,
) -> None:
    """Written beside and renamed: a run that is killed while saving keeps the checkpoint before."""
    state = {
        "net": net.state_dict(),
        "averaged": averaged.state_dict(),
        "optimiser": optimiser.state_dict(),
        "random": torch.get_rng_state(),
        "progress": asdict(progress),
    }
    part = out / f"{CHECKPOINT}.part"
    torch.save(state, part)
    os.replace(part, out / CHECKPOINT)


def _write_record(out: Path, task: Task, schedule: Schedule, progress: _Progress) -> None:
    record = {
        "task": task.name,
        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "schedule": asdict(schedule),
        "facts": task.facts(),
        "trained_minutes": round(progress.trained_s / 60, 1),
        "epochs_done": progress.epoch,
        "steps_done": progress.step,
        "parameters": sum(p.numel() for p in task.net.parameters()),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "opencv": cv2.__version__,
        },
        "machine": f"{platform.machine()}, {os.cpu_count()} cores"
        + (f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""),
        "curve": progress.curve,
    }
    (out / RECORD).write_text(json.dumps(record, indent=1) + "\n")
    _draw(out / CURVES, task.name, progress.curve)


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
