"""`models list` and `models show`: which models are known, whether they can be had here, and what was measured of them.

Settings go in, rows come out; of weights int8 ones alone are read, since their form depends on the processor.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.table import Table

from recognition.errors import CodedError
from recognition.models.manager import ModelManager
from recognition.reason import Reason
from recognition.selection.candidates import Cost, Measurement
from recognition.selection.measurements import LocalMeasurements, device_figures
from recognition.specs.spec import ACCURACY_FMR, DetectorSpec, EmbedderSpec
from recognition.specs.weights import find_artifacts
from streamer.cli.options import (
    AsJson,
    ConfigFile,
    Overrides,
    print_json,
    print_line,
    print_table,
    printed,
    settings_of,
)
from streamer.model_layer.resolved import resolved_models
from streamer.model_layer.selection_input import devices_for, gpus_of
from streamer.model_layer.setup import make_manager
from streamer.settings import Settings

PIPE_WIDTH = 200
LEAST_LICENCE = 8
NOT_MEASURED = "-"

Row = dict[str, Any]


def list_models(
    resolved: Annotated[
        bool, typer.Option("--resolved", help="What the configuration would begin with here, by role, and why.")
    ] = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """List every model: whether it can be had, where it would run here, what was measured, its licence."""
    settings = settings_of(config, overrides, log_level="warning")
    if resolved:
        _show_resolved(resolved_models(settings), json)
        return
    rows = Described(settings).rows()
    if json:
        print_json({"models": rows})
        return
    width = Console().width if sys.stdout.isatty() else PIPE_WIDTH
    for kind in dict.fromkeys(row["kind"] for row in rows):
        print_models([row for row in rows if row["kind"] == kind], width)
        print_line()
    print_line("ms a face (of detectors: a picture) in the best batch size there, and all MiB that it takes then.")
    print_line("*: measured on this machine (whosthere models bench), else by the spec; -: nobody measured it.")
    print_line(f"TMR: the share of genuine pairs above the cosine that {ACCURACY_FMR:g} of impostor pairs reach.")


def show_model(
    name: Annotated[str, typer.Argument(help="A model's name, as `models list` shows it.", metavar="MODEL")],
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Show one model: its spec, whether it can be had here, and what was measured of it."""
    known = Described(settings_of(config, overrides, log_level="warning"))
    spec = known.manager.spec(name)
    row = known.row(spec)
    ours = {
        key: row[key] for key in ("weights", "availability", "device", "form", "figures", "preprocessing_signature")
    }
    document = {**spec.model_dump(mode="json"), **ours}
    if json:
        print_json(document)
    else:
        print_line(
            yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100, default_flow_style=None).rstrip()
        )


class Described:
    """The models of a configuration as rows."""

    def __init__(self, settings: Settings) -> None:
        self.manager: ModelManager = make_manager(settings)
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
            "best": _best(figures.get(devices[0], {})),
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


def _best(buckets: Mapping[str, Row]) -> Row | None:
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


def print_models(rows: Sequence[Row], width: int) -> None:
    """Models of one role as a table of this many columns; their licences have what the rest leaves."""
    (kind,) = {row["kind"] for row in rows}
    columns = [kind, "family", "engine", "available", "device", "ms", "MiB", *(["TMR"] if kind == "embedder" else [])]
    cells = [_cells(row)[: len(columns)] for row in rows]
    taken = sum(max(map(len, column)) + 1 for column in zip(columns, *cells, strict=True))
    left = max(LEAST_LICENCE, width - taken)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in ("ms", "MiB", "TMR") else "left", no_wrap=True)
    table.add_column("licence", no_wrap=True)
    for row, line in zip(rows, cells, strict=True):
        licence = row["licence"]
        table.add_row(*line, licence if len(licence) <= left else f"{licence[: left - 1].rstrip()}…")
    # On a narrow terminal lines are folded, and no number is cut.
    with printed():
        Console(width=taken + left, highlight=False, markup=False).print(table)


def _cells(row: Row) -> list[str]:
    best, accuracy = row["best"] or {}, row["accuracy"] or {}
    tmr, ms, mib = accuracy.get("tmr"), best.get("item_ms"), best.get("memory_mib")
    engine = row["engine"] if row["runtime"] == "inprocess" else row["runtime"]
    return [
        row["name"],
        row["family"],
        f"{engine} {row['form'] or row['precision']}",
        "yes" if row["availability"]["ok"] else row["availability"]["code"],
        row["device"],
        NOT_MEASURED if ms is None else f"{ms:.2f}{_star(best['run_ms_from'])}",
        NOT_MEASURED if mib is None else f"{mib:.0f}{_star(best['memory_mib_from'])}",
        NOT_MEASURED if tmr is None else f"{tmr:.1%}",
    ]


def _star(origin: str) -> str:
    return "*" if origin == "here" else " "


def _show_resolved(found: Row, json: bool) -> None:
    if json:
        print_json(found)
        return
    rows = found["resolved"].items()
    print_table(
        ["role", "model", "device", "engine", "batches up to", "sha256", "signature"],
        [
            [
                role,
                row["model"],
                row["device"],
                f"{row['engine']} {row['form'] or row['precision']}",
                row["batches_up_to"],
                f"{(row['weights_digest'] or 'unknown')[:12]}…",
                row["signature"],
            ]
            for role, row in rows
        ],
        "",
    )
    print_line(f"signature of both, as in events: {found['signature']}")
    for role, row in rows:
        print_line(f"{role}: {row['why']} [{row['reason']}]")
