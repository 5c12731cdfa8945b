"""People as they travel between galleries, made of numbers; whether two are the same in all that is kept."""

import hashlib

import cv2
import numpy as np

from gallery.people import Consent, OwnThreshold, Profile
from gallery.portable import PortablePerson, PortablePhoto, PortableTemplate
from tests.gallery.fakes import SIGNATURE, SPACE, unit


def portable_person(
    seed: int = 1, name: str = "Ada Lovelace", photos: int = 2, *, chips: bool = True
) -> PortablePerson:
    """Somebody with everything that can be said of a person; the second photo has templates of two spaces."""
    made = []
    for number in range(photos):
        rng = np.random.default_rng([seed, number])
        jpeg = cv2.imencode(".jpg", rng.integers(0, 256, (256, 256, 3), np.uint8))[1].tobytes() if chips else None
        spaces = [SPACE, "other.1"][: number + 1]
        templates = tuple(
            PortableTemplate(
                space, SIGNATURE, unit(100 * seed + number, 64 - 32 * place), 0.9, "photo", 1.75e9 + number
            )
            for place, space in enumerate(spaces)
        )
        landmarks = rng.uniform(80, 180, (5, 2)).astype(np.float32)
        digest = hashlib.sha256(f"{seed} {number}".encode()).hexdigest()
        made.append(PortablePhoto(jpeg, landmarks, 0.875, digest, 1.75e9 + number, templates))
    consent = Consent("Ada's guardian", 1.75e9, "the door of the library", 4e9)
    profile = Profile(name, f"staff-{seed}", ("night shift", "staff"), OwnThreshold(SPACE, 0.5), consent)
    return PortablePerson(f"p{seed:012d}", profile, 1.75e9, tuple(made))


def assert_same(one: PortablePerson, other: PortablePerson) -> None:
    """In every number, to the last bit."""
    assert (one.id, one.profile, one.created_at) == (other.id, other.profile, other.created_at)
    assert len(one.photos) == len(other.photos)
    for ours, theirs in zip(one.photos, other.photos, strict=True):
        assert (ours.jpeg, ours.quality, ours.digest, ours.added_at) == (
            theirs.jpeg,
            theirs.quality,
            theirs.digest,
            theirs.added_at,
        )
        np.testing.assert_array_equal(ours.landmarks, theirs.landmarks)
        for template, others in zip(ours.templates, theirs.templates, strict=True):
            for field in ("space", "signature", "quality", "source", "created_at"):
                assert getattr(template, field) == getattr(others, field), field
            np.testing.assert_array_equal(template.embedding, others.embedding)
