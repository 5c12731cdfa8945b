"""Operations that are done wrong, to show that the trials see it. Never part of what is held to be right."""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from gallery.errors import NameTaken, PersonNotFound
from tests.kills.operations import BOB, NEWCOMERS, Erased, Operation, four_people
from tests.kills.states import gallery_of, open_store


def enrolled_in_two_transactions(home: Path) -> None:
    (name, photos), *_ = NEWCOMERS.items()
    with open_store(home) as store:
        with suppress(NameTaken):
            store.add_person(name)
        store.add_photos(store.find(name).id, photos)


def forgot_but_not_overwritten(home: Path) -> None:
    with open_store(home) as store, suppress(PersonNotFound):
        person_id = store.find(BOB).id
        with closing(sqlite3.connect(gallery_of(home), isolation_level=None)) as db:
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("DELETE FROM people WHERE id = ?", (person_id,))


def forgot_but_said_so_too_early(home: Path) -> None:
    """Done when the process ends; it is told before."""


def forgotten_after_it_was_told(home: Path) -> None:
    with open_store(home) as store, suppress(PersonNotFound):
        store.forget(store.find(BOB).id)


def copied_over_itself(home: Path) -> None:
    """As somebody who writes a whole file where it lies would do it."""
    path = gallery_of(home)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = path.read_bytes()
    with path.open("wb", buffering=0) as file:
        for at in range(0, len(content), 65536):
            file.write(content[at : at + 65536])


BROKEN = {
    operation.name: operation
    for operation in (
        Operation("enrol in two transactions", four_people, [enrolled_in_two_transactions]),
        Operation("forget without overwriting", four_people, [forgot_but_not_overwritten], [Erased(1, BOB)]),
        Operation(
            "forget told too early",
            four_people,
            [forgot_but_said_so_too_early, forgotten_after_it_was_told],
            [Erased(1, BOB)],
        ),
        Operation("copy over itself", four_people, [copied_over_itself]),
    )
}
