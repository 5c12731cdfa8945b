#!/usr/bin/env python
"""What a backup, a restore, a new master key and a look for who has had their time cost; docs/gallery.md tells.

    python scripts/measure-gallery-copies.py FOLDER [PEOPLE]

Makes a gallery of so many people (100,000), a photo each, in FOLDER, which must not be there and goes at the end.
"""

import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from gallery.copies.backup import back_up, restore
from gallery.copies.backup_copy import BackupCopy
from gallery.keys.master_key import KeySource
from gallery.people import Profile
from gallery.portable import PortablePerson, PortablePhoto, PortableTemplate
from gallery.retention import expired
from gallery.storage.moving import insert_person
from gallery.storage.store import PersonStore

T = TypeVar("T")
CHIP_BYTES, DIM = 8_000, 512


def timed(what: str, work: Callable[[], T]) -> T:
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    done = work()
    print(f"{what}: {time.process_time() - cpu_s:.1f} s of CPU, {time.perf_counter() - wall_s:.1f} s")  # noqa: T201
    return done


def people(count: int) -> list[PortablePerson]:
    rng = np.random.default_rng(1)
    chip, landmarks = rng.bytes(CHIP_BYTES), np.zeros((5, 2), np.float32)
    made = []
    for number in range(count):
        face = rng.standard_normal(DIM).astype(np.float32)
        template = PortableTemplate("space", "by", face / np.linalg.norm(face), 0.9, "photo", 1.7e9)
        photo = PortablePhoto(chip, landmarks, 0.9, f"{number:064x}", 1.7e9, (template,))
        made.append(PortablePerson(f"p{number:012d}", Profile(f"Person {number}"), 1.7e9, (photo,)))
    return made


def enrol(store: PersonStore, everybody: list[PortablePerson]) -> None:
    """In one transaction: it is not what is measured."""
    with store._transaction() as db:
        for person in everybody:
            insert_person(db, store._vault, person)


def measure(folder: Path, count: int) -> None:
    keys, path, backup = KeySource(folder / "keys"), folder / "data" / "gallery.db", folder / "backup.db"
    with PersonStore(path, keys) as store:
        timed("enrolled", lambda: enrol(store, people(count)))
        size = timed("backup", lambda: back_up(store, backup))
    print(f"{size >> 20} MiB")  # noqa: T201
    copy = timed("backup looked through", lambda: BackupCopy(backup, keys))
    with copy:
        timed("restore", lambda: restore(path, copy, keys, encrypt=True, actor="measure"))
    with PersonStore(path, keys) as store:
        key = keys.begin_rotation(path.parent)
        timed("rekey", lambda: store.rekey(key))
        keys.end_rotation(key)
        timed("written anew", store.vacuum)
        timed("who has had their time", lambda: expired(store.people(), store.newest_photos(), time.time(), 30))


if __name__ == "__main__":
    where = Path(sys.argv[1])
    where.mkdir()
    try:
        measure(where, int(sys.argv[2]) if len(sys.argv) > 2 else 100_000)
    finally:
        shutil.rmtree(where)
