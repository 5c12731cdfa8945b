"""A day of a service with 8 cameras whose GPU another program takes, and gives back: nothing is lost or mixed up.

The networks, the tracker, the gallery and the switching are real; the GPU's memory is scripted.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest
import yaml

from gallery.enrolment.enrol import Terms, enrol
from gallery.enrolment.quality_gate import Gate
from recognition.arrays import F32
from recognition.checks.portraits import read_portraits
from recognition.checks.spaces import make_space
from recognition.image import ArrayImage, Image
from recognition.models.manager import ModelManager
from recognition.recogniser import Embedded, Recogniser, RecogniserConfig, open_recogniser
from recognition.runtimes.onnx_runner import OnnxRunner
from recognition.selection.measurements import BatchFigures, LocalMeasurements
from recognition.specs.files import load_specs
from recognition.specs.spec import EmbedderSpec
from streamer.events.event import Due
from streamer.ingest.frame import Frame
from streamer.ingest.stream import StreamEnded
from streamer.model_layer.layer import ModelLayer, open_models
from streamer.pipeline.camera import camera_path
from streamer.pipeline.camera_path import close_visits, run_camera
from streamer.pipeline.live_gallery import LiveGallery
from streamer.process import make_data_folder
from streamer.settings import CameraSettings, PathsSettings, RecognitionSettings, Settings
from streamer.telemetry.metrics import Metrics
from tests.galleries import open_store
from tests.recognition.scripted_memory import ScriptedMemory
from tests.streamer.scripted_gpu import ScriptedGpu, turned

R100, MBF = "arcface_r100", "arcface_w600k_mbf"
CAMERAS = [f"cam{number}" for number in range(8)]
# MiB and ms by bucket, as `models bench` would have measured them on such a card and such a processor.
FIGURES = {
    (R100, "cuda:0"): {1: (900, 6), 2: (900, 7), 4: (900, 9), 8: (900, 12)},
    (MBF, "cuda:0"): {1: (300, 2), 2: (300, 2), 4: (300, 3), 8: (300, 4)},
    (R100, "cpu"): {1: (500, 400), 2: (500, 800), 4: (500, 1600), 8: (500, 3000)},
    (MBF, "cpu"): {1: (60, 5), 2: (60, 10), 4: (60, 20), 8: (60, 40)},
}
HOLDS = {R100: 900.0, MBF: 300.0}
HARDWARE = {"cpu": "a processor", "cuda:0": "a card"}
FRAMES_OF_A_VISIT = 6


@dataclass
class Camera:
    """Somebody comes, stays for some frames and leaves, again and again, until the story is over; in its own time.

    At pace realtime: a frame or face that can't be served is dropped and counted, and here none may be.
    """

    scenes: list[ArrayImage]
    over: asyncio.Event
    taken: int = 0
    time_s: float = 1000.0

    async def take(self) -> Frame:
        if self.over.is_set():
            raise StreamEnded("the story is over")
        visit, step = divmod(self.taken, FRAMES_OF_A_VISIT)
        self.time_s += 0.1 if step else 10.0
        frame = Frame(
            self.taken, cast(Any, self.scenes[visit % len(self.scenes)]), 1.7e9 + self.time_s, self.time_s, 0.0
        )
        self.taken += 1
        return frame


@dataclass
class Told(list[Due]):
    """The outbox: keeps what is due."""

    def put(self, due: Due) -> None:
        self.append(due)


@dataclass
class Asked:
    """What was asked of the embedder, whoever that was, and what came back."""

    faces: int = 0
    moved: int = 0  # calls that began at one place, and ended when another served
    by: dict[tuple[bytes, str], F32] = field(default_factory=dict)

    def listen(self, recogniser: Recogniser) -> None:
        real = recogniser.embed

        async def embed(image: Image, landmarks: F32, lane: str) -> Embedded:
            before = recogniser.embedder.place
            embedded = await real(image, landmarks, lane)
            assert len(embedded.embeddings) == len(landmarks)
            self.faces += len(landmarks)
            self.moved += before != recogniser.embedder.place
            for place, embedding in zip(landmarks, embedded.embeddings, strict=True):
                first = self.by.setdefault((place.tobytes(), embedded.model), embedding)
                assert first @ embedding > 0.99, "the same face by the same model, whichever device it had"
            return embedded

        recogniser.embed = embed  # type: ignore[method-assign]


@dataclass
class Story:
    """What runs, for the test to script and to look at."""

    memory: ScriptedMemory
    models: ModelLayer
    metrics: Metrics
    outbox: Told
    person: str
    gpu: ScriptedGpu
    asked: Asked = field(default_factory=Asked)
    places: list[str] = field(default_factory=list)
    documents: list[dict[str, Any]] = field(default_factory=list)

    def take_all(self) -> None:
        """Another program takes what is free on the card."""
        self.memory.others["cuda:0"] = self.memory.total_mib["cuda:0"] - self.memory.ours["cuda:0"]

    async def events_by(self, embedder: str, device: str, count: int = 16) -> None:
        """Wait until this embedder serves on this device, and so many more events were decided by its faces."""

        def serves() -> bool:
            place = self.models.recogniser.embedder.place
            return (place.model, place.device) == (embedder, device)

        await until(serves)
        start = len(self.outbox)
        await until(lambda: sum(d.event.model.embedder == embedder for d in self.outbox[start:]) >= count)

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"whosthere_{name}", labels) or 0.0


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


def scenes() -> list[ArrayImage]:
    """Eileen Collins, a stranger, and the two of them, each in a room of its own grey."""
    found = []
    portraits = read_portraits()
    for number, shown in enumerate(([0], [1], [0, 2])):
        room = np.full((360, 640, 3), 60 + 40 * number, np.uint8)
        for place, portrait in enumerate(shown):
            pixels = portraits[portrait].image().bgr()
            scale = 300 / pixels.shape[0]
            small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[:, :280]
            room[30 : 30 + small.shape[0], 20 + 320 * place : 20 + 320 * place + small.shape[1]] = small
        found.append(ArrayImage(room))
    return found


def write_specs(folder: Path) -> dict[str, Any]:
    """Two embedders whose spaces differ, and our own detector, which stays on the CPU."""
    specs: dict[str, Any] = {"nano_det": load_specs()["nano_det"].model_copy(update={"device_policy": "cpu"})}
    (folder / "spaces").mkdir(parents=True)
    for seed, (name, tmr) in enumerate(((R100, 0.998), (MBF, 0.992))):
        spec = turned(name, folder, seed)
        table = [row.model_copy(update={"tmr": tmr}) for row in spec.thresholds.table]
        spec = spec.model_copy(update={"thresholds": spec.thresholds.model_copy(update={"table": tuple(table)})})
        space = make_space(spec, OnnxRunner(spec, (folder / spec.file).read_bytes(), "cpu"))
        (folder / "spaces" / f"{spec.space}.yaml").write_text(yaml.safe_dump(space.model_dump(mode="json")))
        specs[name] = spec.model_copy(
            update={"batch_buckets": spec.batch_buckets.model_copy(update={"cuda": (1, 2, 4, 8)})}
        )
    return specs


def write_figures(path: Path, specs: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recognition.selection.measurements.hardware_of", HARDWARE.__getitem__)
    local = LocalMeasurements(path)
    for (name, device), rows in FIGURES.items():
        buckets = {size: BatchFigures(mib, ms) for size, (mib, ms) in rows.items()}
        local.keep(specs[name], device, buckets, measured_at=0, command="a test")


async def enrol_eileen(settings: Settings, manager: ModelManager) -> str:
    portrait = read_portraits()[0]
    config = RecogniserConfig("nano_det", R100, settings.paths.models, device="cpu", in_every_space=(MBF,))
    async with open_recogniser(config, manager) as recogniser:
        with open_store(settings.gallery_path) as store:
            gate = Gate(settings.gallery.enrol.min_face_px, settings.gallery.enrol.min_quality)
            report = await enrol("Eileen Collins", [portrait.file], recogniser, store, Terms(gate, 0.5))
            assert report.person.templates == {f"{R100}.1": 1, f"{MBF}.1": 1}
            return report.person.id


@pytest.fixture
def story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    @asynccontextmanager
    async def begin() -> AsyncIterator[Story]:
        settings = Settings(
            paths=PathsSettings(models=(tmp_path / "weights",), data=tmp_path / "var"),
            recognition=RecognitionSettings(
                detector="nano_det",
                embedder=R100,
                ladder=(MBF,),
                minimum_stay_s=0.2,
                poll_s=0.02,
                max_batch=8,
                queue_limit=1000,
            ),
            cameras={name: CameraSettings(url="scripted.mp4", pace="realtime") for name in CAMERAS},
        )
        make_data_folder(settings.paths.data)
        specs = write_specs(tmp_path / "weights")
        write_figures(settings.figures_path, specs, monkeypatch)
        memory = ScriptedMemory(cuda_0=2000, cpu=8000)
        gpu = ScriptedGpu(memory, HOLDS)
        spaces = tmp_path / "weights" / "spaces"
        manager = ModelManager(settings.paths.models, specs=specs, spaces=spaces, providers=[gpu], reader=memory)
        person = await enrol_eileen(settings, manager)
        metrics, outbox, over = Metrics(), Told(), asyncio.Event()
        async with (
            open_models(settings, metrics, manager) as models,
            LiveGallery.open(settings, models.recogniser, metrics) as live_gallery,
            asyncio.TaskGroup() as tasks,
        ):
            one = Story(memory, models, metrics, outbox, person, gpu)
            one.asked.listen(models.recogniser)

            def told(document: dict[str, Any]) -> None:
                one.documents.append(document)
                one.places.append(str(models.recogniser.embedder.place))

            await models.attach(live_gallery, told)
            watching = [tasks.create_task(models.run()), tasks.create_task(models.keep_covered())]

            async def play(name: str) -> None:
                path = camera_path(name, settings, models.recogniser, live_gallery, cast(Any, outbox), metrics)
                camera = Camera(scenes(), over)
                with pytest.raises(StreamEnded):
                    await run_camera(camera.take, path)
                close_visits(path, "ended")
                assert one.value("frames_total", camera=name, outcome="processed") == camera.taken

            cameras = [tasks.create_task(play(name)) for name in CAMERAS]
            try:
                yield one
            finally:
                over.set()
                await asyncio.gather(*cameras)
                for task in watching:
                    task.cancel()

    return begin


async def test_plenty_then_taken_then_out_of_memory_then_free_again(story, caplog):
    caplog.set_level(logging.INFO)
    async with story() as one:
        await one.events_by(R100, "cuda:0")
        one.take_all()
        await one.events_by(MBF, "cuda:0")
        one.take_all()
        await one.events_by(MBF, "cpu")
        one.memory.others["cuda:0"] = 0
        await one.events_by(R100, "cuda:0")
        signatures = {
            name: one.models.recogniser.signature_with(one.models.manager.spec_of(name, EmbedderSpec))
            for name in (R100, MBF)
        }
        thresholds = {one.models.manager.spec_of(n, EmbedderSpec).identification_threshold for n in (R100, MBF)}

    walk = [places for places, before in zip(one.places, [None, *one.places], strict=False) if places != before]
    keys = [place.rpartition(" in ")[0] for place in walk]
    steps = [key for key, before in zip(keys, [None, *keys], strict=False) if key != before]
    assert steps[:3] == [f"{R100} on cuda:0", f"{MBF} on cuda:0", f"{MBF} on cpu"]
    assert steps[-1] == f"{R100} on cuda:0"
    assert one.memory.ours["cuda:0"] == 0, "everything was given back"

    assert sum(one.value("embeddings_skipped_total", camera=name) for name in CAMERAS) == 0
    assert all(
        one.value("frames_total", camera=name, outcome=o) == 0 for name in CAMERAS for o in ("failed", "skipped")
    )

    assert one.asked.moved >= 2, "faces were under way when memory ran out"
    assert sum(one.value("embeddings_total", model=name) for name in (R100, MBF)) == one.asked.faces
    both = [(r100, one.asked.by.get((face, MBF))) for (face, model), r100 in one.asked.by.items() if model == R100]
    cosines = [abs(r100 @ mbf) for r100, mbf in both if mbf is not None]
    assert cosines, "some were seen by both"
    assert max(cosines) < 0.5, "and each answered in a space of its own"

    assert {due.event.model.embedder for due in one.outbox} == {R100, MBF}
    for due in one.outbox:
        assert due.event.model.signature == signatures[due.event.model.embedder]
        assert due.event.threshold in {round(t, 4) for t in thresholds}
    firsts = [due.event for due in one.outbox if due.event.type == "new"]
    by_visit = Counter(event.person.id if event.person else "unknown" for event in firsts)
    assert set(by_visit) == {one.person, "unknown"}
    visits = {due.event.event_id for due in one.outbox}
    ends = [due.event.event_id for due in one.outbox if due.event.type == "end"]
    assert sorted(ends) == sorted(visits), "each visit that was told of has its end, once"
    assert not [due for due in one.outbox if due.event.type == "update" and due.event.previous_person is not None]

    switches = one.metrics.model_switches.collect()[0].samples
    told = {s.labels["reason"]: s.value for s in switches if s.name.endswith("_total")}
    assert told["out_of_memory"] >= 2
    assert told["better"] >= 1
    lines = [message for message in caplog.messages if message.startswith("model switch (")]
    assert len(lines) == sum(told.values())
    assert one.value("model_troubles_total", model=R100, device="cuda:0", code="insufficient_gpu_memory") >= 1
    assert one.value("model_active", model=R100, device="cuda:0") == 1
    assert one.value("model_active", model=MBF, device="cpu") == 0
    assert one.documents[-1]["embedder"]["name"] == R100
    assert all(document["embedder"]["why"] for document in one.documents)
