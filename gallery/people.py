"""What the gallery holds: people, photos and templates as plain data, and the rule for names.

Pure; any thread. A person's id is random, never made from the name: it is seen where names may not be.
"""

import secrets
import string
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gallery.errors import NameInvalid, ThresholdInvalid
from recognition.arrays import F32, U8
from recognition.errors import EmbeddingSpaceMismatch

LONGEST_NAME = 100
_ID_ALPHABET = string.ascii_lowercase + string.digits
# Zero-width (non-)joiners: unprintable to str.isprintable(), but Persian and Sinhala names need them.
_JOINERS = str.maketrans("", "", "\u200c\u200d")


@dataclass(frozen=True, slots=True)
class Consent:
    """Whose word it is that this person may be recognised, since when and what for; Unix times in s.

    `expires_at` None: until it is taken back.
    """

    by: str
    at: float
    purpose: str
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class OwnThreshold:
    """The cosine from which on one person is named, in this embedding space: that of another is on another scale."""

    space: str
    cosine: float


@dataclass(frozen=True, slots=True)
class Profile:
    """What is said of a person, photos aside. `external_id`: what another system calls the person, nobody else.

    `threshold`: from which on this person is named in its space; None, and in all others: as everybody is. `ignored`:
    known, and never told of.
    """

    name: str
    external_id: str | None = None
    tags: tuple[str, ...] = ()
    threshold: OwnThreshold | None = None
    consent: Consent | None = None
    ignored: bool = False


def own_thresholds(profiles: Mapping[str, Profile]) -> Mapping[str, Mapping[str, float]]:
    """By space and person, of those who have one."""
    found: dict[str, dict[str, float]] = {}
    for who, profile in profiles.items():
        if profile.threshold is not None:
            found.setdefault(profile.threshold.space, {})[who] = profile.threshold.cosine
    return found


@dataclass(frozen=True, slots=True)
class Person:
    """One enrolled person. `created_at` is Unix time in s; `templates` counts them by embedding space."""

    id: str
    profile: Profile
    created_at: float
    photos: int
    templates: Mapping[str, int]

    @property
    def name(self) -> str:
        """The display name."""
        return self.profile.name


@dataclass(frozen=True, slots=True, eq=False)
class NewTemplate:
    """A face in one embedding space: (d,) float32 unit vector; `signature` says what models made it."""

    space: str
    signature: str
    embedding: F32

    def __post_init__(self) -> None:
        check_unit(self.embedding)


@dataclass(frozen=True, slots=True, eq=False)
class NewPhoto:
    """One enrolment photo's face on its way into the store, with its templates: one at least, one a space.

    chip (256,256,3) uint8 BGR, or the JPEG of it; None where none is to be kept; landmarks (5,2) float32 in it, as
    align.loose_chip gives them; digest is the SHA-256 of the photo file in hex; quality in [0,1].
    """

    chip: U8 | bytes | None
    landmarks: F32
    digest: str
    templates: tuple[NewTemplate, ...]
    quality: float

    def __post_init__(self) -> None:
        chip = self.chip
        if isinstance(chip, np.ndarray) and (chip.ndim != 3 or chip.shape[2] != 3 or chip.dtype != np.uint8):
            raise ValueError(f"chip: want uint8 (h, w, 3), got {chip.dtype} {chip.shape}")
        if self.landmarks.shape != (5, 2):
            raise ValueError(f"landmarks: want (5, 2), got {self.landmarks.shape}")
        spaces = [template.space for template in self.templates]
        if not spaces or len(set(spaces)) < len(spaces):
            raise ValueError(f"templates: want one at least and one a space, got {spaces}")


@dataclass(frozen=True, slots=True, eq=False)
class NewNegative:
    """A face that is not a person, though it looks like it; `templates`: one at least, maybe several a space.

    jpeg: its chip (256,256), None where none is to be kept; landmarks (5,2) float32 in it; quality in [0,1]. `source`:
    where it was seen, `event ID` or `photo SHA-256`: each is kept once.
    """

    jpeg: bytes | None
    landmarks: F32
    quality: float
    source: str
    templates: tuple[NewTemplate, ...]

    def __post_init__(self) -> None:
        if self.landmarks.shape != (5, 2):
            raise ValueError(f"landmarks: want (5, 2), got {self.landmarks.shape}")
        if not self.templates:
            raise ValueError("templates: want one at least")


@dataclass(frozen=True, slots=True)
class KeptNegative:
    """What is known of a face that is not `person_id`. created_at: when somebody said so, Unix time in s.

    `spaces` are those in which it has templates.
    """

    id: int
    person_id: str
    quality: float
    source: str
    created_at: float
    spaces: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class StoredPhoto:
    """A photo as it was kept: chip uint8 BGR (after JPEG), None where it is damaged; landmarks (5,2) float32 in it."""

    id: int
    person_id: str
    chip: U8 | None
    landmarks: F32
    quality: float


@dataclass(frozen=True, slots=True)
class KeptPhoto:
    """What is known of a kept photo. `digest`: the SHA-256 (hex) of its file, whose name is not kept.

    `added_at` is Unix time in s; `spaces` are those in which it has its template.
    """

    id: int
    quality: float
    added_at: float
    digest: str
    spaces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeptTemplate:
    """What is known of a photo's template in one space, its numbers aside. created_at: Unix time in s; `source`: what
    it was made of, `photo` or `chip`.
    """

    photo_id: int
    space: str
    dim: int
    signature: str
    quality: float
    source: str
    created_at: float


