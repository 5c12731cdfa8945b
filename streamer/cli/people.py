"""`enrol` and `people list|show|rename|forget`: the gallery's people. A running service notices within a second."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import uvloop

from gallery.enrol import EnrolReport, Gate
from gallery.enrol import enrol as enrol_photos
from gallery.errors import NoPhotoAccepted
from gallery.people import Person
from gallery.store import PersonStore
from streamer.cli.options import AsJson, ConfigFile, Overrides, note, print_json, print_line, print_table, settings_of
from streamer.model_layer.setup import open_for_enrolment
from streamer.pipeline.match_policy import enrolling_threshold
from streamer.settings import Settings

people = typer.Typer(no_args_is_help=True, help="List, show, rename and forget the people who are enrolled.")

Who = Annotated[str, typer.Argument(help="The person's name or id.", metavar="PERSON")]


def register(app: typer.Typer) -> None:
    app.command(epilog='Example: whosthere enrol "Ada Lovelace" ada1.jpg ada2.jpg ada3.jpg')(enrol)
    app.add_typer(people, name="people")


def enrol(
    name: Annotated[str, typer.Argument(help="The person's name.", metavar="NAME")],
    images: Annotated[list[Path], typer.Argument(help="Photos that show this person.", metavar="IMAGE")],
    config: ConfigFile = None,
    overrides: Overrides = None,
    pick: Annotated[
        Literal["largest"] | None, typer.Option(help="Which face to take where a photo shows several.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Enrol a person from photos, or add photos to one; good photos are kept, the others named with the reason."""
    settings = settings_of(config, overrides, log_level="warning")
    try:
        report = uvloop.run(_enrol(settings, name, images, pick))
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
    print_line(f"{report.person.name} ({report.person.id}): {len(report.taken)} of {len(images)} photos enrolled")


def _print_refused(refused: Sequence[tuple[Path, str, str]]) -> None:
    for path, code, why in refused:
        print_line(f"refused  {path}: {why} [{code}]")


async def _enrol(settings: Settings, name: str, images: list[Path], pick: Literal["largest"] | None) -> EnrolReport:
    gate = Gate(settings.gallery.enrol.min_face_px, settings.gallery.enrol.min_quality)
    with PersonStore(settings.gallery_path) as store:
        async with open_for_enrolment(settings) as recogniser:
            threshold = enrolling_threshold(settings, recogniser)
            return await enrol_photos(name, images, recogniser, store, gate, pick, threshold=threshold)


def _summary(person: Person) -> dict[str, Any]:
    created = time.strftime("%Y-%m-%d %H:%M", time.localtime(person.created_at))
    return {
        "id": person.id,
        "name": person.name,
        "enrolled_at": person.created_at,
        "created": created,
        "photos": person.photos,
        "templates": dict(person.templates),
    }


def _document(refused: Sequence[tuple[Path, str, str]], report: EnrolReport | None = None) -> dict[str, object]:
    """`report` None: no photo was accepted."""
    told = [{"image": str(path), "code": code, "why": why} for path, code, why in refused]
    if report is None:
        return {"person": None, "taken": [], "already": [], "refused": told, "warnings": []}
    return {
        "person": {"id": report.person.id, "name": report.person.name},
        "taken": [{"image": str(path), "quality": round(quality, 4)} for path, quality in report.taken],
        "already": [str(path) for path in report.already],
        "refused": told,
        "warnings": list(report.warnings),
    }


@people.command("list", epilog="Example: whosthere people list --json")
def list_people(config: ConfigFile = None, overrides: Overrides = None, json: AsJson = False) -> None:
    """List everybody who is enrolled."""
    with PersonStore(settings_of(config, overrides).gallery_path) as store:
        rows = [_summary(person) for person in store.people()]
    if json:
        print_json({"people": rows})
    else:
        print_table(
            ["id", "name", "photos", "templates"],
            [[row["id"], row["name"], row["photos"], sum(row["templates"].values())] for row in rows],
            'Nobody is enrolled yet; try: whosthere enrol "Ada Lovelace" *.jpg',
        )


@people.command(epilog='Example: whosthere people show "Ada Lovelace"')
def show(who: Who, config: ConfigFile = None, overrides: Overrides = None, json: AsJson = False) -> None:
    """Show what is known of one person."""
    with PersonStore(settings_of(config, overrides).gallery_path) as store:
        found = store.find(who)
        row = next(_summary(person) for person in store.people() if person.id == found.id)
    if json:
        print_json(row)
        return
    print_line(f"{row['name']} ({row['id']}), enrolled {row['created']}, {row['photos']} photos")
    for space, count in row["templates"].items():
        print_line(f"  {count} templates for {space}")


@people.command(epilog='Example: whosthere people rename "Ada Byron" "Ada Lovelace"')
def rename(
    who: Who,
    name: Annotated[str, typer.Argument(help="The new name.", metavar="NAME")],
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Give a person another name; the id stays."""
    with PersonStore(settings_of(config, overrides).gallery_path) as store:
        renamed = store.rename(store.find(who).id, name)
    print_line(f"{renamed.id} is now {renamed.name}")


@people.command(epilog='Example: whosthere people forget "Ada Lovelace" --yes')
def forget(
    who: Who,
    config: ConfigFile = None,
    overrides: Overrides = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Erase a person: photos, templates and name."""
    with PersonStore(settings_of(config, overrides).gallery_path) as store:
        person = store.find(who)
        if not yes and sys.stdin.isatty():
            typer.confirm(f"Erase {person.name} ({person.id}), photos and templates included?", abort=True, err=True)
        emptied = store.forget(person.id)
    print_line(f"{person.id} is forgotten")
    if not emptied:
        note("the gallery's log was being read and still holds their pages; the next write empties it")
