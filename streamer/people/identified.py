"""Who is in a photo, as JSON: a face as `identify` found it. Pure."""

from collections.abc import Callable
from typing import Any

from recognition.errors import ImageError
from streamer.pipeline.stills import StillFace


def photo_document(file: str, faces: list[StillFace], name_of: Callable[[str], str | None]) -> dict[str, Any]:
    """Of a photo that could be read; its faces as they are given, the largest first."""
    return {"file": file, "faces": [_document(face, name_of) for face in faces]}


def unread_document(file: str, error: ImageError) -> dict[str, Any]:
    """Of one that could not."""
    return {"file": file, "faces": [], "error": {"code": error.code, "why": str(error)}}


def _document(face: StillFace, name_of: Callable[[str], str | None]) -> dict[str, Any]:
    def named(person_id: str) -> dict[str, Any]:
        return {"id": person_id, "name": name_of(person_id)}

    return {
        "box": list(face.box),
        "quality": round(face.quality, 4),
        "decision": face.decision,
        "person": None if face.person_id is None else named(face.person_id),
        "similarity": _rounded(face.similarity),
        "threshold": _rounded(face.threshold),
        "confidence": _rounded(face.confidence),
        "candidates": [named(one.person_id) | {"similarity": _rounded(one.similarity)} for one in face.candidates],
        "ignored": face.is_ignored,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
