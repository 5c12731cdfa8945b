"""A camera that is removed has no series any more, of whatever metric."""

import pytest
from prometheus_client import generate_latest
from prometheus_client.metrics import MetricWrapperBase

from streamer.telemetry.metrics import Metrics


@pytest.mark.parametrize("camera", ["porch", "a/b", 'quoted "x"'])
def test_a_camera_that_is_removed_leaves_no_series(camera: str):
    metrics = Metrics()
    told = [one for one in vars(metrics).values() if isinstance(one, MetricWrapperBase) and "camera" in one._labelnames]
    assert len(told) >= 12
    for metric in told:
        for name in (camera, "door"):
            metric.labels(**{label: name if label == "camera" else "x" for label in metric._labelnames})
    metrics.show_camera_state(camera, "online", "")
    metrics.forget_camera(camera)
    text = generate_latest(metrics.registry).decode()
    assert camera.replace('"', '\\"') not in text
    for metric in told:
        assert any(sample.labels["camera"] == "door" for family in metric.collect() for sample in family.samples)


def test_a_camera_has_the_series_of_its_state_alone():
    metrics = Metrics()
    for state, reason in (("offline", "starting"), ("online", ""), ("online", ""), ("disabled", "")):
        metrics.show_camera_state("door", state, reason)
        metrics.show_camera_state("hall", "online", "black")
        shown = {
            tuple(sample.labels.values()) for family in metrics.camera_state.collect() for sample in family.samples
        }
        assert shown == {("door", state, reason), ("hall", "online", "black")}
    metrics.forget_camera("door")
    metrics.show_camera_state("door", "online", "")  # added anew
    assert metrics.registry.get_sample_value(
        "whosthere_camera_state", {"camera": "door", "state": "online", "reason": ""}
    )
