"""Profiles, photos and templates as rows of the gallery's file: what is written of them, and what is read back.

Blocks; the writing functions are called by PersonStore within its transaction. Who opens a blob may meet SealBroken.
"""

import math
import sqlite3
from collections.abc import Callable, Iterable

import numpy as np
import orjson

from gallery.keys.encryption import Cipher, SealBroken
from gallery.keys.vault import Vault, chip_place, landmarks_place, profile_place, template_place
from gallery.people import Consent, NewPhoto, NewTemplate, OwnThreshold, Profile, StoredPhoto, space_mismatch
from gallery.portable import PortableTemplate
from recognition.arrays import F32, U8

_JPEG_QUALITY = 92
_UNIT_WITHIN = 1e-2  # of the length's square; people.check_unit() is stricter with what comes in
_F32 = np.dtype("<f4")
_YEAR_10000_S = 253_402_300_800.0
_TEMPLATE = (
    "INSERT {instead} INTO templates "
    "(photo_id, person_id, space, dim, embedding, quality, signature, source, created_at) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) {otherwise}"
)
KEEP_FORMER = _TEMPLATE.format(instead="", otherwise="ON CONFLICT (photo_id, space) DO NOTHING")
_REPLACE_FORMER = _TEMPLATE.format(instead="OR REPLACE", otherwise="")

FROM_PHOTO, FROM_CHIP = "photo", "chip"  # what a template was made of: templates.source


def packed_profile(profile: Profile) -> bytes:
    """As it is sealed: JSON."""
    return orjson.dumps(profile)


def profile_from(packed: bytes, person_id: str) -> Profile:
    """What packed_profile() made of this person. Raises SealBroken, of a plain gallery's damaged bytes."""
    try:
        found = orjson.loads(packed)
        consent, threshold = found["consent"], found["threshold"]
        about = profile_place(person_id)
        return Profile(
            _text(found["name"]),
            found["external_id"],
            tuple(found["tags"]),
            None if threshold is None else OwnThreshold(_text(threshold["space"]), number(threshold["cosine"], about)),
            None if consent is None else _consent(about, **consent),
            _flag(found.get("ignored", False)),
        )
    except (ValueError, KeyError, TypeError):
        raise SealBroken(profile_place(person_id)) from None


def _consent(about: str, by: str, at: float, purpose: str, expires_at: float | None) -> Consent:
    until = None if expires_at is None else number(expires_at, about)
    return Consent(by, number(at, about), purpose, until)


def _flag(found: object) -> bool:
    if not isinstance(found, bool):
        raise TypeError("want true or false")
    return found


def _text(found: object) -> str:
    if not isinstance(found, str):
        raise TypeError("want text")
    return found


def insert_photos(
    db: sqlite3.Connection,
    person_id: str,
    cipher: Cipher,
    photos: Iterable[tuple[NewPhoto, bytes | None]],
    added_at: float,
) -> int:
    """Write photos, each with its chip as jpeg() gives it, and their templates, those that are not there yet.

    How many photos were not there yet. Raises EmbeddingSpaceMismatch.
    """
    added = 0
    for photo, chip in photos:
        digest = photo.digest
        added += db.execute(
            "INSERT INTO photos (person_id, chip, landmarks, quality, digest, added_at) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (person_id, digest) DO NOTHING",
            (
                person_id,
                None if chip is None else cipher.seal(chip, chip_place(person_id, digest)),
                cipher.seal(packed(photo.landmarks), landmarks_place(person_id, digest)),
                photo.quality,
                digest,
                added_at,
            ),
        ).rowcount
        found = db.execute("SELECT id FROM photos WHERE person_id = ? AND digest = ?", (person_id, digest)).fetchone()
        if found is None:  # an index that says otherwise than its table
            raise SealBroken(f"photo list of {person_id}")
        (photo_id,) = found
        for template in photo.templates:
            row = template_row(db, photo_id, person_id, cipher, template, photo.quality)
            db.execute(KEEP_FORMER, (*row, FROM_PHOTO, added_at))
    return added


def replace_template(
    db: sqlite3.Connection, photo_id: int, vault: Vault, template: NewTemplate, quality: float, made_at: float
) -> bool:
    """Write a photo's template, made of its chip, over the one it had in this space; False where the photo is gone.

    Raises EmbeddingSpaceMismatch.
    """
    owner = db.execute(
        "SELECT people.id, template_key FROM photos JOIN people ON people.id = person_id WHERE photos.id = ?",
        (photo_id,),
    ).fetchone()
    if owner is None:
        return False
    person_id, wrapped = owner
    row = template_row(db, photo_id, person_id, vault.template_cipher(person_id, wrapped), template, quality)
    db.execute(_REPLACE_FORMER, (*row, FROM_CHIP, made_at))
    return True


