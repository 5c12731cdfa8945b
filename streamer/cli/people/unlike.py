"""`people not`: a face that is not a person, though it was taken for that one. A running service notices at once."""

import hashlib
import re
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gallery.errors import NegativeNotFound
from gallery.people import KeptNegative, NewNegative, Person
from gallery.storage.store import PersonStore
from recognition.errors import ImageMissing
from streamer.cli.options import (
    LOG_IS_READ,
    AsJson,
    ConfigFile,
    Overrides,
    Who,
    note,
    print_json,
    print_line,
    settings_of,
)
from streamer.cli.people.summary import negative_summary
from streamer.process import open_gallery
from streamer.settings import Settings

if TYPE_CHECKING:
    from recognition.recogniser import Recogniser

_EVENT = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")


def register(people: typer.Typer) -> None:
    people.command(
        "not", epilog='Example: whosthere people not "Ada Lovelace" 01KBAGZ0M2T4V6X8Y0A2C4E6G8 stranger.jpg'
    )(not_person)


def not_person(
    who: Who,
    seen: Annotated[
        list[str],
        typer.Argument(
            help="Where the face was seen: the event_id of a kept visit, or a photo; with --undo also a number.",
            metavar="EVENT_ID|PHOTO",
        ),
    ],
    config: ConfigFile = None,
    overrides: Overrides = None,
    undo: Annotated[
        bool, typer.Option("--undo", help="Take it back, by the same event_id or photo, or its number in people show.")
    ] = False,
    pick: Annotated[
        Literal["largest"] | None, typer.Option(help="Which face is meant where a photo shows several.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Say that a face is not this person: from now on it is not given that name, and no face that is more like it is.

    The face is kept, encrypted, with the person, and goes with the person; or with whoever it shows, if that one is
    forgotten.
    """
    settings = settings_of(config, overrides, log_level="warning")
    with open_gallery(settings) as store:
        person = store.find(who)
        if undo:
            _undo(store, person, seen, json=json)
            return
        for path in (Path(one) for one in seen if not is_event(one)):
            if not path.exists():
                raise ImageMissing(f"{path} is neither a photo nor the event_id of a visit, 26 letters and digits long")
        # Not at the head: --undo does without.
        import uvloop

        before = {kept.id for kept in store.list_negatives(person.id)}
        negatives = uvloop.run(_faces(settings, store, person, seen, pick))
        kept = store.add_negatives(person.id, negatives)
    if json:
        rows = [negative_summary(one) for one in kept]
        print_json({"person": {"id": person.id, "name": person.name}, "negatives": rows})
        return
    for given, one in zip(seen, kept, strict=True):
        how = "already kept as" if one.id in before else "kept as"
        print_line(f"{given} is not {person.name} ({person.id}): {how} negative {one.id}")


async def _faces(
    settings: Settings, store: PersonStore, person: Person, seen: Sequence[str], pick: Literal["largest"] | None
) -> list[NewNegative]:
    """All that are meant, or none; the networks are loaded where a face needs it."""
    from streamer.model_layer.setup import make_manager, open_for_enrolment
    from streamer.people.negative_faces import Unlike, of_photo, of_visit

    manager = make_manager(settings)
    async with AsyncExitStack() as stack:
        stack.callback(manager.close)
        opened: list[Recogniser] = []

        async def networks() -> "Recogniser":
            if not opened:
                opened.append(await stack.enter_async_context(open_for_enrolment(settings, manager)))
            return opened[0]

        unlike = Unlike(person, settings, store, manager, networks, note)
        return [
            await of_visit(unlike, one) if is_event(one) else await of_photo(unlike, Path(one), pick) for one in seen
        ]


def _undo(store: PersonStore, person: Person, seen: Sequence[str], *, json: bool) -> None:
    kept = store.list_negatives(person.id)
    found = {_meant(person, kept, one).id: one for one in seen}
    emptied = store.remove_negatives(person.id, list(found))
    left = len(kept) - len(found)
    if json:
        print_json({"person": {"id": person.id, "name": person.name}, "removed": list(found), "left": left})
    else:
        for number, given in found.items():
            print_line(f"{given} may be {person.name} ({person.id}) again: negative {number} is erased; {left} left")
    if not emptied:
        note(LOG_IS_READ)


def _meant(person: Person, kept: Sequence[KeptNegative], seen: str) -> KeptNegative:
    """The one of this number, event or photo. Raises NegativeNotFound and ImageMissing."""
    sources = {event_source(seen)} if is_event(seen) else set[str]()
    if not sources and Path(seen).is_file():
        sources = {f"photo {digest(Path(seen))}"}
    for one in kept:
        if one.source in sources or (not sources and seen == str(one.id)):
            return one
    raise NegativeNotFound(
        f"nothing says that {seen} is not {person.name} ({person.id}); see whosthere people show {person.id} for what "
        "does"
    )


def is_event(seen: str) -> bool:
    return _EVENT.fullmatch(seen.upper()) is not None and not Path(seen).exists()


def event_source(event_id: str) -> str:
    return f"event {event_id.upper()}"


def digest(path: Path) -> str:
    """Raises ImageMissing."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ImageMissing(f"{path} can't be read ({error.strerror}); check the path") from None
