"""`bench --idle`: options in, rows on stderr as they are measured, then a table or one JSON document on stdout."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
import uvloop

from streamer.cli.options import note, print_json, print_line, print_table
from streamer.settings import Settings


def run_idle_bench(
    settings: Settings,
    folder: Path,
    faces: Path | None,
    clip: Path | None,
    negative: Path | None,
    seconds: float | None,
    parts: Sequence[str] | None,
    *,
    as_json: bool,
) -> None:
    """Measure, and print what was measured. Exits with 1 where a part failed."""
    from streamer.bench.idle.run import PARTS, IdleBenchOptions, run_idle
    from streamer.bench.parts import Parts
    from streamer.bench.run import machine

    if unknown := set(parts or ()) - set(PARTS):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: --part is one of {', '.join(PARTS)}")
    wanted = tuple(part for part in PARTS if part in (parts or PARTS))
    absolute = [None if file is None else file.absolute() for file in (faces, clip, negative)]
    told = Parts(note)
    options = IdleBenchOptions(folder.absolute(), *absolute, longest_s=seconds, parts=wanted)
    document = {"machine": machine(), **uvloop.run(run_idle(settings, options, told, note)), **told.document()}
    if as_json:
        print_json(document)
    else:
        show_idle(document)
    if told.failed:
        raise typer.Exit(1)


def show_idle(document: dict[str, Any]) -> None:
    """Print its rows, how long gates were open, and what failed."""
    from streamer.bench.idle.rows import words_of

    print_line(f"machine: {document['machine']}")
    print_table(
        ["", "ours", "before", "limit", "goal"],
        [
            [words_of(key), *(_figure(row[name]) for name in ("ours", "before", "limit", "goal"))]
            for key, row in document["idle"]["rows"].items()
        ],
        "Nothing was measured.",
    )
    for gate, cameras in document["idle"].get("gates_open", {}).items():
        shares = ", ".join(f"{camera} {share:.0%}" for camera, share in sorted(cameras.items()))
        print_line(f"the gate before the {gate} was open: {shares}")
    show_failed(document)


def show_failed(document: dict[str, Any]) -> None:
    """A line for each part that failed."""
    for one in document.get("failed", ()):
        print_line(f"{one['part']}: FAILED: {one['why']}")


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
