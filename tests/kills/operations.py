"""What is killed: each operation has a gallery to begin with and steps, each of which is wholly done or not at all.

A step may be done again: where it is done already it does nothing, as the error says that a user would be told.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from gallery.errors import NameTaken, PersonNotFound, PhotoNotFound
from gallery.people import Consent, NewPhoto, OwnThreshold
from tests.faces import NAME
from tests.gallery.fakes import SPACE, negative_of, other_template, photo_of, unit
from tests.kills.old_galleries import write_old_gallery
from tests.kills.states import DATA, PLAIN, Secrets, keys_of, open_store, secrets_of
from tests.upgrade.folders import unpack

Step = Callable[[Path], None]


class Erased(NamedTuple):
    """What may not be left in any file once so many steps are done: somebody, or `photos` of somebody by number."""

    steps: int
    name: str
    photos: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """A gallery and what is done to it.

    `from_nothing`: there is no gallery of this version to begin with, so that nobody can have it open meanwhile.
    `beside`: what else it writes, put so that it can be compared. `told_first`: the audit log is told before it is
    done, so that nothing leaves untold, and again by who does it again.
    """

    name: str
    prepare: Step
    steps: Sequence[Step]
    erased: Sequence[Erased] = ()
    from_nothing: bool = False
    beside: Callable[[Path], object] = lambda _: None
    told_first: bool = False


def photos_of(seed: int, count: int = 2) -> list[NewPhoto]:
    return [
        photo_of(unit(1000 * seed + n), 1000 * seed + n, others=[other_template(1000 * seed + n)]) for n in range(count)
    ]


PEOPLE = {name: photos_of(seed) for seed, name in enumerate(("Ada Lovelace", "Bob Marley", "Cleo Laine", "Dora Maar"))}
NEWCOMERS = {name: photos_of(seed) for seed, name in enumerate(("Eve Arden", "Fay Wray", "Gus Grissom"), 50)}
MORE = {name: photos_of(seed) for seed, name in enumerate(PEOPLE, 70)}
NEW_NAMES = {"Ada Lovelace": "Ada Byron", "Dora Maar": "Henriette Markovitch"}
# Of everybody who comes up anywhere.
SECRETS: Secrets = {
    what: secret
    for people in (PEOPLE, NEWCOMERS, MORE, {name: [] for name in [*NEW_NAMES.values(), NAME]})
    for name, photos in people.items()
    for what, secret in secrets_of(name, photos).items()
}
ADA, BOB, CLEO, DORA = PEOPLE
EVE, FAY, GUS = NEWCOMERS


def nothing(home: Path) -> None:
    """No gallery yet."""


def four_people(home: Path) -> None:
    with open_store(home) as store:
        for name, photos in PEOPLE.items():
            store.add_person(name, photos)


def four_people_in_clear(home: Path) -> None:
    """Encryption was off, and is on from now on."""
    (home / PLAIN).touch()
    four_people(home)
    (home / PLAIN).unlink()


def four_people_to_be_in_clear(home: Path) -> None:
    """Encryption was on, and is to be off."""
    four_people(home)
    (home / PLAIN).touch()


def four_people_without_encryption(home: Path) -> None:
    (home / PLAIN).touch()
    four_people(home)


def of_version(version: int) -> Step:
    return lambda home: write_old_gallery(home, version, {**PEOPLE, **NEWCOMERS}, let_go=EVE)


def _left(name: str, home: Path) -> None:
    unpack(name, home)
    for file in (home / DATA).glob("outbox.db*"):
        file.unlink()  # not the gallery's, and large


def left_by(name: str) -> Step:
    """By the real code of before, killed (tests/upgrade)."""
    return lambda home: _left(name, home)


def opened(home: Path) -> None:
    open_store(home).close()


def enrolled(name: str) -> Step:
    def step(home: Path) -> None:
        with open_store(home) as store, suppress(NameTaken):
            store.add_person(name, NEWCOMERS[name])

    return step


def photos_added(name: str, photos: Sequence[NewPhoto]) -> Step:
    def step(home: Path) -> None:
        with open_store(home) as store:
            person_id = store.find(name).id
            if {photo.digest for photo in photos} - {photo.digest for photo in store.photos(person_id)}:
                store.add_photos(person_id, photos)

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


def told_of(name: str, **what: Any) -> Step:
    """What is said of a person, changed."""

    def step(home: Path) -> None:
        with open_store(home) as store:
            person = store.find(name)
            if any(getattr(person.profile, key) != value for key, value in what.items()):
                store.change(person.id, lambda profile: replace(profile, **what))

    return step


def rotated(times: int) -> Step:
    """The key changed for the nth time: what was begun is finished first."""

    def step(home: Path) -> None:
        keys = keys_of(home)
        with open_store(home) as store:
            done = sum(entry.action == "rekeyed" for entry in store.audit_entries())
            if done < times:
                store.rekey(keys.begin_rotation(home))
            keys.end_rotation(keys.find(store.key_id or ""))
            store.vacuum()

    return step


def put_in_clear(home: Path) -> None:
    with open_store(home) as store:
        if store.key_id is not None:
            store.rekey(None)
        store.vacuum()


def vacuumed(home: Path) -> None:
    with open_store(home) as store:
        store.vacuum()


def forgot(name: str) -> Step:
    def step(home: Path) -> None:
        with open_store(home) as store, suppress(PersonNotFound):
            store.forget(store.find(name).id)

    return step


def said_not(name: str, number: int) -> Step:
    """A face that is not somebody; said again, it is there."""

    def step(home: Path) -> None:
        with open_store(home) as store:
            store.add_negative(store.find(name).id, negative_of(unit(900 + number), unit(950 + number), number=number))

    return step


def taken_back(name: str, number: int) -> Step:
    def step(home: Path) -> None:
        with open_store(home) as store:
            person = store.find(name)
            for kept in store.list_negatives(person.id):
                if kept.source == f"event {number}":
                    store.remove_negative(person.id, kept.id)

    return step


def merged(name: str, into: str) -> Step:
    def step(home: Path) -> None:
        with open_store(home) as store, suppress(PersonNotFound):
            store.merge(store.find(name).id, store.find(into).id, {SPACE: 0.5})

    return step


def split(name: str, number: int, new: str) -> Step:
    """A photo of the person's, which may be somebody else's already."""
    digest = PEOPLE[name][number].digest

    def step(home: Path) -> None:
        with open_store(home) as store, suppress(NameTaken):
            person = store.find(name)
            numbers = [photo.id for photo in store.photos(person.id) if photo.digest == digest]
            if numbers:
                store.split(person.id, numbers, new)

    return step


def template_made(number: int) -> Step:
    """As the service's backfill does for a model that came later; a kill leaves it with those made so far."""

    def step(home: Path) -> None:
        with open_store(home) as store:
            photos = list(store.photos_without_template("third.1"))
            if len(photos) > 2 * len(PEOPLE) - number:
                photo = photos[0]
                store.add_template(photo.id, "third.1", "by-third.1", unit(photo.id), photo.quality)

    return step


