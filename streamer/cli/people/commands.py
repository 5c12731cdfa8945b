"""`people ...`: who is enrolled, and what is done with them. A running service notices within a second."""

from typing import ClassVar

import typer

from streamer.cli.listed import Listed, ListedGroup


class People(ListedGroup):
    """A module, mostly, for what belongs together."""

    listed: ClassVar = {
        "list": Listed("people.listing", "List everybody who is enrolled."),
        "show": Listed("people.listing", "Show what is known of one person."),
        "rename": Listed("people.profile", "Give a person another name, one that nobody else has; the id stays."),
        "photos": Listed(
            "people.photos",
            "List a person's enrolled photos: number, quality, when, and the start of the file's SHA-256 (not "
            "its name).",
        ),
        "remove-photo": Listed("people.photos", "Erase one of a person's photos with its templates, without asking."),
        "set": Listed(
            "people.profile",
            "Say what another system calls a person, tags, a threshold of their own, and the consent that they gave.",
        ),
        "ignore": Listed(
            "people.profile",
            "Know a person and never tell of them: no events, no presence; nobody else is taken for them either.",
        ),
        "not": Listed(
            "people.unlike",
            "Say that a face is not this person: from now on it is not given that name, and no face that is more "
            "like it is.",
        ),
        "merge": Listed(
            "people.joining",
            "Make two who were enrolled one person: PERSON's photos, tags and what is said of them become INTO's.",
        ),
        "split": Listed(
            "people.joining",
            "Make some of a person's photos those of somebody else, who is enrolled by them under another name.",
        ),
        "forget": Listed(
            "people.forget",
            "Erase a person everywhere: keys, photos, templates, name, kept visits, waiting events, retained "
            "MQTT topics.",
        ),
        "export": Listed("people.zips", "Write all that is kept of a person to a new ZIP (GDPR Art. 15 and 20)."),
        "import": Listed(
            "people.zips", "Enrol a person from the ZIP of another gallery, with the id, photos and templates of there."
        ),
        "look-alikes": Listed(
            "calibration.look_alikes",
            "List the people who are most alike: those who may be taken for one another, or are enrolled twice.",
        ),
    }


def register(app: typer.Typer) -> None:
    people = typer.Typer(
        cls=People,
        no_args_is_help=True,
        help="The people who are enrolled, and their photos.",
        epilog='Example: whosthere people show "Ada Lovelace"',
    )
    app.add_typer(people, name="people")
