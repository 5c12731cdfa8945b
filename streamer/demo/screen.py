"""What the demo looks like: notes and identity events in, a live table or (in a pipe) plain lines out.

Writes on the loop, a few lines a second at most.
"""

import sys
import time
from collections import deque
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from streamer.events.event import IdentityEvent
from streamer.telemetry.logs import LogFormat, setup_logging

_ROWS = 14
_COLUMNS = ("time", "camera", "type", "who", "similarity", "latency ms")
_STYLES = {"new": "bold green", "update": "yellow", "end": "dim"}


class Screen(Protocol):
    """Where a demo shows itself; used as a context."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def note(self, text: str) -> None:
        """A line about what the demo does."""
        ...

    def event(self, event: IdentityEvent) -> None:
        """An identity event, just heard."""
        ...


def open_screen(*, to_stderr: bool, log_format: LogFormat) -> Screen:
    """The screen for where the output goes. `to_stderr`: stdout is kept for a JSON document."""
    stream = sys.stderr if to_stderr else sys.stdout
    console = Console(file=stream, highlight=False, markup=False, emoji=False)
    return LiveTable(console, log_format) if console.is_terminal else PlainLines(console)


class PlainLines:
    """One line an event, for pipes and files."""

    def __init__(self, console: Console) -> None:
        self._file = console.file

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def note(self, text: str) -> None:
        self._write(text)

    def event(self, event: IdentityEvent) -> None:
        at, camera, kind, who, similarity, latency = cells(event)
        line = f"{at} {camera} {kind:6} {who}  similarity {similarity}"
        self._write(line if latency == "-" else f"{line}  latency {latency} ms")

    def _write(self, line: str) -> None:
        self._file.write(line + "\n")
        self._file.flush()


class LiveTable:
    """The notes, and under them a table of the latest events that redraws itself."""

    def __init__(self, console: Console, log_format: LogFormat) -> None:
        self._console = console
        self._log_format: LogFormat = log_format
        self._rows: deque[tuple[str, ...]] = deque(maxlen=_ROWS)
        self._live = Live(console=console, auto_refresh=False, redirect_stderr=sys.stderr.isatty())

    def __enter__(self) -> Self:
        self._live.start()
        # rich has put a stand-in for stderr in place: log lines go above the table, not through it.
        setup_logging("warning", self._log_format)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        setup_logging("warning", self._log_format)

    def note(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)

    def event(self, event: IdentityEvent) -> None:
        self._rows.append(cells(event))
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in _COLUMNS:
            table.add_column(column, justify="right" if column in ("similarity", "latency ms") else "left")
        for row in self._rows:
            table.add_row(*(Text(cell) for cell in row), style=_STYLES[row[2]])
        self._live.update(Group(Text(), table, Text()), refresh=True)


def cells(event: IdentityEvent) -> tuple[str, str, str, str, str, str]:
    """An event as the table's six cells; an `end` comes when nobody was seen for a while: no latency."""
    who = "unknown" if event.person is None else event.person.name or event.person.id
    latency_ms = event.latency_ms.total
    return (
        time.strftime("%H:%M:%S", time.localtime(event.captured_at)),
        event.camera,
        event.type,
        "".join(letter if letter.isprintable() else "?" for letter in who),
        "-" if event.similarity is None else f"{event.similarity:.2f}",
        "-" if latency_ms is None or event.type == "end" else f"{latency_ms:.0f}",
    )
