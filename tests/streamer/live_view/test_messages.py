"""What viewers are told, to the letter, and times that a browser can tell apart."""

import json
from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest

from streamer.ingest.frame import Frame
from streamer.live_view.messages import faces_message, media_time, state_message
from streamer.pipeline.camera import CameraStatus
from streamer.pipeline.watching import SeenFace
from tests.streamer.live_view.viewers import ADA, NAMES

STRANGER = "p" + "z" * 12


def frame(number: int, captured_s: float) -> Frame:
    return Frame(number, cast(Any, SimpleNamespace(width=1280, height=720)), 1000.0 + captured_s, captured_s, 0.001)


@pytest.mark.parametrize(
    ("face", "told"),
    [
        (SeenFace((1, 2, 3, 4), 0.91234, False, None, None, 0.5), (None, None, None)),
        (SeenFace((1, 2, 3, 4), 0.91234, True, None, 0.12, 0.5), ("unknown", None, 0.12)),
        (SeenFace((1, 2, 3, 4), 0.91234, True, None, None, 0.5), ("unknown", None, None)),
        (SeenFace((1, 2, 3, 4), 0.91234, True, ADA, 0.7, 0.5), ("known", {"id": ADA, "name": "Ada Lovelace"}, 0.7)),
        (SeenFace((1, 2, 3, 4), 0.91234, True, STRANGER, 0.7, 0.5), ("unknown", None, 0.7)),  # forgotten since
    ],
)
def test_a_face(face, told):
    message = json.loads(faces_message(frame(7, 1.5), [face], NAMES.get, 1001.75))
    (said,) = message.pop("faces")
    assert message == {
        "frame": 7,
        "captured_at": 1001.5,
        "published_at": 1001.75,
        "media_time": 135000 + 49,
        "width": 1280,
        "height": 720,
    }
    decision, person, similarity = told
    assert said == {
        "box": [1, 2, 3, 4],
        "score": 0.9123,
        "decision": decision,
        "person": person,
        "similarity": similarity,
        "quality": 0.5,
    }


@pytest.mark.parametrize(
    ("reason", "said"), [("", None), ("black", "black"), ("camera_unreachable", "camera_unreachable")]
)
def test_a_state(reason, said):
    assert json.loads(state_message(CameraStatus("online", reason), 12.5)) == {
        "state": "online",
        "since": 12.5,
        "reason": said,
    }


@pytest.mark.parametrize("fps", [1.0, 10.0, 29.97, 120.0])
def test_times_rise_and_pair_in_one_way_alone(fps):
    """A wrong pairing of 60 pictures with 60 messages agrees with itself in fewer than three places."""
    times = [media_time(frame(number, 5000 + number / fps)) for number in range(60)]
    assert times == sorted(set(times))
    offsets = Counter(picture - message for picture in times for message in times)
    assert offsets.pop(0) == 60
    assert max(offsets.values()) <= 2
    assert all(abs(time - (5000 + number / fps) * 90_000) < 98 for number, time in enumerate(times))
