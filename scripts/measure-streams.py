"""How many people are named in the shapes and bursts in which cameras send pictures; tables in Markdown on stdout.

    python scripts/measure-streams.py --faces lfw_dev.zip --models FOLDER --detector scrfd_500m --embedder edgeface_xxs

Each of so many people is enrolled with one photo; another photo of them is pushed through a picture of 1024x576 at 25
frames a second, sent in each shape, and goes through detector, tracker, embedder and gallery. Named: the visit's
event has the right name. With --live one film in which all of them come, one after another, is played as a file and by
real servers at once: HLS, RTMP and SRT by ffmpeg, a transport stream over HTTP that is held back, RTSP by GStreamer
(Debian's gir1.2-gst-rtsp-server-1.0). Blocks for minutes.
"""

import argparse
import asyncio
import contextlib
import http.server
import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import av
import cv2
import numpy as np

from gallery.enrolment.enrol import Gate, Terms, enrol
from gallery.errors import GalleryError
from recognition.photos import PhotoSet
from recognition.recogniser import Recogniser, open_recogniser
from streamer.app import camera_path
from streamer.errors import StreamLost, StreamStalled
from streamer.events.outbox import Outbox
from streamer.ingest.source import open_source
from streamer.ingest.stream import StreamEnded
from streamer.model_layer.setup import recogniser_config
from streamer.pipeline.camera_path import close_visits, run_camera
from streamer.pipeline.live_gallery import LiveGallery
from streamer.process import store_of
from streamer.settings import CameraSettings, Settings
from streamer.settings_reading import load
from streamer.telemetry.metrics import Metrics
from tests.http_servers import Quiet, http_servers
from tests.live.ways_in import WAYS, hls

WIDE, HIGH, FPS, FRAMES = 1024, 576, 25, 30
PAUSE_FRAMES = 75  # longer than a visit takes to end
LEAD_IN_S = 15  # until every server is there and every camera open
BURST_S = 5
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
    """Each visit's last identity, in the order in which visits began, instead of a file."""

    def __init__(self) -> None:
        self.visits: dict[str, str | None] = {}
        self.late_ms: list[float] = []

    def put(self, due: object) -> None:
        event = due.event  # type: ignore[attr-defined]
        self.visits[event.event_id] = event.person.id if event.person else None
        if event.stream_late_ms is not None:
            self.late_ms.append(event.stream_late_ms)

    def sighted(self, event_id: str, captured_at: float) -> None:
        """Nobody asks."""


async def told_by(
    settings: Settings, recogniser: Recogniser, live: LiveGallery, camera: CameraSettings, seconds: float | None = None
) -> Told:
    """What a camera's events say; a live stream is left after so long."""
    settings = settings.model_copy(update={"cameras": {"door": camera}})
    told = Told()
    path = camera_path("door", settings, recogniser, live, told, Metrics())
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds), open_source("door", camera, camera.url) as source:
            with contextlib.suppress(StreamEnded, StreamLost, StreamStalled):  # the film is over
                await run_camera(source.take, path)
    close_visits(path, "ended")
    return told


def film(path: Path, probes: Iterable[np.ndarray]) -> float:
    """Everybody passes once, with a pause after each, in H.264 with a keyframe each second; its length in s."""
    empty = [np.full((HIGH, WIDE, 3), 96, np.uint8)] * PAUSE_FRAMES
    options = {"preset": "veryfast", "crf": "20", "g": str(FPS), "bf": "0"}
    count = 0
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options=options)
        (stream.width, stream.height), stream.pix_fmt = (WIDE, HIGH), "yuv420p"
        for _ in range(LEAD_IN_S * FPS):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(empty[0], format="bgr24")))
            count += 1
        for photo in probes:
            for picture in (*pictures(photo, 250, None), *empty):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
                count += 1
        container.mux(stream.encode(None))
    return count / FPS


