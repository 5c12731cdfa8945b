"""`enrol`: photos -> a person in the gallery. A running service notices within a second."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer
import uvloop

from gallery.enrolment.enrol import EnrolReport
from gallery.errors import NoPhotoAccepted
from streamer.cli.options import AsJson, ConfigFile, Overrides, note, print_json, print_line, settings_of
from streamer.cli.progress import progress_of
from streamer.model_layer.enrolling import enrol_person
from streamer.model_layer.setup import open_for_enrolment
from streamer.process import open_gallery
from streamer.settings import Settings

_WORTH_A_BAR = 20


def register(app: typer.Typer) -> None:
    app.command(epilog='Example: whosthere enrol "Ada Lovelace" ada1.jpg ada2.jpg ada3.jpg')(enrol)


def enrol(
    name: Annotated[str, typer.Argument(help="The person's name.", metavar="NAME")],
    images: Annotated[list[Path], typer.Argument(help="Photos that show this person.", metavar="IMAGE")],
    config: ConfigFile = None,
    overrides: Overrides = None,
    pick: Annotated[
        Literal["largest"] | None,
        typer.Option(help="Which face to take where a photo shows several, whoever is beside it."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Enrol somebody who looks like a person of another name.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Enrol a person from photos, or add photos to one; good photos are kept, the others named with the reason.

    Of several faces in a photo the one is taken that is by far the largest, or that the person's other photos show
    too.
    """
    settings = settings_of(config, overrides, log_level="warning")
    try:
        report = uvloop.run(_enrol(settings, name, images, pick, force))
    except NoPhotoAccepted as error:
        if json:
            print_json(_document(error.refused))
        elif len(error.refused) > 1:  # the error's line has room for a few
            _print_refused(error.refused)
        raise
    if json:
        print_json(_document(report.refused, report))
        return
    for path, quality in report.taken:
        print_line(f"taken    {path} (quality {quality:.2f})")
    for path in report.already:
        print_line(f"already  {path} (enrolled before, or given twice)")
    _print_refused(report.refused)
    for warning in report.warnings:
        note(f"warning: {warning}")
    done = f"{len(report.taken)} of {len(images)} photos enrolled"
    if report.added_to:
        done = f"{len(report.taken)} of {len(images)} photos added, {report.person.photos} in all"
    print_line(f"{report.person.name} ({report.person.id}): {done}")


def _print_refused(refused: Sequence[tuple[Path, str, str]]) -> None:
    for path, code, why in refused:
        print_line(f"refused  {path}: {why} [{code}]")


async def _enrol(
    settings: Settings, name: str, images: list[Path], pick: Literal["largest"] | None, force: bool
) -> EnrolReport:
    with open_gallery(settings) as store:
        async with open_for_enrolment(settings) as recogniser:
            with progress_of("photos") as told:
                progress = told if len(images) >= _WORTH_A_BAR else _quiet
                return await enrol_person(
                    settings, recogniser, store, name, images, pick, force=force, progress=progress
                )


def _quiet(done: int, total: int) -> None:
    """A handful of photos is done before one could read how far they are."""


def _document(refused: Sequence[tuple[Path, str, str]], report: EnrolReport | None = None) -> dict[str, object]:
    """`report` None: no photo was accepted."""
    told = [{"image": str(path), "code": code, "why": why} for path, code, why in refused]
    if report is None:
        return {"person": None, "added_to": False, "taken": [], "already": [], "refused": told, "warnings": []}
    return {
        "person": {"id": report.person.id, "name": report.person.name},
        "added_to": report.added_to,
        "taken": [{"image": str(path), "quality": round(quality, 4)} for path, quality in report.taken],
        "already": [str(path) for path in report.already],
        "refused": told,
        "warnings": list(report.warnings),
    }
