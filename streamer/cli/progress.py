"""Progress of long work, on stderr: a bar on a terminal, a plain line every tenth of the way in a pipe."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from streamer.cli.options import note


@contextmanager
def progress_of(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yields told(done, total), to be called from one thread as often as one likes."""
    if sys.stderr.isatty():
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        # Lines of an answer go above the bar; into a file or a pipe they go as ever.
        at_terminal, console = sys.stdout.isatty(), Console(stderr=True)
        with Progress(*columns, console=console, transient=True, redirect_stdout=at_terminal) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    started_s, tenths = time.monotonic(), 0

    def told(done: int, total: int) -> None:
        nonlocal tenths
        if done * 10 // max(1, total) > tenths:
            tenths = done * 10 // total
            note(f"{what}: {done} of {total} in {time.monotonic() - started_s:.0f} s")

    yield told
