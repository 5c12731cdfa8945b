"""All that is kept of one person, in clear, as it goes from one gallery's file to another or into a person's ZIP.

Pure; any thread. Numbers of photos and templates are a file's own and don't travel; the person's id does.
"""

from dataclasses import dataclass

from gallery.people import Profile, check_unit
from recognition.arrays import F32


@dataclass(frozen=True, slots=True, eq=False)
class PortableTemplate:
    """A face in one embedding space: (d,) float32 unit vector, made by the models of `signature` at `created_at`.

    `source`: what it was made of, as the gallery has it.
    """

    space: str
    signature: str
    embedding: F32
    quality: float
    source: str
    created_at: float

    def __post_init__(self) -> None:
        check_unit(self.embedding)


@dataclass(frozen=True, slots=True, eq=False)
class PortablePhoto:
    """A photo as it is kept: its chip as JPEG (None: it was not to be kept), landmarks (5,2) float32 in it.

    digest: the SHA-256 of the photo's file in hex; quality in [0,1]; added_at is Unix time in s.
    """

    jpeg: bytes | None
    landmarks: F32
    quality: float
    digest: str
    added_at: float
    templates: tuple[PortableTemplate, ...]


@dataclass(frozen=True, slots=True, eq=False)
class PortablePerson:
    """created_at is Unix time in s."""

    id: str
    profile: Profile
    created_at: float
    photos: tuple[PortablePhoto, ...]
