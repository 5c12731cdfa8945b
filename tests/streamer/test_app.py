"""What app.py makes of the settings for one camera, and how it shows how the models fare."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from recognition.recogniser import UNHEALTHY_AFTER
from recognition.specs.files import load_specs
from streamer.access.guard import Guard
from streamer.access.live_tokens import LiveTokens
from streamer.api.streaming.live_events import LiveEvents
from streamer.app import Configured, Service, running_service
from streamer.live_view.view import LiveView
from streamer.model_layer.layer import open_models
from streamer.model_layer.setup import make_manager
from streamer.pipeline.camera import camera_path
from streamer.pipeline.live_gallery import LiveGallery
from streamer.process import make_data_folder
from streamer.settings import CameraSettings, EventsSettings, PathsSettings, RecognitionSettings, Settings
from streamer.settings_reading import Layers, read_layers
from streamer.telemetry.metrics import Metrics
from streamer.upkeep.daily import Upkeep
from tests.faces import KNOWN, STRANGERS, write_film
from tests.fragile import faces, fragile_model
from tests.recognition.fakes import until
from tests.streamer.ingest.rtsp.publisher import Publisher


def path_of(**camera: Any) -> Any:
    settings = Settings(
        cameras={"door": CameraSettings(url="clip.mp4", **camera)}, events=EventsSettings(gone_after_s=2.0)
    )
    spec = SimpleNamespace(name="m")
    recogniser = SimpleNamespace(
        detection_threshold=0.5, detector=SimpleNamespace(spec=spec), embedder=SimpleNamespace(spec=spec), signature="s"
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

    trouble = ""
    model: Any = None

    def set_model(self, document: dict[str, object]) -> None:
        self.model = document


@asynccontextmanager
async def watched(tmp_path: Path, **recognition: Any) -> AsyncIterator[tuple[Service, Broker]]:
    """As much of a service as looks at models; models, gallery and metrics are real."""
    settings = Settings(
        paths=PathsSettings(models=(tmp_path,), data=tmp_path / "var"),
        recognition=RecognitionSettings(**{"runners": 1, **recognition}),
    )
    make_data_folder(settings.paths.data)
    metrics, broker = Metrics(), Broker()
    manager = make_manager(settings, portraits=False)  # the network that is of no use would not be let in
    async with (
        open_models(settings, metrics, manager) as models,
        LiveGallery.open(settings, models.recogniser, metrics) as live_gallery,
    ):
        outbox = cast(Any, SimpleNamespace(healthy=True, trouble=""))
        visits = cast(Any, SimpleNamespace(is_wanted=False, trouble=""))
        await models.attach(live_gallery, broker.set_model)
        tokens = LiveTokens(settings.tokens_path)
        guard = Guard(tokens, metrics)
        live_view = LiveView(live_gallery.name_of, metrics)
        yield (
            Service(
                settings,
                metrics,
                models,
                live_gallery,
                outbox,
                visits,
                cast(Any, broker),
                live_view,
                [],
                tokens,
                guard,
                Upkeep(settings),
                LiveEvents(live_gallery.name_of),
            ),
            broker,
        )


async def test_a_fallback_to_the_cpu_shows_everywhere(tmp_path: Path, caplog):
    """On a machine with a GPU there is nothing to fall back from."""
    caplog.set_level(logging.INFO)
    async with watched(tmp_path, device="auto") as (service, broker):
        fallback = service.recogniser.detector.fallback
        if fallback is None:
            pytest.skip("the GPU works here")
        (part,) = (part for part in service.readiness().parts if part.name == "models")
    assert part.ok
    assert part.reason == f"nano_det on the CPU: {fallback.why}; nano_embed on the CPU: {fallback.why}"
    assert f"model nano_det: device auto took the CPU: {fallback.why}" in caplog.messages
    labels = {"model": "nano_embed", "reason": fallback.code}
    assert service.metrics.registry.get_sample_value("whosthere_model_fallback", labels) == 1
    assert broker.model["embedder"]["fallback"] == fallback.code
    assert broker.model["embedder"]["device"] == "cpu"


async def test_the_cpu_asked_for_is_told_of_no_more(tmp_path: Path):
    async with watched(tmp_path, device="cpu") as (service, broker):
        assert service.readiness().parts[0].reason == ""
    assert broker.model["embedder"]["fallback"] is None
    assert not list(service.metrics.model_fallback.collect()[0].samples)


async def test_what_serves_is_told_and_written(tmp_path: Path):
    async with watched(tmp_path, device="cpu", ladder=("arcface_r100",)) as (service, broker):
        states = {state.name: state for state in service.readiness().models}
        recogniser = service.recogniser
        assert service.readiness().parts[0].ok, "a model that is missing makes nothing unready"
    document = broker.model
    assert json.loads(json.dumps(document)) == json.loads(service.settings.manifest_path.read_text())
    assert document["signature"] == recogniser.signature
    assert [used["name"] for used in document["models_used"]] == ["nano_det", "nano_embed"]
    assert {used["device"] for used in document["models_used"]} == {"cpu"}
    assert all(used["weights_digest"] == load_specs()[used["name"]].weights_digest for used in document["models_used"])
    assert (document["embedder"]["name"], document["embedder"]["reason"]) == ("nano_embed", "first")
    assert [(other["model"], other["code"]) for other in document["embedder"]["others"]][-1] == (
        "arcface_r100",
        "weights_missing",
    )
    assert (states["nano_embed"].ready, states["nano_embed"].serving, states["nano_embed"].device) == (
        True,
        True,
        "cpu",
    )
    assert (states["arcface_r100"].ready, states["arcface_r100"].code) == (False, "weights_missing")


async def test_an_embedder_of_no_use_shows_until_it_is_of_use_again(tmp_path: Path, caplog):
    fragile_model(tmp_path, "nan")
    async with watched(tmp_path, device="cpu", embedder="fragile", poll_s=0.01) as (service, _):

        def healthy() -> float | None:
            return service.metrics.registry.get_sample_value("whosthere_model_healthy", {"model": "fragile"})

        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(service.models.run())
            await until(lambda: healthy() == 1)
            assert service.readiness().parts[0].ok
            await service.recogniser.embed(*faces(*[0] * UNHEALTHY_AFTER), "a")
            await until(lambda: healthy() == 0)
            part = service.readiness().parts[0]
            assert (part.ok, part.reason) == (False, str(service.recogniser.fault))
            assert caplog.messages == [part.reason]
            caplog.set_level(logging.INFO)
            await service.recogniser.embed(*faces(120), "a")
            await until(lambda: healthy() == 1)
            assert service.readiness().parts[0].ok
            assert caplog.messages[1:] == ["model fragile: its embeddings are usable again"]
            running.cancel()


async def test_a_change_of_some_cameras_leaves_source_and_visits_of_the_others_alone(tmp_path: Path, free_port: int):
    film = str(write_film(tmp_path / "film.mp4", ([KNOWN, STRANGERS[0]], 2)))
    file = tmp_path / "whosthere.yaml"

    def write(**cameras: float) -> None:
        told = {name: {"url": film, "loop": True, "fps": fps} for name, fps in cameras.items()}
        file.write_text(
            json.dumps(
                {"cameras": told, "http": {"enabled": False}, "mqtt": {"port": free_port}, "paths": {"data": "d"}}
            )
        )

    def read() -> Layers:
        return read_layers(file, (), {})

    write(door=10, hall=10, gate=10)
    layers = read()
    async with (
        asyncio.timeout(90),
        running_service(layers.settings({}), configured=Configured(layers, read)) as service,
    ):
        door, hall, _ = service.cameras
        await until(lambda: all(len(camera.path.visits.sightings()) == 2 for camera in service.cameras))
        assert service.control is not None
        source, tracker, seen = door._source, door.path.tracker, door.path.visits.sightings()
        for cameras in ({"door": 10, "hall": 5, "new": 10}, {"new": 10, "door": 10}, {"door": 10, "gate": 2}):
            write(**cameras)
            service.control.reload()
            await until(lambda cameras=cameras: [camera.name for camera in service.cameras] == list(cameras))
            (same,) = (camera for camera in service.cameras if camera.name == "door")
            assert same is door
            assert hall not in service.cameras
            assert door._source is source
            assert door.path.tracker is tracker
            assert [event_id for event_id, *_ in door.path.visits.sightings()] == [event_id for event_id, *_ in seen]
            asked = door.asked
            await until(lambda asked=asked: door.asked > asked)
            parts = {part.name for part in service.readiness().parts}
            assert {name for name in parts if name.startswith("camera ")} == {f"camera {name}" for name in cameras}

    def count(kind: str) -> float:
        value = service.metrics.registry.get_sample_value
        return sum(value("whosthere_events_total", {"type": kind, "known": known}) or 0 for known in ("true", "false"))

    assert count("new") == count("end"), "every visit of every camera has ended, once"


@pytest.mark.parametrize(
    ("change", "told"), [({"enabled": False}, 0), ({"fps": 3}, 0), ({"user": "eve"}, 0), (None, None)]
)
async def test_nobody_publishes_to_a_camera_that_is_another_now(tmp_path: Path, free_port: int, change, told):
    """None: it is removed, and has no series any more."""
    file = tmp_path / "whosthere.yaml"
    door = {"url": "publish://", "password": "word"}

    def write(**cameras: dict[str, Any]) -> None:
        tree = {
            "cameras": cameras,
            "http": {"enabled": False},
            "mqtt": {"port": free_port},
            "paths": {"data": "d"},
            "ingest": {"rtsp": {"host": "127.0.0.1", "port": 0}},
        }
        file.write_text(json.dumps(tree))

    def read() -> Layers:
        return read_layers(file, (), {})

    write(door=door, hall=door)
    layers = read()
    async with (
        asyncio.timeout(60),
        running_service(layers.settings({}), configured=Configured(layers, read)) as service,
    ):

        def publishers(camera: str) -> float | None:
            return service.metrics.registry.get_sample_value("whosthere_publishers", {"camera": camera})

        assert service.rtsp is not None
        assert service.control is not None
        for name in ("door", "hall"):
            publisher = await Publisher.connect(service.rtsp.port, name, (name, "word"))
            await publisher.publish()
        await until(lambda: publishers("door") == publishers("hall") == 1)
        write(hall=door, **({} if change is None else {"door": door | change}))
        service.control.reload()
        await until(lambda: publishers("door") == told)
        assert publishers("hall") == 1