@contextlib.contextmanager
def held_back(clip: Path, folder: Path, seconds: float) -> Iterator[str]:
    """A transport stream over HTTP, BURST_S of it at once."""
    stream = folder / "held_back.ts"
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(clip), "-c", "copy", "-f", "mpegts", str(stream)], check=True)
    data = stream.read_bytes()
    piece = round(len(data) * BURST_S / seconds / 188) * 188

    class InBursts(Quiet, http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.end_headers()
            began_s = time.monotonic()
            with contextlib.suppress(ConnectionError):
                for number, start in enumerate(range(0, len(data), piece)):
                    time.sleep(max(0.0, began_s + BURST_S * number - time.monotonic()))
                    self.wfile.write(data[start : start + piece])

    with http_servers() as start:
        yield f"{start(InBursts)}/live.ts"


async def live_table(
    settings: Settings, recogniser: Recogniser, live: LiveGallery, probes: dict[str, np.ndarray], work: Path
) -> None:
    clip = work / "film.mp4"
    seconds = film(clip, probes.values())
    file = await told_by(settings, recogniser, live, CameraSettings(url=str(clip), fps=10, pace="fastest"))
    ways = {f"HLS, pieces of {piece} s": hls(clip, work / f"hls{piece}", piece) for piece in (2, 4, 6)} | {
        f"TS over HTTP, {BURST_S} s at once": held_back(clip, work, seconds),
        **{way: WAYS[way](clip=clip, folder=work / way) for way in ("rtsp", "rtmp", "srt, handed on")},
    }
    say("\n| stream | visits | named right | others' names | p50 and most of `stream_late_ms` |\n|---|---|---|---|---|")
    say(row("file", file, list(probes)))
    with contextlib.ExitStack() as stack:
        cameras = [CameraSettings(url=stack.enter_context(way), fps=10, read_timeout_s=20) for way in ways.values()]
        found = await asyncio.gather(
            *(told_by(settings, recogniser, live, camera, seconds + LEAD_IN_S - 3) for camera in cameras),
            return_exceptions=True,
        )
    for name, told in zip(ways, found, strict=True):
        say(row(name, told, list(probes)) if isinstance(told, Told) else f"| {name} | {told} | | | |")


def row(name: str, told: Told, people: list[str]) -> str:
    visits = list(told.visits.values())
    named = len(set(visits) & set(people))
    right = sum(person is not None and person in people for person in visits)
    late = f"{np.median(told.late_ms):.0f}, {max(told.late_ms):.0f}" if told.late_ms else "-"
    return (
        f"| {name} | {len(visits)} | {named} of {len(people)} | {len(visits) - right - visits.count(None)} | {late} |"
    )


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
            with store_of(settings) as store:
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
                            Terms(Gate(48, 0.25), 0.9, pick="largest"),
                        )
                    except GalleryError:
                        continue
                    probes[report.person.id] = photos.read(files[1]).bgr()
            say(f"{len(probes)} people, {options.detector} and {options.embedder}\n")
            async with LiveGallery.open(settings, recogniser, Metrics()) as live:
                if options.live:
                    await live_table(settings, recogniser, live, probes, work)
                    return
                say("| shape | named | others' names |\n|---|---|---|")
                for shape, (size, told, configured, speed, first) in SHAPES.items():
                    if options.only and not any(word in shape for word in options.only):
                        continue
                    right = wrong = 0
                    for person, photo in probes.items():
                        clip = work / "clip.ts"
                        write(clip, pictures(photo, speed, first), size, told, first)
                        camera = CameraSettings(url=str(clip), fps=10, pace="fastest", aspect=configured)
                        names = set((await told_by(settings, recogniser, live, camera)).visits.values())
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
    wanted.add_argument("--live", action="store_true", help="bursts instead of shapes")
    wanted.add_argument("--only", action="append", help="shapes with this in their name; repeatable")
    wanted.add_argument("--people", type=int, default=60)
    sys.exit(asyncio.run(main(wanted.parse_args())))
