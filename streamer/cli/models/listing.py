"""`models list` and `models show`: which models are known, whether they can be had here, and what was measured of them.

The rows are streamer/model_layer/described.py's.
"""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer
import yaml
from rich.console import Console
from rich.table import Table

from recognition.specs.spec import ACCURACY_FMR
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
from streamer.model_layer.described import Described, Row
from streamer.model_layer.resolved import resolved_models

PIPE_WIDTH = 200
LEAST_LICENCE = 8
NOT_MEASURED = "-"


def register(models: typer.Typer) -> None:
    models.command("list", epilog="Example: whosthere models list --json")(list_models)
    models.command("show", epilog="Example: whosthere models show nano_embed --json")(show_model)


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
