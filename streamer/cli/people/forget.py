"""`people forget`: a person erased everywhere, told step by step; what is left is told, too."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from streamer.cli.options import AsJson, ConfigFile, Overrides, Who, note, print_json, print_line, settings_of
from streamer.errors import ConfirmationNeeded, ErasureIncomplete
from streamer.people.forgetting import whom_to_forget
from streamer.process import open_gallery, this_user

if TYPE_CHECKING:
    from streamer.erasure.report import Report, StepTaken
    from streamer.erasure.steps import Step

POLITE = 10


def register(people: typer.Typer) -> None:
    people.command("forget", epilog='Example: whosthere people forget "Ada Lovelace" --yes')(forget)


def forget(
    who: Who,
    config: ConfigFile = None,
    overrides: Overrides = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: AsJson = False,
) -> None:
    """Erase a person everywhere: keys, photos, templates, name, kept visits, waiting events, retained MQTT topics.

    Asks before; without a terminal --yes is needed. Looks afterwards for what is left, and says so. Once more by the
    id, it erases what was left.
    """
    from streamer.erasure.erase import erase  # all of MQTT, which --help and other commands' confirm() do without

    settings = settings_of(config, overrides)
    with open_gallery(settings) as store:
        person_id, question = whom_to_forget(store, who)
    if not yes:
        confirm(question)
    with _shown() as begins:
        report = erase([person_id], settings, actor=this_user(), begins=begins, told=_tell)
    if json:
        print_json({"forgotten": person_id} | report.document())
    else:
        print_line(f"{person_id} is forgotten")
    _complain(person_id, report)


@contextmanager
def _shown() -> Iterator[Callable[["Step"], None]]:
    """What is being done, on a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with Console(stderr=True).status("") as status:
        yield lambda step: status.update(f"{step.about} ...")


def _tell(taken: "StepTaken") -> None:
    from streamer.erasure.steps import STEPS  # as above

    if taken.name == STEPS[0].name:
        os.nice(POLITE)  # the keys are gone; the rest may take its time beside a service that looks at cameras
    if taken.outcome.done:
        note(f"{taken.name}: {taken.outcome.done} ({taken.after_s:.1f} s)")
    for left in taken.outcome.left:
        whose = "left to you" if left.by == "you" else "left for now"
        note(f"{taken.name}: {whose}: {left} ({taken.after_s:.1f} s)")


def _complain(person_id: str, report: "Report") -> None:
    """Raises ErasureIncomplete where something stays unless somebody does something about it."""
    if report.for_you:
        raise ErasureIncomplete(f"{person_id} is forgotten, but not everywhere: {'; '.join(map(str, report.for_you))}")


def confirm(question: str, otherwise: str = "nothing was erased") -> None:
    """Raises ConfirmationNeeded where nobody can be asked."""
    if not sys.stdin.isatty():
        raise ConfirmationNeeded(f"{otherwise}: there is no terminal to ask on; give --yes to go on")
    typer.confirm(question, abort=True, err=True)
