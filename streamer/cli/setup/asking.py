"""Questions at a terminal, on stderr: stdout is for the answer of the command. Blocks for who answers.

Ctrl-C and the end of the input raise typer.Abort.
"""

import shutil
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import typer
import uvloop
from rich.console import Console

from recognition.errors import CodedError
from streamer.cli.options import folded

_STEPS = 5
T = TypeVar("T")
console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def heading(step: int, title: str) -> None:
    console.print(f"\n{step} of {_STEPS}  {title}", style="bold")


def say(text: str) -> None:
    console.print(_folded(text))


def wrong(error: CodedError) -> None:
    """What does not work, with its code."""
    console.print(_folded(f"  {' '.join(str(error).split())} [{error.code}]"), style="yellow")


def width() -> int | None:
    """In characters; a pipe has none."""
    return shutil.get_terminal_size().columns if console.is_terminal else None


def _folded(text: str) -> str:
    return folded(text, width())


def ask(question: str, default: str = "") -> str:
    """A line, without outer blanks."""
    return str(typer.prompt(_folded(question), default=default, show_default=bool(default), err=True)).strip()


def ask_number(question: str, default: int, least: int, most: int) -> int:
    while True:
        answer = ask(question, str(default))
        if answer.isdecimal() and least <= int(answer) <= most:
            return int(answer)
        say(f"  a number from {least} to {most}")


def ask_secret(question: str) -> str:
    """A line that is not shown."""
    while True:
        answer = str(typer.prompt(_folded(question), default="", show_default=False, hide_input=True, err=True))
        if answer.isprintable():
            return answer
        say("  it has a character that can't be typed into a form; type it anew")


def confirm(question: str, *, default: bool) -> bool:
    return typer.confirm(_folded(question), default=default, err=True)


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """What takes some seconds: something that moves, where it is looked at."""
    if console.is_terminal:
        with console.status(text, spinner="line"):
            yield
    else:
        say(text)
        yield


def tried(text: str, coroutine: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What it returns or raises."""
    with waiting(text):
        return uvloop.run(coroutine())
