"""Every model that is known as a row: whether it can be had here, where it would run, what was measured of it.

Settings go in; of weights int8 ones alone are read, since their form depends on the processor. Blocks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from recognition.errors import CodedError
from recognition.models.manager import ModelManager
from recognition.reason import Reason
from recognition.selection.candidates import Cost, Measurement
from recognition.selection.measurements import LocalMeasurements, device_figures
from recognition.specs.spec import ACCURACY_FMR, DetectorSpec, EmbedderSpec
from recognition.specs.weights import find_artifacts
from streamer.model_layer.selection_input import devices_for, gpus_of
from streamer.model_layer.setup import make_manager
from streamer.settings import Settings

Row = dict[str, Any]


class Described:
    """The models of a configuration as rows."""

    def __init__(self, settings: Settings, manager: ModelManager | None = None) -> None:
        """manager None: the configuration's, made here."""
        self.manager: ModelManager = manager or make_manager(settings)
        self._settings = settings
        self._local = LocalMeasurements(settings.figures_path)
        self._gpus = gpus_of(self.manager)

    def rows(self) -> list[Row]:
        """One a model, detectors first."""
        specs = sorted(self.manager.specs.values(), key=lambda spec: (spec.role, spec.name))
        return [self.row(spec) for spec in specs]

    def row(self, spec: DetectorSpec | EmbedderSpec) -> Row:
        against = self.manager.why_not(spec.name)
        asked = self._settings.recognition.device
        devices = devices_for(spec, asked, self._gpus)
        form = None
        if against is None:
            try:
                form = self.manager.planned_form(spec.name, devices[0])
            except CodedError as error:
                against = Reason.of(error)
        figures = self._figures(spec, devices)
        return {
            **{key: getattr(spec, key) for key in ("name", "version", "role", "kind", "family")},
            **{key: getattr(spec, key) for key in ("engine", "runtime", "precision", "architecture")},
            "device_policy": spec.device_policy,
            "device_asked": asked,
            "device": devices[0],
            "form": form,
            "availability": {"ok": against is None, **(asdict(against) if against else {"code": None, "why": None})},
            "weights": self._weights(spec),
            "weights_digest": spec.weights_digest,
            "preprocessing_signature": spec.preprocessing_signature,
            "space": spec.space if isinstance(spec, EmbedderSpec) else None,
            "figures": figures,
            "best": best_of(figures.get(devices[0], {})),
            "accuracy": _accuracy(spec),
            "licence": spec.licence,
            "source": spec.source,
        }

    def _weights(self, spec: DetectorSpec | EmbedderSpec) -> str | None:
        try:
            found = find_artifacts(spec, self._settings.paths.models)
        except CodedError:
            return None
        return str(found[0]) if found else None

    def _figures(self, spec: DetectorSpec | EmbedderSpec, devices: Sequence[str]) -> dict[str, Row]:
        """By device and batch size, those alone of which something is known."""
        most = self._settings.recognition.max_batch
        told = {
            device: {
                str(bucket): _cost(bucket, cost)
                for bucket, cost in device_figures(spec, device, self._local, max_batch=most).costs.items()
                if cost.run_ms or cost.memory_mib
            }
            for device in devices
        }
        return {device: buckets for device, buckets in told.items() if buckets}


def _cost(bucket: int, cost: Cost) -> Row:
    def origin(figure: Measurement | None) -> str | None:
        return None if figure is None else "here" if figure.measured else "spec"

    run_ms = cost.run_ms.value if cost.run_ms else None
    return {
        "run_ms": run_ms,
        "item_ms": None if run_ms is None else round(run_ms / bucket, 3),
        "run_ms_from": origin(cost.run_ms),
        "memory_mib": cost.memory_mib.value if cost.memory_mib else None,
        "memory_mib_from": origin(cost.memory_mib),
    }


def best_of(buckets: Mapping[str, Row]) -> Row | None:
    """The batch size with the least time for each of its faces; None where no time is known."""
    timed = [(row["item_ms"], int(bucket)) for bucket, row in buckets.items() if row["item_ms"] is not None]
    if not timed:
        return None
    _, bucket = min(timed)
    return {"bucket": bucket, **buckets[str(bucket)]}


def _accuracy(spec: DetectorSpec | EmbedderSpec) -> Row | None:
    if isinstance(spec, DetectorSpec):
        return None
    return {"fmr": ACCURACY_FMR, "tmr": spec.accuracy, "measured_on": spec.thresholds.measured_on}
