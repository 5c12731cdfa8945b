"""`people list|show|rename|forget|photos|remove-photo`: who is enrolled. A running service notices within a second."""

import sys
import time
from typing import Annotated, Any

import typer

from gallery.people import Person
from streamer.cli.options import AsJson, ConfigFile, Overrides, note, print_json, print_line, print_table, settings_of
from streamer.errors import ConfirmationNeeded
from streamer.process import open_gallery

people = typer.Typer(
    no_args_is_help=True,
    help="The people who are enrolled, and their photos.",
    epilog='Example: whosthere people show "Ada Lovelace"',
)

Who = Annotated[str, typer.Argument(help="The person's name or id; capitals and blanks don't count.", metavar="PERSON")]

_LOG_IS_READ = "the gallery's log was being read and still holds their pages; the next write empties it"


def register(app: typer.Typer) -> None:
    app.add_typer(people, name="people")


def _summary(person: Person) -> dict[str, Any]:
    return {
        "id": person.id,
        "name": person.name,
        "enrolled_at": person.created_at,
        "created": _local(person.created_at),
        "photos": person.photos,
        "templates": dict(person.templates),
    }


def _local(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


@people.command("list", epilog="Example: whosthere people list --json")
def list_people(config: ConfigFile = None, overrides: Overrides = None, json: AsJson = False) -> None:
    """List everybody who is enrolled."""
    with open_gallery(settings_of(config, overrides)) as store:
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
    with open_gallery(settings_of(config, overrides)) as store:
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
    json: AsJson = False,
) -> None:
    """Give a person another name, one that nobody else has; the id stays."""
    with open_gallery(settings_of(config, overrides)) as store:
        renamed = store.rename(store.find(who).id, name)
    if json:
        print_json({"id": renamed.id, "name": renamed.name})
    else:
        print_line(f"{renamed.id} is now {renamed.name}")


@people.command(epilog='Example: whosthere people forget "Ada Lovelace" --yes')
def forget(
    who: Who,
    config: ConfigFile = None,
    overrides: Overrides = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: AsJson = False,
) -> None:
    """Erase a person: photos, templates and name. Asks before; without a terminal --yes is needed."""
    with open_gallery(settings_of(config, overrides)) as store:
        person = store.find(who)
        if not yes:
            _confirm(f"Erase {person.name} ({person.id}), photos and templates included?")
        emptied = store.forget(person.id)
    if json:
        print_json({"forgotten": person.id})
    else:
        print_line(f"{person.id} is forgotten")
    if not emptied:
        note(_LOG_IS_READ)


@people.command(epilog='Example: whosthere people photos "Ada Lovelace" --json')
def photos(who: Who, config: ConfigFile = None, overrides: Overrides = None, json: AsJson = False) -> None:
    """List a person's enrolled photos: number, quality, when, and the start of the file's SHA-256 (not its name)."""
    with open_gallery(settings_of(config, overrides)) as store:
        person = store.find(who)
        kept = store.photos(person.id)
    if json:
        rows = [
            {
                "id": photo.id,
                "quality": round(photo.quality, 4),
                "added_at": photo.added_at,
                "sha256": photo.digest,
                "spaces": list(photo.spaces),
            }
            for photo in kept
        ]
        print_json({"person": {"id": person.id, "name": person.name}, "photos": rows})
        return
    print_table(
        ["id", "quality", "enrolled", "templates", "sha256"],
        [[p.id, f"{p.quality:.2f}", _local(p.added_at), len(p.spaces), p.digest[:12]] for p in kept],
        f"{person.name} ({person.id}) has no photos; enrol some",
    )


@people.command("remove-photo", epilog='Example: whosthere people remove-photo "Ada Lovelace" 17')
def remove_photo(
    who: Who,
    photo: Annotated[int, typer.Argument(help="The photo's number in `people photos`.", metavar="ID")],
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Erase one of a person's photos with its templates, without asking."""
    with open_gallery(settings_of(config, overrides)) as store:
        person = store.find(who)
        emptied = store.remove_photo(person.id, photo)
        left = len(store.photos(person.id))
    if json:
        print_json({"person": {"id": person.id, "name": person.name}, "removed": photo, "photos": left})
    else:
        print_line(f"photo {photo} of {person.id} is erased; {left} left")
    if not left:
        note(f"{person.id} has no photo any more and is not recognised; enrol some, or forget the person")
    if not emptied:
        note(_LOG_IS_READ)


def _confirm(question: str) -> None:
    """Raises ConfirmationNeeded where nobody can be asked."""
    if not sys.stdin.isatty():
        raise ConfirmationNeeded("nothing was erased: there is no terminal to ask on; give --yes to erase")
    typer.confirm(question, abort=True, err=True)
