"""Parts of /readyz as metrics: all that there are, and none that is gone."""

from streamer.readiness import Part
from streamer.telemetry.metrics import Metrics
from streamer.telemetry.part_watch import PartWatch


def shown(metrics: Metrics) -> dict[str, float]:
    return {sample.labels["part"]: sample.value for family in metrics.part_ready.collect() for sample in family.samples}


def test_each_part_is_shown_while_it_is_there():
    metrics = Metrics()
    watch = PartWatch(metrics)
    watch.tell([Part("broker", True), Part("configuration", False, "no such camera")], None)
    assert shown(metrics) == {"broker": 1.0, "configuration": 0.0}
    watch.tell([Part("broker", False, "away")], 1_800_000_000.0)
    assert shown(metrics) == {"broker": 0.0}
    expiry = metrics.registry.get_sample_value("whosthere_certificate_expiry_timestamp_seconds", {"use": "http"})
    assert expiry == 1_800_000_000.0
    watch.tell([Part("broker", True)], None)
    assert shown(metrics) == {"broker": 1.0}
