"""Visits as tests of keeping them need them: events, faces and pictures that are nobody's, and keys."""

import itertools
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from gallery.keys.master_key import KeySource
from recognition.image import ArrayImage
from streamer.events.event import FrameSize, IdentityEvent, LatencyMs, Models, Person
from streamer.kept_visits.visit import Limits, VisitChange, VisitFace, people_of
from tests.streamer.scripted import unit

ADA, BOB, EVE = ("p" + letter * 12 for letter in "abe")
NOW = 1_790_000_000.0
LIMITS = Limits(keep_s=14 * 86_400.0, unknown_s=3_600.0, most_bytes=1 << 30)
LANDMARKS = np.array([[300, 200], [340, 200], [320, 225], [305, 250], [335, 250]], np.float32)
_NUMBERS = itertools.count(1)


def visit_id() -> str:
    return f"01KB8Z4N6V3T9QH5R2M7{next(_NUMBERS):06d}"


def event(event_id: str, seq: int = 1, person: str | None = ADA, at: float = NOW, **more: Any) -> IdentityEvent:
    """The first is `new`; say type="end" for the last."""
    told: dict[str, Any] = {
        "type": "new" if seq == 1 else "update",
        "camera": "door",
        "track_ids": ["door-1"],
        "previous_person": None,
    }
    return IdentityEvent(
        event_id=event_id,
        seq=seq,
        cameras=["door"],
        person=None if person is None else Person(id=person, name="A Name That Is Nowhere"),
        similarity=0.7,
        threshold=0.4,
        confidence=0.9,
        margin=0.3,
        quality=0.8,
        box=(280, 160, 360, 280),
        frame=FrameSize(width=640, height=480),
        first_seen_at=at - 1.0,
        captured_at=at,
        latency_ms=LatencyMs(decode=1.0, queue=1.0, detect=1.0, embed=1.0, match=1.0),
        model=Models(detector="d", embedder="e", signature="s"),
        **(told | more),
    )


def face(seed: int = 1, quality: float = 0.8) -> VisitFace:
    return VisitFace(unit(seed, 128), quality, "e.1", "d+e")


def change(event_id: str, *messages: IdentityEvent, is_first: bool = True, **more: Any) -> VisitChange:
    """Of one message where none is given."""
    told = messages or (event(event_id),)
    values: dict[str, Any] = {
        "event_id": event_id,
        "camera": told[-1].camera,
        "is_first": is_first,
        "is_known": told[-1].person is not None,
        "began_at": told[0].first_seen_at,
        "began_s": None,
        "seen_at": told[-1].captured_at,
        "ended_at": told[-1].captured_at if told[-1].type == "end" else None,
        "people": people_of(told),
        "messages": told,
        "faces": (face(1), face(2, 0.5)),
        "pictures": {"face": b"\xff\xd8 the face", "scene": b"\xff\xd8 the scene"},
    }
    return VisitChange(**(values | more))


def picture(shade: int = 100, width: int = 640, height: int = 480) -> ArrayImage:
    """One of its own, without detail that JPEG would lose."""
    shades = np.random.default_rng(shade).integers(0, 255, (6, 8, 3)).astype(np.uint8)
    return ArrayImage(np.asarray(cv2.resize(shades, (width, height)), np.uint8))


def keys_in(folder: Path) -> KeySource:
    return KeySource(folder / "keys")


def everything_in(folder: Path) -> bytes:
    """All bytes of the visits' file and of what lies beside it."""
    return b"".join(file.read_bytes() for file in sorted(folder.glob("visits.db*")))