def after(*steps: Step) -> Step:
    def prepare(home: Path) -> None:
        for step in steps:
            step(home)

    return prepare


OPERATIONS = {
    operation.name: operation
    for operation in (
        Operation("create", nothing, [opened, *(enrolled(name) for name in NEWCOMERS)], from_nothing=True),
        Operation("enrol", four_people, [enrolled(name) for name in NEWCOMERS]),
        Operation("add photos", four_people, [photos_added(name, photos) for name, photos in MORE.items()]),
        Operation(
            "remove photos",
            four_people,
            [photo_removed(ADA, 0), photo_removed(CLEO, 1), photo_removed(ADA, 1)],
            [Erased(1, ADA, [0]), Erased(2, CLEO, [1]), Erased(3, ADA, [0, 1])],
        ),
        Operation("migrate 1", of_version(1), [opened], from_nothing=True),
        Operation("migrate 2", of_version(2), [opened], from_nothing=True),
        Operation("migrate 3", of_version(3), [opened], from_nothing=True),
        Operation("migrate 3, encrypted", left_by("gallery-3"), [opened], from_nothing=True),
        Operation("encrypt", four_people_in_clear, [opened], from_nothing=True),
        Operation("rekey", four_people, [rotated(1), rotated(2)]),
        Operation("rekey to plain", four_people_to_be_in_clear, [put_in_clear]),
        Operation(
            "change",
            four_people,
            [
                told_of(ADA, external_id="4711", tags=("night", "staff")),
                told_of(BOB, external_id="4712", threshold=OwnThreshold(SPACE, 0.5)),
                told_of(CLEO, consent=Consent("Cleo Laine", 1e9, "the door", 2e9)),
                told_of(ADA, external_id=None),
            ],
        ),
        Operation("rename", four_people, [renamed(*names) for names in NEW_NAMES.items()]),
        Operation("forget", four_people, [forgot(BOB), forgot(DORA)], [Erased(1, BOB), Erased(2, DORA)]),
        Operation(
            "forget without encryption",
            four_people_without_encryption,
            [forgot(BOB), forgot(DORA)],
            [Erased(1, BOB), Erased(2, DORA)],
        ),
        Operation("not", four_people, [said_not(ADA, 1), said_not(BOB, 2), taken_back(ADA, 1), said_not(ADA, 3)]),
        Operation(
            "merge", after(four_people, said_not(BOB, 1), said_not(DORA, 2)), [merged(BOB, ADA), merged(DORA, ADA)]
        ),
        Operation("split", after(four_people, said_not(ADA, 1)), [split(ADA, 1, EVE), split(BOB, 0, FAY)]),
        Operation("vacuum", after(four_people, forgot(BOB), forgot(CLEO)), [vacuumed]),
        Operation(
            "templates of another model",
            four_people,
            [template_made(number) for number in range(1, 2 * len(PEOPLE) + 1)],
        ),
    )
}
