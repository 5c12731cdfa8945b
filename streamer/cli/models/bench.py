"""`models bench`: how much memory models take on this machine and how long their batches run; kept for the selector.

Each model is loaded in a process of its own. Blocks for seconds a model.
"""

import shlex
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

from recognition.architectures import ARCHITECTURES, find_architecture
from recognition.errors import CodedError, WeightsMissing
from recognition.models.manager import ModelManager
from recognition.selection.measure import Measured, measure_in_child
from recognition.selection.measurements import LocalMeasurements, hardware_of
from recognition.specs.devices import Device
from recognition.specs.files import find_spec
from recognition.specs.spec import DetectorSpec, EmbedderSpec
from recognition.zoo.random_model import write_random_model
from streamer.cli.options import AsJson, ConfigFile, Overrides, print_json, print_line, print_table, settings_of
from streamer.cli.progress import progress_of
from streamer.process import make_data_folder
from streamer.settings import Settings

_DEVICE: TypeAdapter[Device] = TypeAdapter(Device)


@dataclass(frozen=True, slots=True)
class _Bench:
    """What all models of one run share."""

    settings: Settings
    specs: Mapping[str, DetectorSpec | EmbedderSpec]
    device: Device
    command: str

    def real(self, name: str) -> Measured:
        """Measure a model, and keep its figures."""
        measured = measure_in_child(name, self.settings.paths.models, self.device, self.specs)
        LocalMeasurements(self.settings.figures_path).keep(
            measured.spec, measured.device, measured.buckets, measured_at=time.time(), command=self.command
        )
        return measured

    def random(self, name: str) -> Measured:
        """Measure an architecture; its weights, and so its figures, are nobody's."""
        with tempfile.TemporaryDirectory(prefix="whosthere-bench-") as folder:
            spec = write_random_model(find_architecture(name), Path(folder))
            return measure_in_child(spec.name, [Path(folder)], self.device, {spec.name: spec})

    def row(self, name: str, random: bool) -> dict[str, Any]:
        """One model's outcome."""
        row: dict[str, Any] = {"name": name, "random": random}
        try:
            measured = self.random(name) if random else self.real(name)
        except CodedError as error:
            return {**row, "ok": False, "code": error.code, "detail": str(error)}
        return {**row, "ok": True, "code": None, **_document(measured)}


def register(models: typer.Typer) -> None:
    models.command("bench", epilog="Example: whosthere models bench nano_embed --device cpu")(bench_models)


def bench_models(
    names: Annotated[
        list[str] | None, typer.Argument(help="Models; default: all whose weights are here.", metavar="MODEL")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda or cuda:N; default: recognition.device.", metavar="DEVICE")
    ] = None,
    random: Annotated[
        list[str] | None,
        typer.Option(
            help=f"With random weights, for time and memory alone: {', '.join(ARCHITECTURES)}. Repeatable.",
            metavar="ARCHITECTURE",
        ),
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Measure what memory models take here and how long their batches run; the choice among models goes by it."""
    settings = settings_of(config, overrides, log_level="warning")
    wanted = settings.recognition.device if device is None else _device(device)
    manager = ModelManager(settings.paths.models, profiles=settings.recognition.profiles)
    named = [find_spec(name, manager.specs).name for name in names or ()]
    drawn = [find_architecture(name).name for name in random or ()]
    works = [(name, False) for name in named or ([] if drawn else _all_here(manager))] + [(n, True) for n in drawn]
    if len(works) > len(drawn):
        make_data_folder(settings.paths.data)  # before the long run
    bench = _Bench(settings, manager.specs, wanted, _command(named, device))
    rows = []
    with progress_of("measuring") as told:
        for done, work in enumerate(works, 1):
            rows.append(bench.row(*work))
            told(done, len(works))
    if json:
        print_json({"file": str(settings.figures_path), "models": rows})
    else:
        _show(rows, settings)
    _tell_failures(rows, {*named, *drawn})


def _device(typed: str) -> Device:
    try:
        return _DEVICE.validate_python(typed)
    except ValidationError as error:
        raise typer.BadParameter(error.errors()[0]["msg"], param_hint="--device") from None


def _all_here(manager: ModelManager) -> list[str]:
    """Those that could be loaded, and those that could if not for something else than missing weights."""
    local = (name for name, spec in manager.specs.items() if spec.runtime == "inprocess")
    found = ((name, manager.why_not(name)) for name in local)
    return [name for name, against in found if against is None or against.code != WeightsMissing.code]


def _command(named: list[str], device: str | None) -> str:
    return shlex.join(["whosthere", "models", "bench", *named, *(["--device", device] if device else [])])


def _document(measured: Measured) -> dict[str, Any]:
    spec = measured.spec
    return {
        "role": spec.role,
        "runtime": spec.runtime,
        "engine": spec.engine,
        "precision": spec.precision,
        "weights_digest": spec.weights_digest,
        "device": measured.device,
        "hardware": hardware_of(measured.device),
        "notes": list(measured.notes),
        "buckets": {
            bucket: {
                **asdict(figures),
                "item_ms": round(figures.run_ms / bucket, 3),
                "items_per_s": round(1e3 * bucket / figures.run_ms, 1) if figures.run_ms else None,
            }
            for bucket, figures in measured.buckets.items()
        },
    }


def _show(rows: list[dict[str, Any]], settings: Settings) -> None:
    measured = [row for row in rows if row["ok"]]
    print_table(
        ["model", "engine", "precision", "device", "bucket", "ms a batch", "ms a face", "faces/s", "memory MiB"],
        [
            [
                f"{row['name']} (random weights)" if row["random"] else row["name"],
                *(row[column] for column in ("engine", "precision", "device")),
                bucket,
                f"{figures['run_ms']:.2f}",
                f"{figures['item_ms']:.2f}",
                figures["items_per_s"],
                "-" if figures["memory_mib"] is None else f"{figures['memory_mib']:.1f}",
            ]
            for row in measured
            for bucket, figures in row["buckets"].items()
        ],
        "Nothing was measured.",
    )
    for device, hardware in sorted({(row["device"], row["hardware"]) for row in measured}):
        print_line(f"{device}: {hardware}{', one core' if device == 'cpu' else ''} (of detectors: pictures, not faces)")
    for row in measured:
        for text in row["notes"]:
            print_line(f"note: {row['name']}: {text}")
    if any(not row["random"] for row in measured):
        print_line(f"kept in {settings.figures_path}")


def _tell_failures(rows: list[dict[str, Any]], asked_for: set[str]) -> None:
    """Exit 1 where one that was named could not be measured."""
    failed = [row for row in rows if not row["ok"]]
    for line in dict.fromkeys(f"{row['detail']} [{row['code']}]" for row in failed):
        sys.stderr.write(f"whosthere: {line}\n")
    if any(row["name"] in asked_for for row in failed):
        raise typer.Exit(1)
