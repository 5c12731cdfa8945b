"""What app.py makes of the settings for one camera, and how it shows how the models fare."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from recognition.recogniser import UNHEALTHY_AFTER, RecogniserConfig, open_recogniser
from streamer.app import Service, camera_path, describe_models, watch_health
from streamer.metrics import Metrics
from streamer.settings import CameraSettings, EventsSettings, Settings
from tests.fragile import faces, fragile_model


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


class Broker:
    """Keeps what is told of the models."""

    connected = True
    model: Any = None

    def set_model(self, document: dict[str, object]) -> None:
        self.model = document


def service_of(recogniser: Any) -> Service:
    """As much of a service as looks at models; the recogniser is real."""
    nothing, outbox = cast(Any, None), cast(Any, SimpleNamespace(healthy=True))
    return Service(Settings(), Metrics(), recogniser, nothing, outbox, cast(Any, Broker()), [])


async def test_a_fallback_to_the_cpu_shows_everywhere(caplog):
    """Real models; on a machine with a GPU there is nothing to fall back from."""
    async with open_recogniser(RecogniserConfig("nano_det", "nano_embed", (), device="auto", runners=1)) as recogniser:
        fallback = recogniser.detector.fallback
        if fallback is None:
            pytest.skip("the GPU works here")
        service = service_of(recogniser)
        with caplog.at_level(logging.INFO):
            describe_models(service)
    (part,) = (part for part in service.readiness().parts if part.name == "models")
    assert part.ok
    assert part.reason == f"nano_det on the CPU: {fallback.why}; nano_embed on the CPU: {fallback.why}"
    assert f"model nano_det: device auto took the CPU: {fallback.why}" in caplog.messages
    labels = {"model": "nano_embed", "reason": fallback.code}
    assert service.metrics.registry.get_sample_value("whosthere_model_fallback", labels) == 1
    assert cast(Any, service.publisher).model["embedder"]["fallback"] == fallback.code
    assert cast(Any, service.publisher).model["embedder"]["device"] == "cpu"


async def test_the_cpu_asked_for_is_told_of_no_more(caplog):
    async with open_recogniser(RecogniserConfig("nano_det", "nano_embed", (), device="cpu", runners=1)) as recogniser:
        service = service_of(recogniser)
        describe_models(service)
    assert service.readiness().parts[0].reason == ""
    assert cast(Any, service.publisher).model["embedder"]["fallback"] is None
    assert not list(service.metrics.model_fallback.collect()[0].samples)


async def test_an_embedder_of_no_use_shows_until_it_is_of_use_again(tmp_path: Path, caplog):
    caplog.set_level(logging.INFO)
    config = RecogniserConfig("nano_det", fragile_model(tmp_path, "nan"), (tmp_path,), device="cpu", runners=1)

    async with open_recogniser(config) as recogniser:
        service = service_of(recogniser)

        def healthy() -> float | None:
            return service.metrics.registry.get_sample_value("whosthere_model_healthy", {"model": "fragile"})

        before = watch_health(service, True)
        assert (before, healthy(), service.readiness().parts[0].ok, caplog.messages) == (True, 1, True, [])
        await recogniser.embed(*faces(*[0] * UNHEALTHY_AFTER), "a")
        for _ in range(2):
            before = watch_health(service, before)
        part = service.readiness().parts[0]
        assert (before, healthy(), part.ok) == (False, 0, False)
        assert part.reason == str(recogniser.fault)
        assert caplog.messages == [part.reason]
        await recogniser.embed(*faces(120), "a")
        assert watch_health(service, before)
        assert (healthy(), service.readiness().parts[0].ok) == (1, True)
        assert caplog.messages[1:] == ["model fragile: its embeddings are usable again"]
