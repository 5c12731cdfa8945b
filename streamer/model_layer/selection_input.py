"""What is weighed for a role: models that may serve, their figures, where they may run, what speaks against them.

No waits; looks at the manager, its ledger and the measurements.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from recognition.models.ledger import Holding
from recognition.models.manager import ModelManager
from recognition.reason import Reason
from recognition.selection.candidates import (
    BatchCap,
    Candidate,
    Cost,
    DeviceFigures,
    Measurement,
    Placement,
    Requirement,
)
from recognition.selection.cooldowns import Cooldowns
from recognition.selection.hysteresis import Hysteresis
from recognition.selection.measurements import LocalMeasurements, candidate, device_figures
from recognition.specs.devices import wanted_device
from recognition.specs.spec import AnySpec


@dataclass(frozen=True, slots=True)
class SwitchRules:
    """What the configuration asks of a role's model; `names`: those that may serve, the preferred one first."""

    names: tuple[str, ...]
    requirement: Requirement
    device: str
    latency_goal_ms: float | None
    minimum_stay_s: float
    max_batch: int
    threads_for: Callable[[str], int]


class SelectionInput:
    """`refused`: what else speaks against a model. `server_ms`: how fast a server answers, by model and batch size."""

    def __init__(
        self,
        manager: ModelManager,
        rules: SwitchRules,
        local: LocalMeasurements | None,
        hysteresis: Hysteresis,
        refused: Callable[[str], Reason | None],
    ) -> None:
        self.rules = rules
        self.refused = refused
        self.server_ms: dict[str, Mapping[int, float]] = {}
        self.held_back = Cooldowns()
        self._manager = manager
        self._local = local
        self._hysteresis = hysteresis

    def names(self, by_hand: str | None) -> list[str]:
        """All that may serve, by their specs' own names."""
        chosen = () if by_hand is None else (by_hand,)
        return list(dict.fromkeys(self._manager.spec(name).name for name in (*self.rules.names, *chosen)))

    def room_mib(self, names: Iterable[str]) -> dict[str, float]:
        """What a load could have now, by device, of all where one of these may run."""
        free = dict(self._manager.ledger.room_mib())
        if self._hysteresis.serving is not None:
            # It runs there, whether a reader knows the device or not.
            free.setdefault(self._hysteresis.serving.device, 0.0)
        for device in {device for name in names for device in self.devices(self._manager.spec(name))}:
            free.setdefault(device, math.inf)  # asked for, and not known here: loading will say what there is to say
        return free

    def candidates(self, now_s: float, names: Iterable[str]) -> list[Candidate]:
        """What choose() is to choose from, with what speaks against each."""
        found = []
        for name in names:
            spec = self._manager.spec(name)
            held = {h.device: h for h in self._manager.ledger.holdings() if h.owner == name}
            devices = {device: self._figures(now_s, spec, device, held.get(device)) for device in self.devices(spec)}
            found.append(candidate(spec, devices, self._against(now_s, name, devices)))
        return found

    def _figures(self, now_s: float, spec: AnySpec, device: str, held: Holding | None) -> DeviceFigures:
        figures = device_figures(
            spec,
            device,
            self._local,
            runners=self.rules.threads_for(device),
            held_mib=held.held_mib if held else 0.0,
            idle=held is not None and not held.users,
            bar=self._bar(now_s, spec.name, device),
            max_batch=self.rules.max_batch,
        )
        if device != "triton":
            return figures
        return on_a_server(figures, self.server_ms.get(spec.name, {}))

    def devices(self, spec: AnySpec) -> list[str]:
        """Where it may run, the preferred one first; where it runs now is one of them, known to a reader or not."""
        gpus = gpus_of(self._manager)
        serving = self._hysteresis.serving
        if serving is not None and serving.model == spec.name and serving.device not in (*gpus, "cpu"):
            gpus.append(serving.device)
        return devices_for(spec, self.rules.device, gpus)

    def as_asked(self, place: Placement) -> Placement:
        """On a machine where no GPU is known, `auto` stays `auto`: loading finds one, or says why there is none."""
        spec = self._manager.spec(place.model)
        is_auto = spec.device_policy == "auto" and self.rules.device == "auto"
        no_choice = self.devices(spec) == ["cpu"]
        return Placement(place.model, "auto", place.bucket) if is_auto and no_choice else place

    def _against(self, now_s: float, name: str, devices: Iterable[str]) -> Reason | None:
        missing = self._manager.why_not(name)
        if missing is not None:
            return missing
        anywhere = self.held_back.against(now_s, name)
        everywhere = [self.held_back.against(now_s, name, device) for device in devices]
        return anywhere or (everywhere[0] if everywhere and all(everywhere) else None) or self.refused(name)

    def _bar(self, now_s: float, name: str, device: str) -> BatchCap | None:
        """The one that leaves the fewest buckets."""
        why = self.held_back.against(now_s, name, device)
        bars = (self._hysteresis.bar(now_s, name, device), BatchCap(why.code, why.why, 1) if why else None)
        return min((bar for bar in bars if bar is not None), key=lambda bar: bar.bucket, default=None)


def gpus_of(manager: ModelManager) -> list[str]:
    """The GPUs whose memory is read here, in their order."""
    return sorted(device for device in manager.reader.read() if device.startswith("cuda"))


def devices_for(spec: AnySpec, asked: str, gpus: Sequence[str]) -> list[str]:
    """Where a model's policy and the configuration (`asked`) let it run, the preferred one first."""
    if spec.runtime == "triton":
        return ["triton"]
    wanted = wanted_device(spec.device_policy, asked)
    return [*gpus, "cpu"] if wanted == "auto" else [wanted]


def on_a_server(figures: DeviceFigures, run_ms: Mapping[int, float]) -> DeviceFigures:
    """A model that takes no memory of ours; `run_ms`: what its batches were seen to take."""
    free = Measurement(0.0, measured=True)
    costs = {size: Cost(free, Measurement(run_ms[size], True) if size in run_ms else None) for size in figures.costs}
    return replace(figures, costs=costs)
