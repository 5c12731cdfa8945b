"""What every command shares: --config, --set, --json, and how data is printed.

Data goes to stdout (with --json: that document alone), progress and logs go to stderr.
"""

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from streamer.errors import OutputUnwritable

if TYPE_CHECKING:
    from streamer.settings import Settings

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="YAML file; default ./whosthere.yaml, else the shipped one.", metavar="FILE"),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", help="Set one value, e.g. mqtt.port=1884. Repeatable.", metavar="SECTION.KEY=VALUE"),
]
Who = Annotated[str, typer.Argument(help="The person's name or id; capitals and blanks don't count.", metavar="PERSON")]
LOG_IS_READ = "the gallery's log was being read and still holds their pages; the next write empties it"
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, nothing else.")]


def settings_of(config: Path | None, overrides: Sequence[str] | None, log_level: str | None = None) -> "Settings":
    """Load the settings and start logging (to stderr) as they say."""
    # Two thirds of what a small command takes, of which --help and --version need nothing.
    from streamer.settings_reading import load
    from streamer.telemetry.logs import setup_logging

    settings = load(config, overrides or ())
    setup_logging(log_level or settings.service.log_level, settings.service.log_format)
    return settings


@contextmanager
def printed() -> Iterator[None]:
    """Raises OutputUnwritable where stdout can't be written (a full disk); a pipe that is closed is no fault."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        with suppress(OSError):  # what is left would fail again at the end, with a traceback
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputUnwritable(f"the output can't be written ({error.strerror}); make room where it goes") from None


def print_json(document: object) -> None:
    """One JSON document on stdout. Raises OutputUnwritable."""
    with printed():
        sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode() + "\n")


def print_line(text: str = "") -> None:
    """A line of a command's answer. Raises OutputUnwritable."""
    with printed():
        sys.stdout.write(text + "\n")


def print_finding(mark: str, text: str) -> None:
    """A line of `check` or `doctor`, at a terminal folded below its own beginning. Raises OutputUnwritable."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print_line(folded(f"{mark} {text}", width, hang=len(mark) + 1))


def folded(text: str, width: int | None, hang: int = 0) -> str:
    """Each line narrower than `width`, folded between words and indented as it begins, or by `hang`. None: as it is."""
    return "\n".join(part for line in text.split("\n") for part in _parts(line, width, hang))


def _parts(line: str, width: int | None, hang: int) -> list[str]:
    if width is None or len(line) < width:
        return [line]
    indent = " " * (hang or len(line) - len(line.lstrip()))
    # A path or a URL stays whole: somebody may copy it.
    return textwrap.wrap(line, width - 1, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def note(text: str) -> None:
    """A line that is no answer: progress, a warning."""
    sys.stderr.write(text + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], empty: str) -> None:
    """Rows as a table as wide as it needs; `empty` where there are none."""
    from rich.console import Console  # which most commands do without, as with --json
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    if table.row_count:
        with printed():
            Console(width=None if sys.stdout.isatty() else 200, highlight=False, markup=False).print(table)
    else:
        print_line(empty)
