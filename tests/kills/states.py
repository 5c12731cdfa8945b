"""What a gallery holds, put so that it can be compared whatever ids and times were drawn; and what lies on the disk.

Opens databases: call it in a child of the process that forks (tracing.apart). All of it asserts as it reads.
"""

import hashlib
import math
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from gallery.keys.encryption import MasterKey
from gallery.keys.master_key import FILE, NEXT_FILE, KeySource
from gallery.people import NewPhoto, Templates
from gallery.storage.rows import jpeg
from gallery.storage.store import PersonStore
from streamer.kept_visits.visits_file import VisitsFile

DATA, KEYS, PLAIN = "var", "var-keys", "encryption-is-off"
_JPEG_HEADER = 1024  # at most; it is the same in all
State = dict[str, Any]
Secrets = Mapping[str, bytes]


def gallery_of(home: Path) -> Path:
    return home / DATA / "gallery.db"


def open_store(home: Path) -> PersonStore:
    """As a command that is called in this folder opens it; without encryption where a file there says so."""
    encrypt = not (home / PLAIN).exists()
    return PersonStore(gallery_of(home), keys_of(home), actor="ada", encrypt=encrypt)


def keys_of(home: Path) -> KeySource:
    return KeySource(home / KEYS)


def state_of(home: Path, known: Iterable[str]) -> State:
    """Of the gallery there, opened anew; `known` are the ids that were there at first, all others are called new."""
    with open_store(home) as store:
        state = state_in(store, known)
        _assert_key_is_whole(home, store.key_id)
    return state | {"visits": _visits(home, known)}


def state_in(store: PersonStore, known: Iterable[str]) -> State:
    """Everybody by name with all that is kept of them, the audit log, the forgotten.

    Raises where anything doesn't open or hang together.
    """
    store.check()
    _assert_sound(store.path)
    assert store.audit_broken() is None
    who = {key: key for key in known}
    log = [
        (entry.actor, entry.action, who.get(entry.person_id or "", "new"), sorted(entry.details))
        for entry in store.audit_entries()
    ]
    forgotten = {who.get(key, "new") for key in store.forgotten()}
    merged = sorted((who.get(former, "new"), who.get(now, "new")) for former, now in store.merged().items())
    return {"people": _people(store, who), "audit": log, "forgotten": forgotten, "merged": merged}


def _people(store: PersonStore, who: Mapping[str, str]) -> dict[str, Any]:
    templates, negatives = _templates(store), _negatives(store)
    chips = {photo.id: photo for photo in store.photos_without_template("in no space at all")}
    people = {}
    for person in store.people():
        photos = store.photos(person.id)
        assert person.photos == len(photos), person.id
        assert store.find(person.name).id == person.id
        kept = []
        for photo in photos:
            chip, made = chips[photo.id], templates.pop(photo.id, {})
            assert chip.person_id == person.id
            assert chip.chip is not None, f"photo {photo.id} is no picture any more"
            assert set(made) == set(photo.spaces)
            kept.append((photo.digest, photo.quality, _digest(chip.chip), _digest(chip.landmarks), made))
        assert dict(person.templates) == _counted(space for *_, made in kept for space in made)
        people[person.name] = {
            "id": who.get(person.id, "new"),
            "profile": asdict(person.profile),
            "photos": kept,
            "negatives": negatives.pop(person.id, []),
        }
    assert not templates, "templates of nobody's photos"
    assert not negatives, "negatives of nobody"
    return people


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


def _negatives(store: PersonStore) -> dict[str, list[object]]:
    """By person: where they were seen, their chips, and what the embeddings are, by space."""
    chips = {seen.id: seen for seen in store.negatives_without_template("in no space at all")}
    found: dict[str, list[object]] = {}
    for person in store.people():
        for kept in store.list_negatives(person.id):
            chip = chips.pop(kept.id)
            assert chip.person_id == person.id
            assert chip.chip is not None, f"negative {kept.id} is no picture any more"
            faces = [(space, *_digests_of(store.negatives(space), person.id)) for space in kept.spaces]
            found.setdefault(person.id, []).append((kept.source, kept.quality, _digest(chip.chip), faces))
    assert not chips
    return found


def _digests_of(faces: Templates, person_id: str) -> list[str]:
    owned = zip(faces.matrix, faces.person_ids, strict=True)
    return sorted(_digest(row) for row, owner in owned if owner == person_id)


