"""How many people are named in the shapes in which cameras send a picture; a table in Markdown on stdout.

    python scripts/measure-streams.py --faces lfw_dev.zip --models FOLDER --detector scrfd_500m --embedder edgeface_xxs

Each of so many people is enrolled with one photo; another photo of them is pushed through a picture of 1024x576 at 25
frames a second, sent in each shape, and goes through detector, tracker, embedder and gallery. Named: the visit's
event has the right name. Blocks for minutes.
"""

import argparse
import asyncio
import contextlib
import itertools
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import cv2
import numpy as np

from gallery.enrol import Gate, enrol
from gallery.errors import GalleryError
from gallery.store import PersonStore
from recognition.photos import PhotoSet
from recognition.recogniser import Recogniser, open_recogniser
from streamer.app import camera_path
from streamer.events.outbox import Outbox
from streamer.ingest.source import open_source
from streamer.ingest.stream import StreamEnded
from streamer.model_layer.setup import recogniser_config
from streamer.pipeline.camera_path import close_visits, run_camera
from streamer.pipeline.live_gallery import LiveGallery
from streamer.settings import CameraSettings, Settings, load
from streamer.telemetry.metrics import Metrics

WIDE, HIGH, FPS, FRAMES = 1024, 576, 25, 30
# Shape: (stored size, sample aspect that the codec tells, configured aspect, px/s, which field first)
SHAPES: dict[str, tuple[tuple[int, int], str | None, str | None, int, str | None]] = {
    "square, 250 px/s": ((1024, 576), None, None, 250, None),
    "square, 600 px/s": ((1024, 576), None, None, 600, None),
    "704x576, told (16:11)": ((704, 576), "16/11", None, 250, None),
    "704x288, told (8:11)": ((704, 288), "8/11", None, 250, None),
    "352x576, told (32:11)": ((352, 576), "32/11", None, 250, None),
    "512x576, told (2:1)": ((512, 576), "2/1", None, 250, None),
    "960x1080, configured 16:9": ((960, 1080), None, "16:9", 250, None),
    "interlaced, 250 px/s, top first": ((1024, 576), None, None, 250, "tff"),
    "interlaced, 250 px/s, bottom first": ((1024, 576), None, None, 250, "bff"),
    "interlaced, 600 px/s, top first": ((1024, 576), None, None, 600, "tff"),
    "interlaced, 600 px/s, bottom first": ((1024, 576), None, None, 600, "bff"),
}


def moments(photo: np.ndarray, speed: int, rate: int) -> Iterator[np.ndarray]:
    """The photo on its way through the picture, so many times a second."""
    high = photo.shape[0]
    for number in itertools.count():
        picture = np.full((HIGH, WIDE, 3), 96, np.uint8)
        left = round(40 + speed * number / rate)
        part = photo[:, : max(0, WIDE - left)]
        picture[(HIGH - high) // 2 : (HIGH + high) // 2, left : left + part.shape[1]] = part
        yield picture


def pictures(photo: np.ndarray, speed: int, first: str | None) -> list[np.ndarray]:
    if first is None:
        return list(itertools.islice(moments(photo, speed, FPS), FRAMES))
    fields = list(itertools.islice(moments(photo, speed, 2 * FPS), 2 * FRAMES))
    woven = []
    for early, late in zip(fields[::2], fields[1::2], strict=True):
        picture = early.copy()
        late_rows = slice(1, None, 2) if first == "tff" else slice(0, None, 2)
        picture[late_rows] = late[late_rows]
        woven.append(picture)
    return woven


def write(
    path: Path, shots: Sequence[np.ndarray], size: tuple[int, int], aspect: str | None, first: str | None
) -> None:
    parameters = [f"{first}=1"] if first else []
    parameters += [f"sar={aspect}"] if aspect else []
    options = {"preset": "veryfast", "crf": "20"} | ({"x264-params": ":".join(parameters)} if parameters else {})
    with av.open(str(path), "w", format="mpegts") as container:
        stream = container.add_stream("libx264", rate=FPS, options=options)
        (stream.width, stream.height), stream.pix_fmt = size, "yuv420p"
        for shot in shots:
            stored = shot if shot.shape[1::-1] == size else cv2.resize(shot, size, interpolation=cv2.INTER_AREA)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(stored, format="bgr24")))
        container.mux(stream.encode(None))


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Told(Outbox):
    """Who was named, instead of a file."""

    def __init__(self) -> None:
        self.names: set[str | None] = set()

    def put(self, due: object) -> None:
        person = due.event.person  # type: ignore[attr-defined]
        self.names.add(person.id if person else None)

    def sighted(self, event_id: str, captured_at: float) -> None:
        """Nobody asks."""


async def who(settings: Settings, recogniser: Recogniser, live: LiveGallery, camera: CameraSettings) -> set[str | None]:
    settings = settings.model_copy(update={"cameras": {"door": camera}})
    told = Told()
    path = camera_path("door", settings, recogniser, live, told, Metrics())
    async with open_source("door", camera, camera.url) as source:
        with contextlib.suppress(StreamEnded):
            await run_camera(source.take, path)
    close_visits(path, "ended")
    return told.names


async def main(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        settings = load(
            overrides=[
                f"paths.data={work / 'data'}",
                f"paths.models=[{options.models}]",
                f"recognition.detector={options.detector}",
                f"recognition.embedder={options.embedder}",
            ]
        )
        settings.paths.data.mkdir()
        photos = PhotoSet(options.faces)
        people: dict[str, list[str]] = {}
        for file in photos.names:
            people.setdefault(photos.person_of(file), []).append(file)
        people = {name: files for name, files in people.items() if len(files) > 1}
        async with open_recogniser(recogniser_config(settings)) as recogniser:
            probes: dict[str, np.ndarray] = {}
            with PersonStore(settings.gallery_path) as store:
                for name, files in sorted(people.items()):
                    if len(probes) == options.people:
                        break
                    photo = work / "photo.jpg"
                    photo.write_bytes(photos.bytes_of(files[0]))
                    try:
                        report = await enrol(
                            name.replace("_", " "),
                            [photo],
                            recogniser,
                            store,
                            Gate(48, 0.25),
                            threshold=0.9,
                            pick="largest",
                        )
                    except GalleryError:
                        continue
                    probes[report.person.id] = photos.read(files[1]).bgr()
            say(f"{len(probes)} people, {options.detector} and {options.embedder}\n")
            say("| shape | named | others' names |\n|---|---|---|")
            async with LiveGallery.open(settings, recogniser, Metrics()) as live:
                for shape, (size, told, configured, speed, first) in SHAPES.items():
                    right = wrong = 0
                    for person, photo in probes.items():
                        clip = work / "clip.ts"
                        write(clip, pictures(photo, speed, first), size, told, first)
                        camera = CameraSettings(url=str(clip), fps=10, pace="fastest", aspect=configured)
                        names = await who(settings, recogniser, live, camera)
                        right += person in names
                        wrong += bool(names - {person, None})
                    say(f"| {shape} | {right / len(probes):.1%} | {wrong} |")


if __name__ == "__main__":
    wanted = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    wanted.add_argument(
        "--faces", type=Path, required=True, help="photos of people: Name/Name_0001.jpg, a folder or a zip"
    )
    wanted.add_argument("--models", type=Path, required=True, help="a folder of weights")
    wanted.add_argument("--detector", default="nano_det")
    wanted.add_argument("--embedder", default="nano_embed")
    wanted.add_argument("--people", type=int, default=60)
    sys.exit(asyncio.run(main(wanted.parse_args())))
