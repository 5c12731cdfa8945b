"""Ours, end to end through the pipeline at `pace: fastest`, every frame: how fast, and whom it saw where.

A clip and templates go in, a run comes out. The frames walk the same run_camera() as in the service, with a
gallery and an outbox on disk; only who looks on is added.
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gallery.people import NewPhoto, NewTemplate
from recognition.arrays import F32
from recognition.image import Image
from recognition.recogniser import Embedded, Found, Recogniser
from streamer.bench.agreement import SeenFace
from streamer.events.outbox import Outbox
from streamer.ingest.source import open_source
from streamer.ingest.stream import StreamEnded
from streamer.pipeline.camera import camera_path
from streamer.pipeline.camera_path import CameraPath, close_visits, run_camera
from streamer.pipeline.live_gallery import LiveGallery
from streamer.pipeline.tracking import Sighting, Track, Tracker
from streamer.process import key_source, store_of
from streamer.settings import CameraSettings, Settings
from streamer.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True, eq=False)
class OurRun:
    """frames and faces processed, seconds, CPU seconds; the embedder runs' sizes; every face with its track."""

    frames: int
    faces: int
    seconds: float
    cpu_seconds: float
    embedded: list[int]
    sightings: list[tuple[int, Sighting]]


class WatchedTracker(Tracker):
    """A tracker that remembers which track it saw where."""

    def __init__(self, tracker: Tracker) -> None:
        super().__init__(tracker.camera, tracker.rules)
        self.seen: list[tuple[int, Sighting]] = []
        self.frames = 0

    def update(
        self, found: Found, frame_size: tuple[int, int], at: float, at_s: float
    ) -> tuple[list[Sighting], list[Track]]:
        sightings, gone = super().update(found, frame_size, at, at_s)
        self.seen.extend((self.frames, sighting) for sighting in sightings)
        self.frames += 1
        return sightings, gone


class WatchedRecogniser(Recogniser):
    """A recogniser that remembers how many faces each call embedded."""

    def __init__(self, recogniser: Recogniser) -> None:
        vars(self).update(vars(recogniser))  # the same models, served by the same threads
        self.sizes: list[int] = []

    async def embed(self, image: Image, landmarks: F32, lane: str) -> Embedded:
        self.sizes.append(len(landmarks))
        return await super().embed(image, landmarks, lane)


async def run_ours(
    settings: Settings, recogniser: Recogniser, clip: Path, templates: list[F32], folder: Path
) -> tuple[OurRun, list[SeenFace]]:
    """Process every frame of the clip; `templates` are the people to enrol, (k,d) each, in `folder`'s gallery."""
    metrics = Metrics()
    watched = WatchedRecogniser(recogniser)
    camera = CameraSettings(url=str(clip), fps=120.0, pace="fastest")
    settings = settings.apart_in(folder, cameras={"bench": camera})
    people = _enrol(settings, templates, recogniser)
    async with LiveGallery.open(settings, watched, metrics) as live_gallery, _outbox(settings, metrics) as outbox:
        path = camera_path("bench", settings, watched, live_gallery, outbox, metrics)
        tracker = WatchedTracker(path.tracker)
        path = replace(path, tracker=tracker)
        started_s, started_cpu_s = time.perf_counter(), time.process_time()
        await _play(camera, path)
        seconds, cpu_seconds = time.perf_counter() - started_s, time.process_time() - started_cpu_s
        close_visits(path, "ended")
        run = OurRun(tracker.frames, len(tracker.seen), seconds, cpu_seconds, watched.sizes, tracker.seen)
        return run, await _who(tracker.seen, live_gallery, people)


async def _play(camera: CameraSettings, path: CameraPath) -> None:
    async with open_source("bench", camera, camera.url) as source:
        try:
            await run_camera(source.take, path)
        except StreamEnded:
            return


async def _who(seen: list[tuple[int, Sighting]], live_gallery: LiveGallery, people: list[str]) -> list[SeenFace]:
    """Each sighting with the number of the person whom its track, all votes counted, is nearest to."""
    tracks = {id(s.track.current()): s.track.current() for _, s in seen}
    verdicts = await live_gallery.identify([track.kept for track in tracks.values()])
    number = {person_id: place for place, person_id in enumerate(people)}
    nearest = {key: number.get(verdict.match.best_person or "") for key, verdict in zip(tracks, verdicts, strict=True)}
    return [SeenFace(frame, s.box, nearest[id(s.track.current())]) for frame, s in seen]


def _enrol(settings: Settings, templates: list[F32], recogniser: Recogniser) -> list[str]:
    """Enrol people from embeddings (k,d) alone, without photos; their ids in the same order."""
    chip, landmarks = np.zeros((256, 256, 3), np.uint8), np.zeros((5, 2), np.float32)
    space, signature = recogniser.space, recogniser.signature
    settings.paths.data.mkdir(parents=True)
    key_source(settings).for_new_store(settings.paths.data)  # made here it is not told of: it goes with the folder
    with store_of(settings) as store:
        return [
            store.add_person(
                f"Person {number}",
                [
                    NewPhoto(chip, landmarks, f"{number}-{place}", (NewTemplate(space, signature, embedding),), 1.0)
                    for place, embedding in enumerate(embeddings)
                ],
            ).id
            for number, embeddings in enumerate(templates)
        ]


def _outbox(settings: Settings, metrics: Metrics) -> Outbox:
    return Outbox(settings.outbox_path, limit=100_000, max_age_s=3600.0, metrics=metrics)
