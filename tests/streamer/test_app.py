"""What app.py makes of the settings for one camera."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from streamer.app import camera_path
from streamer.metrics import Metrics
from streamer.settings import CameraSettings, EventsSettings, Settings


def path_of(**camera: Any) -> Any:
    settings = Settings(
        cameras={"door": CameraSettings(url="clip.mp4", **camera)}, events=EventsSettings(gone_after_s=2.0)
    )
    spec = SimpleNamespace(name="m")
    recogniser = SimpleNamespace(
        detection_threshold=0.5,
        detector=SimpleNamespace(spec=spec),
        embedder=SimpleNamespace(spec=spec),
        signature="s",
    )
    nothing = cast(Any, None)
    return camera_path("door", settings, cast(Any, recogniser), nothing, nothing, Metrics())


@pytest.mark.parametrize(("fps", "gone_after_s"), [(10.0, 2.0), (0.4, 7.5)])
def test_a_slow_camera_gives_its_tracks_time_for_a_second_sighting(fps, gone_after_s):
    assert path_of(fps=fps).tracker.rules.gone_after_s == gone_after_s


@pytest.mark.parametrize(("pace", "waits"), [("realtime", False), ("fastest", True)])
def test_only_at_pace_fastest_is_a_full_queue_waited_for(pace, waits):
    assert path_of(pace=pace).waits is waits
