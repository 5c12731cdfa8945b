"""What viewers are told, as JSON: the faces of each frame, and the camera's state. Pure.

A message with `faces` is a frame's, one with `state` is the camera's, one with `jpeg` that of the picture behind it;
who reads them ignores keys that it doesn't know.
"""

from collections.abc import Callable, Sequence

import orjson

from streamer.ingest.frame import Frame
from streamer.pipeline.camera import CameraStatus
from streamer.pipeline.watching import SeenFace

CLOCK_HZ = 90_000  # of RTP's video
_TELLTALE = 97  # ticks, 1.1 ms


def media_time(frame: Frame) -> int:
    """A frame's time in its stream, in 1/90000 s.

    RTP adds an offset that a browser is not told; it finds it where times are uneven. Those of a clip are even, so
    each is moved by a part of a millisecond, never twice in the same way one after the other.
    """
    return round(frame.captured_s * CLOCK_HZ) + frame.number**2 % _TELLTALE


def faces_message(
    frame: Frame, faces: Sequence[SeenFace], name_of: Callable[[str], str | None], published_at: float
) -> str:
    """Names are joined in here. `decision` is null until an event has said whose the face is."""
    return _json(
        {
            "frame": frame.number,
            "captured_at": frame.captured_at,
            "published_at": published_at,
            "media_time": media_time(frame) % 2**32,
            "width": frame.width,
            "height": frame.height,
            "faces": [_face(face, name_of) for face in faces],
        }
    )


def picture_message(frame: Frame, jpeg_bytes: int) -> str:
    """What goes before a picture. width, height: what the boxes are in, whatever the size that is sent."""
    return _json(
        {
            "frame": frame.number,
            "captured_at": frame.captured_at,
            "media_time": media_time(frame) % 2**32,
            "width": frame.width,
            "height": frame.height,
            "jpeg": jpeg_bytes,
        }
    )


def state_message(status: CameraStatus, since: float) -> str:
    """As MQTT's `cameras/<camera>/status`."""
    return _json({"state": status.state, "since": since, "reason": status.reason or None})


def _face(face: SeenFace, name_of: Callable[[str], str | None]) -> dict[str, object]:
    name = name_of(face.person_id) if face.person_id is not None else None
    known = name is not None  # or forgotten since
    return {
        "box": face.box,
        "score": round(face.score, 4),
        "decision": None if not face.is_told else "known" if known else "unknown",
        "person": {"id": face.person_id, "name": name} if known else None,
        "similarity": face.similarity,
        "quality": round(face.quality, 4),
    }


def _json(message: dict[str, object]) -> str:
    return orjson.dumps(message).decode()
