"""What is scraped is what prometheus_client would write, byte for byte, but for when series were made."""

import math
import threading
from collections.abc import Iterator

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from streamer.telemetry.exposition import Exposition
from streamer.telemetry.metrics import Metrics

ODD = ("plain", 'quoted "x"', "back\\slash", "two\nlines", "ä/b", "")
NUMBERS = (0, 1, -1, 0.1, 1e-9, 999999.0, 1e6, 1234567.0, 12345678.9, -2e6, 1e22, math.inf, -math.inf, math.nan)


@pytest.fixture(autouse=True)
def without_created() -> Iterator[None]:
    prometheus_client.disable_created_metrics()
    yield
    prometheus_client.enable_created_metrics()


def test_every_kind_of_metric_and_number_is_written_as_the_library_does():
    registry = CollectorRegistry()
    gauge = Gauge("a_gauge", "Says \\ and\nmore", ["z", "a"], registry=registry)
    for value in ODD:
        for number in NUMBERS:
            gauge.labels(value, str(number)).set(number)
    plain = Gauge("plain", "Of a function", registry=registry)
    plain.set_function(lambda: 7)
    counter = Counter("things_total", "Counted", registry=registry)
    counter.inc(1e7)
    labelled = Counter("more_things_total", "Counted", ["code"], registry=registry)
    labelled.labels("a").inc()
    times = Histogram("time_seconds", "Took", registry=registry)
    times.observe(0.3)
    staged = Histogram("stage_seconds", "Took", ["stage"], buckets=(0.1, 1, 1e7), registry=registry)
    staged.labels("one").observe(2)
    nothing = Gauge("nothing", "Never set", ["a"], registry=registry)
    ours = Exposition([gauge, plain, counter, labelled, times, staged, nothing])
    for _ in range(2):
        assert ours.text() == generate_latest(registry)
        gauge.remove("plain", "0")
        labelled.labels("new").inc(0.5)
        staged.labels("two").observe(0.5)


def test_the_service_s_metrics_are_written_whole():
    metrics = Metrics()
    metrics.frames.labels(camera="door", outcome="processed").inc(3)
    metrics.gallery_expected_fpir.labels(space="a").set(math.nan)
    metrics.batch_size.labels(model="nano_embed").observe(4)
    at_once = ("process_cpu_seconds_total", "process_resident_memory_bytes")
    ours, theirs = (
        [line for line in text.decode().splitlines() if not line.startswith(at_once)]
        for text in (metrics.text(), generate_latest(metrics.registry))
    )
    assert ours == theirs
    assert any(line.startswith("process_open_fds ") for line in ours)


def test_when_series_were_made_is_left_out():
    prometheus_client.enable_created_metrics()
    metrics = Metrics()
    metrics.frames.labels(camera="door", outcome="processed").inc()
    assert b"_created" in generate_latest(metrics.registry)
    assert b"_created" not in metrics.text()


def test_what_is_kept_between_scrapes_goes_with_its_camera():
    metrics = Metrics()
    for number in range(50):
        metrics.camera_up.labels(camera=f"camera-{number}").set(1)
        assert f'camera="camera-{number}"'.encode() in metrics.text()
        metrics.forget_camera(f"camera-{number}")
    assert b'camera="' not in metrics.text()
    assert not any("camera-" in value for key in metrics._exposition._heads for value in key)


def test_scrapes_beside_each_other_and_beside_what_counts():
    metrics = Metrics()
    texts: list[bytes] = []
    faults: list[Exception] = []
    over = threading.Event()

    def count() -> None:
        number = 0
        while not over.is_set():
            number += 1
            metrics.frames.labels(camera=f"c{number % 300}", outcome="processed").inc()
            if number % 7 == 0:
                metrics.forget_camera(f"c{number % 299}")

    def scrape() -> None:
        try:
            texts.extend(metrics.text() for _ in range(20))
        except Exception as fault:  # noqa: BLE001 - whatever it is, the test is to say it
            faults.append(fault)

    counting = threading.Thread(target=count)
    counting.start()
    scrapers = [threading.Thread(target=scrape) for _ in range(3)]
    for thread in scrapers:
        thread.start()
    for thread in scrapers:
        thread.join()
    over.set()
    counting.join()
    assert faults == []
    assert len(texts) == 60
    assert all(text.endswith(b"\n") and b"whosthere_build_info{" in text for text in texts)
