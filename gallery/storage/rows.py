"""Photos and templates as rows of the gallery's file: what is written of them, and a kept photo read back.

Blocks; the writing functions are called by PersonStore within its transaction.
"""

import sqlite3
from collections.abc import Iterable

import cv2
import numpy as np

from gallery.people import NewPhoto, NewTemplate, StoredPhoto, space_mismatch
from recognition.arrays import F32, U8

_JPEG_QUALITY = 92
_F32 = np.dtype("<f4")
_TEMPLATE = (
    "INSERT {instead} INTO templates (photo_id, person_id, space, embedding, quality, signature) "
    "SELECT id, person_id, ?, ?, ?, ? FROM photos WHERE id = ? {otherwise}"
)
_KEEP_FORMER = _TEMPLATE.format(instead="", otherwise="ON CONFLICT (photo_id, space) DO NOTHING")
_REPLACE_FORMER = _TEMPLATE.format(instead="OR REPLACE", otherwise="")


def insert_photos(
    db: sqlite3.Connection, person_id: str, photos: Iterable[tuple[NewPhoto, bytes]], added_at: float
) -> None:
    """Write photos, each with its chip as jpeg() gives it, and their templates, those that are not there yet.

    Raises EmbeddingSpaceMismatch.
    """
    for photo, chip in photos:
        db.execute(
            "INSERT INTO photos (person_id, chip, landmarks, quality, digest, added_at) "
            "VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (person_id, digest) DO NOTHING",
            (person_id, chip, packed(photo.landmarks), photo.quality, photo.digest, added_at),
        )
        (photo_id,) = db.execute(
            "SELECT id FROM photos WHERE person_id = ? AND digest = ?", (person_id, photo.digest)
        ).fetchone()
        for template in photo.templates:
            _insert_template(db, _KEEP_FORMER, photo_id, template, photo.quality)


def replace_template(db: sqlite3.Connection, photo_id: int, template: NewTemplate, quality: float) -> bool:
    """Write a photo's template over the one it had in this space; False where the photo is gone.

    Raises EmbeddingSpaceMismatch.
    """
    return _insert_template(db, _REPLACE_FORMER, photo_id, template, quality)


def _insert_template(
    db: sqlite3.Connection, statement: str, photo_id: int, template: NewTemplate, quality: float
) -> bool:
    space, embedding = template.space, packed(template.embedding)
    # One vector of another size would make the whole space unreadable.
    other = db.execute("SELECT length(embedding) FROM templates WHERE space = ? LIMIT 1", (space,)).fetchone()
    if other is not None and other[0] != len(embedding):
        raise space_mismatch(space, other[0] // _F32.itemsize, len(template.embedding))
    return db.execute(statement, (space, embedding, quality, template.signature, photo_id)).rowcount == 1


def stored_photo(photo_id: int, person_id: str, chip: bytes, landmarks: bytes, quality: float) -> StoredPhoto:
    """A row of photos read back; its chip is None where it is no picture any more."""
    pixels = cv2.imdecode(np.frombuffer(chip, np.uint8), cv2.IMREAD_COLOR)
    points = np.frombuffer(landmarks, _F32).reshape(5, 2).astype(np.float32)
    return StoredPhoto(photo_id, person_id, None if pixels is None else np.asarray(pixels, np.uint8), points, quality)


def packed(numbers: F32) -> bytes:
    """As the file holds them: float32, little-endian."""
    return numbers.astype(_F32).tobytes()


def unpacked(rows: list[bytes]) -> F32:
    """n vectors of the same size -> (n,d) float32."""
    dim = len(rows[0]) // _F32.itemsize if rows else 0
    return np.frombuffer(b"".join(rows), _F32).reshape(len(rows), dim).astype(np.float32, copy=False)


def jpeg(chip: U8) -> bytes:
    done, data = cv2.imencode(".jpg", chip, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not done:
        raise ValueError(f"chip: JPEG can't hold {chip.shape}")
    return data.tobytes()
