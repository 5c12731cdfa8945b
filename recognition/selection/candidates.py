"""What the selector weighs: the figures of models and the load of the moment. Data alone, for any thread.

Where nobody measured a number it is None: a figure is never made up, not even to compare with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Literal

from recognition.reason import Reason

Requirement = Literal["accuracy", "balanced", "speed", "minimal_memory"]


@dataclass(frozen=True, slots=True)
class Measurement:
    """A number that somebody measured; `measured`: on this machine, else it is what the spec says of another."""

    value: float
    measured: bool

    def __post_init__(self) -> None:
        if not isfinite(self.value) or self.value < 0:
            raise ValueError(f"figure: want a finite number from 0 on, got {self.value}")

    def said(self, unit: str = "", digits: int = 0) -> str:
        return f"{self.value:.{digits}f}{f' {unit}' if unit else ''} ({'measured here' if self.measured else 'spec'})"


@dataclass(frozen=True, slots=True)
class Cost:
    """What batches of one size take: all of the device's memory that the model has then, and ms a run."""

    memory_mib: Measurement | None = None
    run_ms: Measurement | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """A model on a device (`cpu`, `cuda:0`), in batches of up to `bucket`."""

    model: str
    device: str
    bucket: int

    @property
    def key(self) -> tuple[str, str]:
        return self.model, self.device

    def __str__(self) -> str:
        return f"{self.model} on {self.device} in batches of {self.bucket}"


@dataclass(frozen=True, slots=True)
class BatchCap(Reason):
    """Why batches of `bucket` and larger ones are not to be had now (Hysteresis.bar() gives these)."""

    bucket: int


@dataclass(frozen=True, slots=True)
class DeviceFigures:
    """One model on one device: its cost by bucket (`{1: Cost(), 8: Cost()}` where nothing is known).

    `runners`: how many batches run side by side. `held_mib`: what the model holds there already (the ledger's);
    `idle`: it holds that and serves nobody, so that it may be unloaded for another.
    """

    costs: Mapping[int, Cost]
    runners: int = 1
    held_mib: float = 0.0
    idle: bool = False
    bar: BatchCap | None = None

    def __post_init__(self) -> None:
        if not self.costs or min(self.costs) < 1 or self.runners < 1 or self.held_mib < 0:
            raise ValueError(f"figures: want buckets and runners from 1 on, held_mib from 0 on, got {self}")

    @property
    def open_buckets(self) -> list[int]:
        """The buckets that are not barred, rising."""
        return sorted(bucket for bucket in self.costs if self.bar is None or bucket < self.bar.bucket)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that may be chosen, with the devices that its policy allows, the preferred one first.

    `unavailable`: why it can't be had at all; an error's code (`weights_missing`) or its owner's (`unhealthy`).

    `accuracy`: a rate from 0 to 1 (say the true-match rate at FMR 1e-4); the same kind for all candidates.
    """

    model: str
    devices: Mapping[str, DeviceFigures] = field(default_factory=dict)
    accuracy: Measurement | None = None
    unavailable: Reason | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked for now. `queue_delay_ms`: how long items wait for the place that is `serving`.

    `latency_goal_ms`: how long an item may take from the queue's entry to its answer; None: as long as it likes.
    `shed_s`: for how long some of what is asked has been left out so that the rest is in time; None: it never is.
    """

    faces_per_s: float = 0.0
    queue_delay_ms: float = 0.0
    latency_goal_ms: float | None = None
    serving: Placement | None = None
    shed_s: float | None = None
