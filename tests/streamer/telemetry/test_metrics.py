"""Metrics of cameras that come and go."""

from prometheus_client import generate_latest

from streamer.telemetry.metrics import Metrics


def test_a_camera_that_is_forgotten_leaves_no_series():
    metrics = Metrics()
    for metric in vars(metrics).values():
        labels = getattr(metric, "_labelnames", ())
        if "camera" in labels:
            metric.labels(**dict.fromkeys(labels, "door"))
    assert b'camera="door"' in generate_latest(metrics.registry)
    metrics.forget_camera("door")
    assert b'camera="door"' not in generate_latest(metrics.registry)
