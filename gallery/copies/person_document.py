"""What a person's ZIP says in JSON: its documents, as pydantic holds them to their form, and what is made of them.

Pure; a PortablePerson goes in and comes out. Keys that are not known are ignored: whoever adds one keeps the number.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from gallery.people import Consent, OwnThreshold, Profile, checked_profile
from gallery.portable import PortablePerson, PortablePhoto, PortableTemplate

FORMAT = "whosthere.person/1"
PERSON, TEMPLATES, AUDIT = "person.json", "templates.json", "audit.json"

_Text = Annotated[str, Field(min_length=1, max_length=1000)]
_Cosine = Annotated[float, Field(ge=-1, le=1)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Component = Annotated[float, Field(ge=-1.01, le=1.01)]
_Pixel = Annotated[float, Field(ge=-100_000, le=100_000)]
_Time = Annotated[float, Field(ge=0, lt=253_402_300_800)]  # of a year with four digits


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Version(_Part):
    """Read before the rest is: what a newer form may have in other places."""

    format: str


class ConsentPart(_Part):
    by: _Text
    at: _Time
    purpose: _Text
    expires_at: _Time | None = None


class ThresholdPart(_Part):
    space: _Text
    cosine: _Cosine


class PhotoPart(_Part):
    """`file`: its name in the ZIP; null where the gallery kept no picture."""

    file: Annotated[str, Field(pattern=r"^photos/[1-9]\d{0,5}\.jpg$")] | None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    quality: _Share
    added_at: _Time
    landmarks: Annotated[list[tuple[_Pixel, _Pixel]], Field(min_length=5, max_length=5)]


class PersonPart(_Part):
    format: Literal["whosthere.person/1"]
    id: Annotated[str, Field(pattern=r"^p[a-z0-9]{12}$")]
    name: _Text
    created_at: _Time
    external_id: _Text | None = None
    tags: Annotated[list[_Text], Field(max_length=1000)] = []
    threshold: ThresholdPart | None = None
    consent: ConsentPart | None = None
    ignored: bool = False
    photos: Annotated[list[PhotoPart], Field(max_length=10_000)]


class TemplatePart(_Part):
    """`photo`: which of person.json's, counted from 1."""

    photo: Annotated[int, Field(ge=1)]
    space: _Text
    dim: Annotated[int, Field(ge=2, le=100_000)]
    signature: Annotated[str, Field(max_length=1000)]
    quality: _Share
    source: Annotated[str, Field(max_length=1000)]
    created_at: _Time
    embedding: Annotated[list[_Component], Field(min_length=2, max_length=100_000)]


class TemplatesPart(_Part):
    templates: Annotated[list[TemplatePart], Field(max_length=1_000_000)]


def photo_file(number: int) -> str:
    """The name in the ZIP of a person's photo, counted from 1."""
    return f"photos/{number}.jpg"


def person_document(person: PortablePerson, at: float) -> dict[str, object]:
    """person.json; `at`: when it was exported, Unix time in s."""
    profile, consent, threshold = person.profile, person.profile.consent, person.profile.threshold
    return {
        "format": FORMAT,
        "exported_at": at,
        "id": person.id,
        "name": profile.name,
        "created_at": person.created_at,
        "external_id": profile.external_id,
        "tags": list(profile.tags),
        "threshold": threshold and {"space": threshold.space, "cosine": threshold.cosine},
        "consent": consent
        and {"by": consent.by, "at": consent.at, "purpose": consent.purpose, "expires_at": consent.expires_at},
        "ignored": profile.ignored,
        "photos": [
            {
                "file": None if photo.jpeg is None else photo_file(number),
                "sha256": photo.digest,
                "quality": photo.quality,
                "added_at": photo.added_at,
                "landmarks": photo.landmarks.tolist(),
            }
            for number, photo in enumerate(person.photos, 1)
        ],
    }


def templates_document(person: PortablePerson) -> dict[str, object]:
    """templates.json; embeddings are arrays, for orjson, which writes the shortest text that gives the same float32."""
    return {
        "templates": [
            {
                "photo": number,
                "space": template.space,
                "dim": len(template.embedding),
                "signature": template.signature,
                "quality": template.quality,
                "source": template.source,
                "created_at": template.created_at,
                "embedding": template.embedding,
            }
            for number, photo in enumerate(person.photos, 1)
            for template in photo.templates
        ]
    }


def person_of(person: PersonPart, templates: TemplatesPart, jpegs: Sequence[bytes | None]) -> PortablePerson:
    """jpegs: the pictures of person.json's photos, in their order. Raises ValueError: what does not fit together,
    and NameInvalid.
    """
    made: list[list[PortableTemplate]] = [[] for _ in person.photos]
    for part in templates.templates:
        if part.photo > len(made):
            raise ValueError(f"a template is of photo {part.photo}, and there are {len(made)}")
        if part.dim != len(part.embedding):
            raise ValueError(f"a template of {part.space} has {len(part.embedding)} numbers, not {part.dim}")
        if any(part.space == other.space for other in made[part.photo - 1]):
            raise ValueError(f"photo {part.photo} has two templates of {part.space}")
        embedding = np.array(part.embedding, np.float32)
        made[part.photo - 1].append(
            PortableTemplate(part.space, part.signature, embedding, part.quality, part.source, part.created_at)
        )
    if len({photo.sha256 for photo in person.photos}) < len(person.photos):
        raise ValueError("two photos have the same sha256")
    consent, threshold = person.consent, person.threshold
    profile = Profile(
        person.name,
        person.external_id,
        tuple(person.tags),
        None if threshold is None else OwnThreshold(threshold.space, threshold.cosine),
        None if consent is None else Consent(consent.by, consent.at, consent.purpose, consent.expires_at),
        person.ignored,
    )
    if checked_profile(profile) != profile:
        raise ValueError("a name has blanks around it, or is not in NFC, or tags are not in order")
    return PortablePerson(
        person.id,
        profile,
        person.created_at,
        tuple(
            PortablePhoto(
                jpeg,
                np.array(photo.landmarks, np.float32),
                photo.quality,
                photo.sha256,
                photo.added_at,
                tuple(of_photo),
            )
            for photo, jpeg, of_photo in zip(person.photos, jpegs, made, strict=True)
        ),
    )