@dataclass(frozen=True, slots=True, eq=False)
class Templates:
    """n templates of one space: ids (n,) int64 rising, never reused; matrix (n,d) float32 unit vectors."""

    space: str
    ids: NDArray[np.int64]
    person_ids: tuple[str, ...]
    matrix: F32

    def __post_init__(self) -> None:
        n = len(self.ids)
        if len(self.person_ids) != n or self.matrix.ndim != 2 or len(self.matrix) != n:
            raise ValueError(f"templates: {n} ids, {len(self.person_ids)} people, matrix {self.matrix.shape}")

    def __len__(self) -> int:
        return len(self.ids)

    def and_newer(self, newer: Self) -> Self:
        """Of the same space; nothing is copied where there is nothing newer."""
        if not len(newer):
            return self
        matrix = np.concatenate((self.matrix, newer.matrix)) if len(self) else newer.matrix
        ids = np.concatenate((self.ids, newer.ids))
        return type(self)(self.space, ids, self.person_ids + newer.person_ids, matrix)


@dataclass(frozen=True, slots=True)
class TemplateMark:
    """How many templates a space has, and the highest number that any ever had: equal where nothing changed."""

    count: int
    newest: int


@dataclass(frozen=True, slots=True, eq=False)
class TemplateStamps:
    """By which n stored templates are told from all others, those of another file too: ids (n,) int64, and stamps
    (n,4) uint64, the first 16 bytes of what is stored (a nonce where it is sealed, else numbers of the face), and whose
    it is: a gallery that is made anew of the same photos has the same faces under other ids.
    """

    ids: NDArray[np.int64]
    stamps: NDArray[np.uint64]

    @classmethod
    def of(cls, rows: Sequence[tuple[int, str, bytes]]) -> Self:
        """Of (id, person_id, 16 bytes) rows."""
        packed = b"".join(
            stamp.ljust(16, b"\0") + str(owner).encode()[:16].ljust(16, b"\0") for _, owner, stamp in rows
        )
        ids = np.fromiter((row[0] for row in rows), np.int64, len(rows))
        return cls(ids, np.frombuffer(packed, np.uint64).reshape(-1, 4))

    def __len__(self) -> int:
        return len(self.ids)

    def at(self, rows: NDArray[np.intp]) -> Self:
        return type(self)(self.ids[rows], self.stamps[rows])

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        return cls(np.concatenate([part.ids for part in parts]), np.concatenate([part.stamps for part in parts]))

    def are_among(self, others: "TemplateStamps") -> NDArray[np.bool_]:
        """(n,): whether the same template is there, under the same number."""
        found = np.zeros(len(self), np.bool_)
        _, mine, theirs = np.intersect1d(self.ids, others.ids, assume_unique=True, return_indices=True)
        found[mine] = (self.stamps[mine] == others.stamps[theirs]).all(axis=1)
        return found


def check_unit(embedding: F32) -> None:
    """Raises ValueError where this is no (d,) float32 unit vector; cosine is a dot product only of those."""
    if embedding.ndim != 1 or embedding.dtype != np.float32:
        raise ValueError(f"embedding: want float32 (d,), got {embedding.dtype} {embedding.shape}")
    length = float(np.linalg.norm(embedding))
    if not abs(length - 1.0) < 1e-3:
        raise ValueError(f"embedding: want a unit vector, got one of length {length:.3f}")


def space_mismatch(space: str, stored: int, given: int) -> EmbeddingSpaceMismatch:
    """The error for embeddings whose size is not that of the gallery's in their space."""
    return EmbeddingSpaceMismatch(
        f"the gallery's templates of {space} have {stored} numbers, this model gives {given}; check the model's spec"
    )


def new_person_id() -> str:
    """`p` and 12 of [a-z0-9]: 62 random bits."""
    number, letters = secrets.randbelow(len(_ID_ALPHABET) ** 12), []
    for _ in range(12):
        number, letter = divmod(number, len(_ID_ALPHABET))
        letters.append(_ID_ALPHABET[letter])
    return "p" + "".join(letters)


def clean_name(name: str, what: str = "name") -> str:
    """A display name in NFC without outer blanks. Raises NameInvalid: want 1-100 printable characters."""
    cleaned = unicodedata.normalize("NFC", name.strip())
    if not cleaned.translate(_JOINERS).strip():
        raise NameInvalid(f"the {what} is empty; give one of 1 to {LONGEST_NAME} printable characters")
    if len(cleaned) > LONGEST_NAME:
        raise NameInvalid(f"the {what} has {len(cleaned)} characters; give one of at most {LONGEST_NAME}")
    if not cleaned.translate(_JOINERS).isprintable():
        raise NameInvalid(f"the {what} holds unprintable characters (a tab, a line break); leave them out")
    return cleaned


def checked_profile(profile: Profile) -> Profile:
    """The same with its texts as clean_name() makes them. Raises NameInvalid, and ThresholdInvalid beyond [-1, 1]."""
    if profile.threshold is not None and not -1.0 <= profile.threshold.cosine <= 1.0:
        raise ThresholdInvalid(f"the threshold is {profile.threshold.cosine:g}; give a cosine from -1 to 1")
    external_id = profile.external_id
    return replace(
        profile,
        name=clean_name(profile.name),
        external_id=None if external_id is None else clean_name(external_id, "external id"),
        tags=tuple(sorted({clean_name(tag, "tag") for tag in profile.tags})),
    )


def name_key(name: str) -> str:
    """What names have in common that differ by capitals, blanks or the form of a letter alone."""
    return "".join(unicodedata.normalize("NFKC", name).casefold().translate(_JOINERS).split())
