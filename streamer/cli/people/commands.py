"""`people list|show|rename|photos|remove-photo`: who is enrolled. A running service notices within a second."""

from typing import Annotated, Any

import typer

from streamer.cli.calibration.look_alikes import look_alikes
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
from streamer.cli.people.forget import forget
from streamer.cli.people.joining import merge, split
from streamer.cli.people.profile import ignore, set_person
from streamer.cli.people.summary import lines, local, negative_line, negative_summary, summary
from streamer.cli.people.trained import note_classifiers
from streamer.cli.people.unlike import not_person
from streamer.cli.people.zips import export_person, import_person
from streamer.process import open_gallery

people = typer.Typer(
    no_args_is_help=True,
    help="The people who are enrolled, and their photos.",
    epilog='Example: whosthere people show "Ada Lovelace"',
)


def register(app: typer.Typer) -> None:
    people.command("set", epilog='Example: whosthere people set "Ada Lovelace" --external-id 4711 --tag staff')(
        set_person
    )
    people.command("ignore", epilog='Example: whosthere people ignore "Ada Lovelace"')(ignore)
    people.command(
        "not", epilog='Example: whosthere people not "Ada Lovelace" 01KBAGZ0M2T4V6X8Y0A2C4E6G8 stranger.jpg'
    )(not_person)
    people.command("merge", epilog='Example: whosthere people merge "Ada Byron" "Ada Lovelace" --yes')(merge)
    people.command("split", epilog='Example: whosthere people split "Ada Lovelace" 17 19 --as "Grace Hopper"')(split)
    people.command("forget", epilog='Example: whosthere people forget "Ada Lovelace" --yes')(forget)
    people.command("export", epilog='Example: whosthere people export "Ada Lovelace" ada.zip')(export_person)
    people.command("import", epilog="Example: whosthere people import ada.zip")(import_person)
    people.command("look-alikes", epilog="Example: whosthere people look-alikes --json")(look_alikes)
    app.add_typer(people, name="people")


def _mark(row: dict[str, Any]) -> str:
    return "ignored" if row["ignored"] else ""


@people.command("list", epilog="Example: whosthere people list --json")
def list_people(config: ConfigFile = None, overrides: Overrides = None, json: AsJson = False) -> None:
    """List everybody who is enrolled."""
    with open_gallery(settings_of(config, overrides)) as store:
        rows = [summary(person) for person in store.people()]
        left_out = store.left_out()
    if json:
        print_json({"people": rows})
    else:
        print_table(
            ["id", "name", "photos", "templates", ""],
            [(row["id"], row["name"], row["photos"], sum(row["templates"].values()), _mark(row)) for row in rows],
            'Nobody is enrolled yet; try: whosthere enrol "Ada Lovelace" *.jpg',
        )
    if left_out is not None:
        note(str(left_out))


@people.command(epilog='Example: whosthere people show "Ada Lovelace"')
def show(who: Who, config: ConfigFile = None, overrides: Overrides = None, json: AsJson = False) -> None:
    """Show what is known of one person."""
    with open_gallery(settings_of(config, overrides)) as store:
        found = store.find(who)
        negatives, former = store.list_negatives(found.id), store.former_ids(found.id)
    if json:
        more = {"former_ids": former, "negatives": [negative_summary(one) for one in negatives]}
        print_json(summary(found) | more)
        return
    for line in lines(found):
        print_line(line)
    if former:
        print_line(f"  was {', '.join(former)}, too, before they were merged")
    for one in negatives:
        print_line(negative_line(one))


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
        [[p.id, f"{p.quality:.2f}", local(p.added_at), len(p.spaces), p.digest[:12]] for p in kept],
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
