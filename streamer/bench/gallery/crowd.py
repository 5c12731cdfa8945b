"""A gallery of many made-up people, in a file of the schema that the release before had: both builds open the same one.

Blocks for as long as writing 13 kB a person takes. Everything follows from the numbers given; nobody real is in it.
"""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from recognition.arrays import F32, U8

SPACE = "arcface_w600k_mbf.1"
_DIM = 512
_AT_ONCE = 5_000
_ADDED_AT = 1_780_000_000.0
_CHIP_KINDS = 16
_FIRST = ("Ada", "Grace", "Alan", "Mária", "Édouard", "Srinivasa", "Emmy", "Katherine")
_LAST = ("Lovelace", "Hopper", "Turing", "Telkes", "Lucas", "Ramanujan", "Noether", "Johnson")

SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA application_id = 0x77686F74;
PRAGMA user_version = 2;
CREATE TABLE people (id TEXT PRIMARY KEY, name TEXT NOT NULL, created_at REAL NOT NULL);
CREATE INDEX people_by_name ON people (name);
CREATE TABLE photos (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    person_id TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    chip BLOB NOT NULL,
    landmarks BLOB NOT NULL,
    quality REAL NOT NULL,
    digest TEXT NOT NULL,
    added_at REAL NOT NULL,
    UNIQUE (person_id, digest)
);
CREATE TABLE templates (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    photo_id INTEGER NOT NULL REFERENCES photos (id) ON DELETE CASCADE,
    person_id TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    space TEXT NOT NULL,
    embedding BLOB NOT NULL,
    quality REAL NOT NULL,
    signature TEXT NOT NULL DEFAULT '',
    UNIQUE (photo_id, space)
);
CREATE INDEX templates_by_space ON templates (space, id);
CREATE INDEX templates_by_person ON templates (person_id, space);
"""


@dataclass(frozen=True, slots=True)
class Somebody:
    """One of the crowd, by number."""

    number: int

    @property
    def id(self) -> str:
        return f"p{self.number:012d}"

    @property
    def name(self) -> str:
        return f"{_FIRST[self.number % 8]} {_LAST[self.number // 8 % 8]} {self.number}"


def write_crowd(path: Path, people: int) -> None:
    """A gallery of schema 2: so many people, each with one photo (a chip of some 10 kB) and its template."""
    path.parent.mkdir(parents=True, exist_ok=True)
    chips, landmarks = [_jpeg(chip(kind)) for kind in range(_CHIP_KINDS)], np.zeros((5, 2), "<f4").tobytes()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript(SCHEMA)
        db.execute("PRAGMA synchronous = OFF")  # nothing is lost that can't be made again
        for first, block in _blocks(people):
            crowd = [Somebody(number) for number in range(first, first + len(block))]
            db.execute("BEGIN")
            db.executemany("INSERT INTO people VALUES (?, ?, ?)", ((one.id, one.name, _ADDED_AT) for one in crowd))
            db.executemany(
                "INSERT INTO photos VALUES (?, ?, ?, ?, 0.9, ?, ?)",
                (
                    (one.number + 1, one.id, chips[one.number % _CHIP_KINDS], landmarks, _digest(one), _ADDED_AT)
                    for one in crowd
                ),
            )
            db.executemany(
                "INSERT INTO templates VALUES (?, ?, ?, ?, ?, 0.9, 'bench')",
                (
                    (one.number + 1, one.number + 1, one.id, SPACE, face.astype("<f4").tobytes())
                    for one, face in zip(crowd, block, strict=True)
                ),
            )
            db.execute("COMMIT")


def faces(people: int) -> F32:
    """(people, 512) float32 unit vectors: the templates, in the order of the people's numbers."""
    return np.concatenate([block for _, block in _blocks(people)])


def probes(templates: F32, count: int) -> F32:
    """(count, 512) float32: enrolled people seen anew, cosine .6 to their template; every tenth a stranger."""
    rng = np.random.default_rng([2, count])
    noise = _units(rng.standard_normal((count, _DIM)))
    seen = _units(0.6 * templates[np.arange(count) * len(templates) // count] + 0.8 * noise)
    seen[::10] = noise[::10]
    return seen


def chip(kind: int) -> U8:
    """(256, 256, 3) uint8: blurred noise, which takes as much room as a face does in JPEG."""
    rng = np.random.default_rng([3, kind])
    noise = rng.integers(90, 166, (16, 16, 3), np.uint8)
    return np.asarray(cv2.resize(noise, (256, 256), interpolation=cv2.INTER_CUBIC), np.uint8)


def _blocks(people: int) -> Iterator[tuple[int, F32]]:
    for first in range(0, people, _AT_ONCE):
        rng = np.random.default_rng([1, first])
        yield first, _units(rng.standard_normal((min(_AT_ONCE, people - first), _DIM)))


def _units(vectors: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> F32:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def _digest(one: Somebody) -> str:
    return hashlib.sha256(one.id.encode()).hexdigest()


def _jpeg(picture: U8) -> bytes:
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 92])
    if not done:
        raise ValueError(f"chip: JPEG can't hold {picture.shape}")
    return data.tobytes()
