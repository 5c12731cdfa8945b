"""A camera that is removed has no series any more, of whatever metric."""

import pytest
from prometheus_client import generate_latest
from prometheus_client.metrics import MetricWrapperBase

from streamer.telemetry.metrics import Metrics


@pytest.mark.parametrize("camera", ["gate", "a/b", 'quoted "x"'])
def test_a_camera_that_is_removed_leaves_no_series(camera: str):
    metrics = Metrics()
    told = [one for one in vars(metrics).values() if isinstance(one, MetricWrapperBase) and "camera" in one._labelnames]
    assert len(told) >= 12
    for metric in told:
        for name in (camera, "door"):
            metric.labels(**{label: name if label == "camera" else "x" for label in metric._labelnames})
    metrics.forget_camera(camera)
    text = generate_latest(metrics.registry).decode()
    assert camera.replace('"', '\\"') not in text
    for metric in told:
        assert any(sample.labels["camera"] == "door" for family in metric.collect() for sample in family.samples)
