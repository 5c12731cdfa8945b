"""`people photos` and `people remove-photo`: what a person was enrolled by."""

from typing import Annotated

import typer

from streamer.cli.options import (
    LOG_IS_READ,
    AsJson,
    ConfigFile,
    Overrides,
    Who,
    note,
    print_json,
    print_line,
    print_table,
    settings_of,
)
from streamer.cli.people.summary import local
from streamer.cli.people.trained import note_classifiers
from streamer.process import open_gallery


def register(people: typer.Typer) -> None:
    people.command(epilog='Example: whosthere people photos "Ada Lovelace" --json')(photos)
    people.command("remove-photo", epilog='Example: whosthere people remove-photo "Ada Lovelace" 17')(remove_photo)


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
        [[p.id, f"{p.quality:.2f}", local(p.added_at), len(p.spaces), p.digest[:12]] for p in kept],
        f"{person.name} ({person.id}) has no photos; enrol some",
    )


def remove_photo(
    who: Who,
    photo: Annotated[int, typer.Argument(help="The photo's number in `people photos`.", metavar="ID")],
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Erase one of a person's photos with its templates, without asking."""
    settings = settings_of(config, overrides)
    with open_gallery(settings) as store:
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
        note(LOG_IS_READ)
    note_classifiers(settings, person)
