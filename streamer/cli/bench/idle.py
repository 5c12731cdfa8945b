"""`bench --idle`: options in, rows on stderr as they are measured, then a table or one JSON document on stdout."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
import uvloop

from streamer.cli.bench.cells import cell
from streamer.cli.bench.telling import Telling
from streamer.cli.options import print_line, print_table
from streamer.settings import Settings


def run_idle_bench(
    settings: Settings,
    folder: Path,
    faces: Path | None,
    clip: Path | None,
    negative: Path | None,
    seconds: float | None,
    parts: Sequence[str] | None,
    told: Telling,
) -> None:
    """Measure, and print what was measured. Exits with 1 where a part failed."""
    from streamer.bench.idle.run import PARTS, IdleBenchOptions, run_idle

    if unknown := set(parts or ()) - set(PARTS):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: --part is one of {', '.join(PARTS)}")
    faces, clip, negative = (None if file is None else file.absolute() for file in (faces, clip, negative))
    wanted = tuple(part for part in PARTS if part in (parts or PARTS))
    options = IdleBenchOptions(folder.absolute(), faces, clip, negative, seconds, wanted)
    told.document(uvloop.run(run_idle(settings, options, told.parts)), show_idle)


def show_idle(document: dict[str, Any]) -> None:
    """Print its rows, how long gates were open, and what failed."""
    from streamer.bench.idle.rows import words_of

    print_table(
        ["", "ours", "before", "limit", "goal"],
        [
            [words_of(key), *(cell(row[name], "g") for name in ("ours", "before", "limit", "goal"))]
            for key, row in document["idle"]["rows"].items()
        ],
        "Nothing was measured.",
    )
    for gate, cameras in document["idle"].get("gates_open", {}).items():
        shares = ", ".join(f"{camera} {share:.0%}" for camera, share in sorted(cameras.items()))
        print_line(f"the gate before the {gate} was open: {shares}")
