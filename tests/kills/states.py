"""What a gallery holds, put so that it can be compared whatever ids and times were drawn; and what lies on the disk.

Opens databases: call it in a child of the process that forks (tracing.apart). All of it asserts as it reads.
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from gallery.people import NewPhoto
from gallery.storage.rows import jpeg
from gallery.storage.store import PersonStore

DATA = "var"
State = dict[str, Any]


def gallery_of(home: Path) -> Path:
    return home / DATA / "gallery.db"


def open_store(home: Path) -> PersonStore:
    """As a command that is called in this folder opens it."""
    return PersonStore(gallery_of(home))


def state_of(home: Path, known: Iterable[str]) -> State:
    """Of the gallery there, opened anew; `known` are the ids that were there at first, all others are called new."""
    with open_store(home) as store:
        return state_in(store, known)


def state_in(store: PersonStore, known: Iterable[str]) -> State:
    """Everybody with all that is kept of them, by name. Raises where anything doesn't open or hang together."""
    store.check()
    _assert_sound(store.path)
    known = frozenset(known)
    templates = _templates(store)
    chips = {photo.id: photo for photo in store.photos_without_template("in no space at all")}
    state = {}
    for person in store.people():
        photos = store.photos(person.id)
        assert person.photos == len(photos), person.id
        kept = []
        for photo in photos:
            chip, made = chips[photo.id], templates.pop(photo.id, {})
            assert chip.person_id == person.id
            assert chip.chip is not None, f"photo {photo.id} is no picture any more"
            assert set(made) == set(photo.spaces)
            kept.append((photo.digest, photo.quality, _digest(chip.chip), _digest(chip.landmarks), made))
        assert dict(person.templates) == _counted(space for *_, made in kept for space in made)
        state[person.name] = {"id": person.id if person.id in known else "new", "photos": kept}
    assert not templates, "templates of nobody's photos"
    return state


def _templates(store: PersonStore) -> dict[int, dict[str, str]]:
    """By photo and space: what the embedding is."""
    with closing(sqlite3.connect(store.path)) as db:
        rows = db.execute("SELECT id, photo_id, person_id, space FROM templates").fetchall()
    found: dict[int, dict[str, str]] = {}
    for space in {row[3] for row in rows}:
        read = store.templates(space)
        by_id = {key: (who, row) for key, who, row in zip(read.ids.tolist(), read.person_ids, read.matrix, strict=True)}
        for key, photo_id, person_id, _ in (row for row in rows if row[3] == space):
            who, embedding = by_id.pop(key)
            assert who == person_id
            assert abs(float(np.linalg.norm(embedding)) - 1) < 1e-3
            found.setdefault(photo_id, {})[space] = _digest(embedding)
        assert not by_id
    return found


def _assert_sound(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


def _counted(things: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for thing in things:
        counts[thing] = counts.get(thing, 0) + 1
    return counts


# The disk.

Secrets = Mapping[str, bytes]


def secrets_of(name: str, photos: Iterable[NewPhoto]) -> Secrets:
    """Pieces of what is kept of somebody, as they lie in a file that is not encrypted, by what they are."""
    return {f"the name {name}": name.encode()} | photo_secrets(name, photos)


def photo_secrets(name: str, photos: Iterable[NewPhoto]) -> dict[str, bytes]:
    secrets = {}
    for number, photo in enumerate(photos):
        chip = jpeg(photo.chip)
        secrets[f"photo {number} of {name}, landmarks"] = photo.landmarks.tobytes()[:32]
        for at in range(1024, len(chip) - 64, 8192):
            secrets[f"photo {number} of {name}, chip at {at}"] = chip[at : at + 48]
        for template in photo.templates:
            data = template.embedding.tobytes()
            secrets[f"photo {number} of {name}, template of {template.space}, its start"] = data[:48]
            secrets[f"photo {number} of {name}, template of {template.space}, its end"] = data[-48:]
    return secrets


def found_in(home: Path, secrets: Secrets) -> list[str]:
    """Which of them lie in any file below `home`, and where."""
    files = {file: file.read_bytes() for file in sorted(home.rglob("*")) if file.is_file()}
    return [
        f"{what} in {file.relative_to(home)}"
        for what, secret in secrets.items()
        for file, content in files.items()
        if secret in content
    ]


def loose_files(home: Path) -> list[str]:
    """Files in the data folder that others than the owner may read."""
    return [str(file.relative_to(home)) for file in (home / DATA).rglob("*") if file.stat().st_mode & 0o077]