def template_row(
    db: sqlite3.Connection,
    photo_id: int,
    person_id: str,
    cipher: Cipher,
    template: NewTemplate | PortableTemplate,
    quality: float,
) -> tuple[int, str, str, int, bytes, float, str]:
    """Its row but for what it was made of, and when. Raises EmbeddingSpaceMismatch."""
    space, dim = template.space, len(template.embedding)
    check_size(db, space, dim)
    sealed = cipher.seal(packed(template.embedding), template_place(person_id, space))
    return photo_id, person_id, space, dim, sealed, quality, template.signature


def check_size(db: sqlite3.Connection, space: str, dim: int) -> None:
    """One vector of another size would make the whole space unreadable. Raises EmbeddingSpaceMismatch."""
    for table in ("templates", "negative_templates"):
        other = db.execute(f"SELECT dim FROM {table} WHERE space = ? LIMIT 1", (space,)).fetchone()
        if other is not None and other[0] != dim:
            raise space_mismatch(space, other[0], dim)


TemplateRow = tuple[int, str, bytes, bytes | None]  # id, person_id, embedding, template_key


def opened_templates(
    vault: Vault,
    space: str,
    rows: Iterable[TemplateRow],
    broken: dict[int, tuple[str, str]],
    place: Callable[[str, str], str] = template_place,
) -> list[tuple[int, str, bytes]]:
    """(id, person_id, embedding in clear) of one space's templates, in their order. `place`: where they are sealed.

    Those that do not open are left out, and put into `broken`: whose, and what.
    """
    ciphers: dict[str, Cipher] = {}
    found = []
    for number, person_id, sealed, wrapped in rows:
        try:
            cipher = ciphers.get(person_id)
            if cipher is None:
                cipher = ciphers[person_id] = vault.template_cipher(person_id, wrapped)
            embedding = cipher.open(sealed, place(person_id, space))
            if vault.key_id is None:
                _check_plain(embedding, place(person_id, space))
        except SealBroken as error:
            broken[number] = (str(person_id), str(error))
            continue
        found.append((number, person_id, embedding))
    return found


def _check_plain(embedding: bytes, place: str) -> None:
    """No seal tells damage from a face there, but its length does. Raises SealBroken."""
    numbers = np.frombuffer(embedding, _F32) if len(embedding) % _F32.itemsize == 0 else np.empty(0)
    if not abs(float(numbers @ numbers) - 1.0) < _UNIT_WITHIN:
        raise SealBroken(place)


def number(found: object, place: str) -> float:
    """What a column of numbers holds: after a changed byte that may be a blob. Raises SealBroken."""
    if isinstance(found, int | float) and math.isfinite(found):
        return float(found)
    raise SealBroken(place)


def moment(found: object, place: str) -> float:
    """As number(), Unix time in s, one that a calendar has."""
    at = number(found, place)
    if not 0 <= at < _YEAR_10000_S:
        raise SealBroken(place)
    return at


def stored_photo(
    photo_id: int, person_id: str, cipher: Cipher, chip: tuple[bytes, str], landmarks: tuple[bytes, str], quality: float
) -> StoredPhoto:
    """A row of photos, or of negatives, read back: chip and landmarks, each with the place that it is sealed at.

    The chip is None where it, or its landmarks, is not what was kept any more.
    """
    import cv2  # a tenth of a second, which most of what is done with people goes without

    try:
        jpeg_bytes = cipher.open(*chip) or b"\x00"  # no byte at all OpenCV would not take
        pixels = cv2.imdecode(np.frombuffer(jpeg_bytes, np.uint8), cv2.IMREAD_COLOR)
        points = np.frombuffer(cipher.open(*landmarks), _F32).reshape(5, 2)
        quality = number(quality, landmarks[1])
    except (SealBroken, ValueError):  # ValueError: of another size, in a plain gallery
        return spoilt_photo(photo_id, person_id)
    picture = None if pixels is None else np.asarray(pixels, np.uint8)
    return StoredPhoto(photo_id, person_id, picture, points.astype(np.float32), quality)


def spoilt_photo(photo_id: int, person_id: str) -> StoredPhoto:
    """One of which nothing opens."""
    return StoredPhoto(photo_id, person_id, None, np.zeros((5, 2), np.float32), 0.0)


def packed(numbers: F32) -> bytes:
    """As the file holds them: float32, little-endian."""
    return numbers.astype(_F32).tobytes()


def unpacked(rows: list[bytes]) -> F32:
    """n vectors of the same size -> (n,d) float32."""
    dim = len(rows[0]) // _F32.itemsize if rows else 0
    return np.frombuffer(b"".join(rows), _F32).reshape(len(rows), dim).astype(np.float32, copy=False)


def jpeg(chip: U8 | bytes) -> bytes:
    """A chip as it is kept; one that is a JPEG stays."""
    if isinstance(chip, bytes):
        return chip
    import cv2  # as above

    done, data = cv2.imencode(".jpg", chip, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not done:
        raise ValueError(f"chip: JPEG can't hold {chip.shape}")
    return data.tobytes()