def _visits(home: Path, known: Iterable[str]) -> list[object]:
    """Kept visits, opened."""
    path = gallery_of(home).with_name("visits.db")
    if not path.exists():
        return []
    _assert_sound(path)
    with VisitsFile(path, keys_of(home)) as file:
        visits = list(file.search(0.0, math.inf))
        return [
            (visit.event_id, len(visit.messages), file.pictures(visit.event_id), len(file.faces(visit.event_id)),
             [key for key in known if visit.event_id in {v.event_id for v in file.search(0.0, math.inf, people=[key])}])
            for visit in visits
        ]  # fmt: skip


def _assert_sound(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []


def _assert_key_is_whole(home: Path, key_id: str | None) -> None:
    """Every key file that there is holds a key, and the gallery is under one of them."""
    files = [home / KEYS / name for name in (FILE, NEXT_FILE) if (home / KEYS / name).exists()]
    ids = [MasterKey.from_text(file.read_text()).id for file in files]
    assert key_id is None or key_id in ids


def ids_in(home: Path) -> tuple[str, ...]:
    with open_store(home) as store:
        return tuple(person.id for person in store.people())


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


def _counted(things: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for thing in things:
        counts[thing] = counts.get(thing, 0) + 1
    return counts


# The disk.


def secrets_of(name: str, photos: Iterable[NewPhoto]) -> dict[str, bytes]:
    """Pieces of what is kept of somebody, as they lie in a file that is not encrypted, by what they are."""
    return {f"the name {name}": name.encode()} | photo_secrets(name, photos)


def photo_secrets(name: str, photos: Iterable[NewPhoto]) -> dict[str, bytes]:
    secrets = {}
    for number, photo in enumerate(photos):
        of = f"photo {number} of {name}"
        assert photo.chip is not None
        secrets |= _pieces(f"{of}, landmarks", photo.landmarks.tobytes())
        secrets |= _pieces(f"{of}, chip", jpeg(photo.chip)[_JPEG_HEADER:])
        for template in photo.templates:
            secrets |= _pieces(f"{of}, template of {template.space}", template.embedding.tobytes())
    return secrets


def sealed_secrets(home: Path, name: str, digests: Sequence[str] = ()) -> dict[str, bytes]:
    """The same as it lies in this gallery, sealed, wrapped keys too; `digests`: of these photos alone.

    Nothing where it is not encrypted: what is not sealed is known, and its ends may be like other people's.
    """
    with open_store(home) as store, closing(sqlite3.connect(store.path)) as db:
        if store.key_id is None:
            return {}
        key = store.find(name).id
        kept = [photo for photo in store.photos(key) if photo.digest in digests or not digests]
        rows = (
            []
            if digests
            else db.execute("SELECT profile, profile_key, template_key FROM people WHERE id = ?", (key,)).fetchall()
        )
        for photo in kept:
            rows += db.execute("SELECT chip, landmarks FROM photos WHERE id = ?", (photo.id,))
            rows += db.execute("SELECT embedding FROM templates WHERE photo_id = ?", (photo.id,))
    secrets = {}
    for number, blob in enumerate(blob for row in rows for blob in row if blob is not None):
        secrets |= _pieces(f"blob {number} of {name}", blob)
    return secrets


def _pieces(what: str, content: bytes) -> dict[str, bytes]:
    """Its start, its end and, of a long one, some between: a page holds 4 KiB."""
    length = min(len(content), 32)
    starts = {1, len(content) - length, *range(4096, len(content) - length, 16384)}
    return {f"{what}, from byte {at}": content[at : at + length] for at in starts}


def found_in(home: Path, secrets: Secrets) -> list[str]:
    """Which of them lie in any file below `home`, and where; not in ZIPs, which are in clear, and said to be."""
    files = {file: file.read_bytes() for file in sorted(home.rglob("*")) if file.is_file() and file.suffix != ".zip"}
    return [
        f"{what} in {file.relative_to(home)}"
        for what, secret in secrets.items()
        for file, content in files.items()
        if secret in content
    ]


def loose_files(home: Path) -> list[str]:
    """Files of whosthere that others than the owner may read."""
    return [str(file.relative_to(home)) for file in files_of(home) if file.stat().st_mode & 0o077]


def files_of(home: Path) -> list[Path]:
    """Of the data folder and that of the keys."""
    return [file for folder in (DATA, KEYS) for file in (home / folder).rglob("*")]
