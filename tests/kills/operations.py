"""What is killed: each operation has a gallery to begin with and steps, each of which is wholly done or not at all.

A step may be done again: where it is done already it does nothing, as the error says that a user would be told.
"""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from gallery.errors import NameTaken, PersonNotFound, PhotoNotFound
from gallery.people import NewPhoto
from streamer.commands import main
from tests.faces import KNOWN, NAME
from tests.gallery.fakes import other_template, photo_of, unit
from tests.kills.states import Secrets, open_store, photo_secrets, secrets_of

Step = Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class Operation:
    """`forgotten`: by the number of steps done, the secrets of those of whom nothing may be left from then on.

    `from_nothing`: there is no gallery of this version to begin with, so that nobody can have it open meanwhile.
    `is_command`: the whole command line, which takes a second.
    """

    name: str
    prepare: Step
    steps: Sequence[Step]
    forgotten: Sequence[tuple[int, Secrets]] = ()
    from_nothing: bool = False
    is_command: bool = False


def photos_of(seed: int, count: int = 2) -> list[NewPhoto]:
    return [
        photo_of(unit(1000 * seed + n), 1000 * seed + n, others=[other_template(1000 * seed + n)]) for n in range(count)
    ]


PEOPLE = {name: photos_of(seed) for seed, name in enumerate(("Ada Lovelace", "Bob Marley", "Cleo Laine", "Dora Maar"))}
NEWCOMERS = {name: photos_of(seed) for seed, name in enumerate(("Eve Arden", "Fay Wray", "Gus Grissom"), 50)}
SECRETS = {name: secrets_of(name, photos) for name, photos in {**PEOPLE, **NEWCOMERS}.items()}
ADA, BOB, CLEO, DORA = PEOPLE


def nothing(home: Path) -> None:
    """No gallery yet."""


def four_people(home: Path) -> None:
    with open_store(home) as store:
        for name, photos in PEOPLE.items():
            store.add_person(name, photos)


def enrolled(name: str) -> Step:
    def step(home: Path) -> None:
        with open_store(home) as store, suppress(NameTaken):
            store.add_person(name, NEWCOMERS[name])

    return step


def photos_added(name: str, photos: Sequence[NewPhoto]) -> Step:
    def step(home: Path) -> None:
        with open_store(home) as store:
            store.add_photos(store.find(name).id, photos)

    return step


def photo_removed(name: str, number: int) -> Step:
    digest = PEOPLE[name][number].digest

    def step(home: Path) -> None:
        with open_store(home) as store, suppress(PhotoNotFound):
            person = store.find(name)
            for photo in store.photos(person.id):
                if photo.digest == digest:
                    store.remove_photo(person.id, photo.id)

    return step


def renamed(name: str, new: str) -> Step:
    def step(home: Path) -> None:
        with open_store(home) as store, suppress(PersonNotFound):
            store.rename(store.find(name).id, new)

    return step


def forgot(name: str) -> Step:
    def step(home: Path) -> None:
        with open_store(home) as store, suppress(PersonNotFound):
            store.forget(store.find(name).id)

    return step


def templates_made(home: Path) -> None:
    """As the service's backfill does for a model that came later; a kill leaves it with those made so far."""
    with open_store(home) as store:
        for photo in store.photos_without_template("third.1"):
            store.add_template(photo.id, "third.1", "by-third.1", unit(photo.id), photo.quality)
            return


def command(*arguments: object, done: Sequence[str] = ()) -> Step:
    """A command as a user types it; `done`: the codes by which it says that there is nothing to do any more."""

    def step(home: Path) -> None:
        for variable in [name for name in os.environ if name.startswith("WHOSTHERE_")]:
            del os.environ[variable]
        os.chdir(home)
        sys.argv = ["whosthere", *map(str, arguments)]
        told = StringIO()
        code: object = 0
        with redirect_stdout(told), redirect_stderr(told):
            try:
                main()
            except SystemExit as error:
                code = error.code
        said = told.getvalue()
        if code not in (0, None) and not any(f"[{name}]" in said for name in done):
            raise AssertionError(f"{arguments}: exit code {code}: {said}")

    return step


OPERATIONS = {
    operation.name: operation
    for operation in (
        Operation("create", nothing, [enrolled(name) for name in NEWCOMERS], from_nothing=True),
        Operation("enrol", four_people, [enrolled(name) for name in NEWCOMERS]),
        Operation("enrol by command", four_people, [command("enrol", NAME, KNOWN.file)], is_command=True),
        Operation("add photos", four_people, [photos_added(name, photos_of(70 + n)) for n, name in enumerate(PEOPLE)]),
        Operation(
            "remove photos",
            four_people,
            [photo_removed(ADA, 0), photo_removed(CLEO, 1), photo_removed(ADA, 1)],
            [(1, photo_secrets(ADA, PEOPLE[ADA][:1])), (2, photo_secrets(CLEO, PEOPLE[CLEO][1:]))],
        ),
        Operation("rename", four_people, [renamed(ADA, "Ada Byron"), renamed(DORA, "Henriette Markovitch")]),
        Operation("forget", four_people, [forgot(BOB), forgot(DORA)], [(1, SECRETS[BOB]), (2, SECRETS[DORA])]),
        Operation(
            "forget by command",
            four_people,
            [command("people", "forget", BOB, "--yes", done=["person_not_found"])],
            [(1, SECRETS[BOB])],
            is_command=True,
        ),
        Operation("templates of another model", four_people, [templates_made] * 8),
    )
}
