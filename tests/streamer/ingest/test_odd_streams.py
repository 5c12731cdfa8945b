"""Streams as recorders and proxies leave them: joined between keyframes, several tracks, timestamps that jump.

Each kind by several writers, held to the right frames in the right time.
"""

import asyncio
import itertools
import subprocess
from collections.abc import Callable, Iterator
from fractions import Fraction
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import av
import numpy as np
import pytest

from streamer.errors import CameraError, CameraNotFound, CameraUnreachable, StreamHasNoVideo, StreamInvalid
from streamer.ingest import picture_decoder
from streamer.ingest.probe import probe
from streamer.ingest.stream import StreamEnded
from streamer.settings import CameraSettings
from tests.http_servers import Quiet, http_servers
from tests.streamer.ingest.clips import Played, SimulatedTime, drain, index_of, play, write_clip
from tests.streamer.ingest.writers import by_ffmpeg, by_gstreamer

FPS, FRAMES, GOP = 25, 100, 50


def grey(index: int, size: tuple[int, int] = (160, 96)) -> np.ndarray:
    """The picture whose number index_of() tells."""
    wide, high = size
    return np.full((high, wide, 3), np.ceil(index * 2 * 255 / 219), np.uint8)


PICTURES = [grey(index) for index in range(FRAMES)]
GREY = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "5", "-bf", "0", "-g", str(GOP), "-sc_threshold", "0")


# Joined between keyframes.


def cut(stream: Path, frames: int) -> Path:
    """The transport stream without the bytes of its first frames: their keyframe is gone."""
    with av.open(str(stream)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    stream.write_bytes(stream.read_bytes()[places[frames] :])
    return stream


def gop_of_ten(path: Path, codec: str) -> Path:
    write_clip(path, FRAMES, fps=FPS, codec=codec, form="mpegts", noise=True)
    return path


CUT: dict[str, Callable[[Path], Path]] = {
    "ffmpeg, h.264": lambda path: by_ffmpeg(path, PICTURES, FPS, *GREY),
    "ffmpeg, h.265": lambda path: by_ffmpeg(
        path, PICTURES, FPS, "-c:v", "libx265", "-x265-params", f"log-level=none:keyint={GOP}:scenecut=0:bframes=0"
    ),
    "ffmpeg, mpeg-2": lambda path: by_ffmpeg(
        path, PICTURES, FPS, "-c:v", "mpeg2video", "-g", str(GOP), "-bf", "0", "-sc_threshold", "1000000000"
    ),
    "gstreamer": lambda path: by_gstreamer(
        path, PICTURES, FPS, f"x264enc key-int-max={GOP} bframes=0 quantizer=5 pass=quant ! h264parse ! mpegtsmux"
    ),
    "by hand": lambda path: gop_of_ten(path, "libx264"),
}


@pytest.mark.parametrize("how", CUT)
async def test_a_recording_that_was_cut_plays_from_its_next_keyframe(how, tmp_path):
    clip = cut(CUT[how](tmp_path / "clip.ts"), 10)
    with av.open(str(clip)) as container:
        keys = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
    assert not keys[0]
    played = await play(clip)
    assert str(played.end) == "ended"
    assert not played.counts, "nothing of it is a failure"
    assert len(played.frames) == len(keys) - keys.index(True) >= FRAMES / 3
    if how != "by hand":
        numbers = [index_of(frame) for frame in played.frames]
        np.testing.assert_allclose(numbers, np.arange(len(numbers)) + numbers[0], atol=1, err_msg="whole pictures")


async def test_a_recording_without_any_keyframe_is_no_video(tmp_path):
    stream = by_ffmpeg(tmp_path / "clip.ts", PICTURES, FPS, *GREY)
    data = stream.read_bytes()
    half = round(len(data) * 0.3 / 188) * 188
    stream.write_bytes(data[round(len(data) * 0.1 / 188) * 188 : half])
    with pytest.raises(StreamInvalid, match="no frame that can be decoded"):
        await play(stream)


@pytest.fixture
def endless(tmp_path) -> Iterator[Callable[[bytes], str]]:
    """Serves bytes over and over, as a camera that never ends; its URL."""

    def handler(body: bytes) -> type[BaseHTTPRequestHandler]:
        class Handler(Quiet, BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "video/mp2t")
                self.end_headers()
                try:
                    while True:
                        self.wfile.write(body)
                except ConnectionError:
                    pass

        return Handler

    with http_servers() as start:
        yield lambda body: start(handler(body)) + "/live.ts"


async def test_a_camera_that_never_sends_a_keyframe_is_told_of(tmp_path, endless, monkeypatch):
    monkeypatch.setattr(picture_decoder, "KEYFRAME_WITHIN_S", 0.5)
    stream = by_ffmpeg(tmp_path / "clip.ts", PICTURES, FPS, *GREY, "-x264-params", f"keyint={FRAMES}")
    data = stream.read_bytes()
    url = endless(data[round(len(data) * 0.3 / 188) * 188 :])
    with pytest.raises(StreamInvalid, match=r"sent no keyframe for 0\.5 s \(set a shorter keyframe interval"):
        await play(url, pace="realtime", read_timeout_s=5)


# Several tracks.


def two_tracks(path: Path, first: tuple[int, int], second: tuple[int, int], *options: str) -> Path:
    """Black of these sizes; `options` of ffmpeg's output."""
    sources = [f"color=c=gray:s={wide}x{high}:r={FPS}:d=1" for wide, high in (first, second)]
    inputs = [word for source in sources for word in ("-f", "lavfi", "-i", source)]
    command = ["ffmpeg", "-v", "error", "-y", *inputs, "-map", "0:v", "-map", "1:v", *options, str(path)]
    subprocess.run(command, check=True)
    return path


def with_sound_first(path: Path) -> Path:
    sound = ["-f", "lavfi", "-i", "sine=d=1", "-f", "lavfi", "-i", f"color=c=gray:s=96x54:r={FPS}:d=1"]
    video = ["-f", "lavfi", "-i", f"color=c=gray:s=640x360:r={FPS}:d=1"]
    maps = ["-map", "0:a", "-map", "1:v", "-map", "2:v"]
    subprocess.run(["ffmpeg", "-v", "error", "-y", *sound, *video, *maps, "-c:v", "mpeg4", str(path)], check=True)
    return path


def by_pyav(path: Path) -> Path:
    """A small track, a large one, and a cover; nobody is called the default one."""
    with av.open(str(path), "w") as container:
        streams = []
        for wide, high in ((320, 192), (640, 384)):
            stream = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast"})
            stream.width, stream.height, stream.pix_fmt = wide, high, "yuv420p"
            streams.append(stream)
        for index in range(FPS):
            for stream in streams:
                frame = av.VideoFrame.from_ndarray(grey(index, (stream.width, stream.height)), format="bgr24")
                frame.pts, frame.time_base = index, Fraction(1, FPS)
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    return path


TRACKS: dict[str, tuple[Callable[[Path], Path], tuple[int, int]]] = {
    "a thumbnail first, called the default": (lambda p: two_tracks(p / "a.mp4", (96, 54), (1024, 576)), (1024, 576)),
    "a thumbnail last": (lambda p: two_tracks(p / "a.mkv", (640, 360), (96, 54)), (640, 360)),
    "the smaller one is the default": (
        lambda p: two_tracks(
            p / "a.mkv", (1024, 576), (640, 360), "-disposition:v:0", "0", "-disposition:v:1", "default"
        ),
        (640, 360),
    ),
    "nobody is the default, ts": (
        lambda p: two_tracks(p / "a.ts", (320, 180), (640, 360), "-c:v", "libx264"),
        (640, 360),
    ),
    "sound first": (lambda p: with_sound_first(p / "a.mkv"), (640, 360)),
    "pyav": (lambda p: by_pyav(p / "a.mkv"), (640, 384)),
}


@pytest.mark.parametrize("how", TRACKS)
async def test_the_best_track_is_played(how, tmp_path):
    write, size = TRACKS[how]
    played = await play(write(tmp_path))
    assert str(played.end) == "ended"
    assert (played.frames[0].width, played.frames[0].height) == size
    assert len(played.frames) == FPS


@pytest.mark.parametrize("how", TRACKS)
async def test_the_track_that_is_named_is_played(how, tmp_path):
    write, best = TRACKS[how]
    clip = write(tmp_path)
    with av.open(str(clip)) as container:
        sizes = [(track.width, track.height) for track in container.streams.video]
    for number, size in enumerate(sizes):
        played = await play(clip, video_track=number)
        assert (played.frames[0].width, played.frames[0].height) == size
    with pytest.raises(StreamHasNoVideo, match=rf"no video track 2 \(it has {len(sizes)}, from 0 on\)"):
        await play(clip, video_track=2)
    report = (await probe(str(clip), CameraSettings(url=str(clip)))).report
    listed = [note for note in report.notes if "video tracks" in note]
    assert len(listed) == (len(sizes) > 1)
    assert all(f"{sizes.index(best)} is read" in note for note in listed)


# Timestamps.


def stamped(path: Path, stamp: Callable[[int], int]) -> Path:
    """A transport stream whose timestamps (90 kHz) are as they are told."""
    with av.open(str(path), "w", format="mpegts") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "bf": "0", "crf": "5"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        stream.codec_context.time_base = Fraction(1, FPS)
        packets = [
            packet
            for index in [*range(FRAMES), None]
            for packet in stream.encode(
                None if index is None else av.VideoFrame.from_ndarray(PICTURES[index], format="bgr24")
            )
        ]
        for number, packet in enumerate(packets):
            packet.time_base = Fraction(1, 90_000)
            packet.pts = packet.dts = stamp(number)
            container.mux(packet)
    return path


STEP = 90_000 // FPS
STAMPS: dict[str, Callable[[Path], Path]] = {
    "they jump by a thousand seconds": lambda path: stamped(path, lambda n: n * STEP + (n >= 50) * 90_000_000),
    "they jump twice": lambda path: stamped(path, lambda n: n * STEP + (n >= 30) * 45_000_000 + (n >= 60) * 9_000_000),
    "they wrap": lambda path: stamped(path, lambda n: 2**33 - 50 * STEP + n * STEP),
    "ffmpeg, an offset near the wrap": lambda path: by_ffmpeg(
        path, PICTURES, FPS, *GREY, "-output_ts_offset", "95441.7"
    ),
    "ffmpeg, a jump in a matroska file": lambda path: by_ffmpeg(
        path.with_suffix(".mkv"),
        PICTURES,
        FPS,
        "-vf",
        "setpts='PTS+if(gte(N,40),777/TB,0)'",
        "-fps_mode",
        "passthrough",
        *GREY,
    ),
}


@pytest.mark.parametrize("how", STAMPS)
async def test_timestamps_that_jump_hold_nothing_up(how, tmp_path):
    """On a clock that moves by what is waited for alone: four seconds of film take four seconds."""
    clip, simulated, played = STAMPS[how](tmp_path / "clip.ts"), SimulatedTime(), Played()
    began_s = simulated.now_s
    async with asyncio.timeout(30), simulated.source(clip, played.hooks(), fps=FPS) as source:
        with pytest.raises(StreamEnded):
            await drain(source, played.frames)
        assert source.next_number == FRAMES
    assert simulated.now_s - began_s == pytest.approx((FRAMES - 1) / FPS, abs=0.3)
    assert max(simulated.waited_s) < 0.2
    assert played.counts["stream_invalid"] == 0
    numbers = [index_of(frame) for frame in (await play(clip)).frames]
    np.testing.assert_allclose(numbers, np.arange(FRAMES), atol=1)


async def test_the_last_pictures_of_a_clip_with_b_pictures_keep_their_times(tmp_path):
    """They come out of the decoder when the file is over; here they are a second apart."""
    slow = ("-vf", "setpts='PTS+if(gte(N,20),(N-19)/TB,0)'", "-fps_mode", "passthrough")
    clip = by_ffmpeg(tmp_path / "clip.mp4", PICTURES[:24], FPS, *slow, "-c:v", "libx264", "-bf", "2", "-g", "100")
    frames = (await play(clip)).frames
    assert len(frames) == 24
    steps = [later.captured_s - earlier.captured_s for earlier, later in itertools.pairwise(frames)]
    assert steps[-4:] == pytest.approx([1.04] * 4, abs=0.01)


# Addresses.


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("rtsp://nosuchhost.invalid/h264", "there is no host nosuchhost.invalid; check its name"),
        ("rtsp://ada:hunter2@nosuchhost.invalid:8554/h264", "there is no host nosuchhost.invalid; check its name"),
        ("http://nosuchhost.invalid/live.m3u8", "there is no host nosuchhost.invalid; check its name"),
        ("rtsp://192.168..9/h264", "there is no host 192.168..9; check its name"),
        ("rtsp://ada:hunter2@door..local/h264", "there is no host door..local; check its name"),
        (f"http://{'x' * 64}.local/video", f"there is no host {'x' * 64}.local; check its name"),
        ("http://\u200b/video", "there is no host ?; check its name"),
        ("rtmp://。/live/door", "there is no host 。; check its name"),
        ("rtsp://ada:hun/ter2@192.0.2.9/h264", "its login has a / or # in it; percent-encode it (%2F, %23)"),
        ("rtsp://ada:hun#ter2@192.0.2.9/h264", "its login has a / or # in it; percent-encode it (%2F, %23)"),
        ("http://ada:hun#ter2@192.0.2.9/video", "its login has a / or # in it; percent-encode it (%2F, %23)"),
    ],
)
async def test_a_host_that_nobody_knows_is_called_that(url, said):
    with pytest.raises(CameraError) as refused:
        await play(url, pace="realtime", open_timeout_s=5)
    # A name may be known again in a minute; a login is not right by itself.
    assert type(refused.value) is (CameraUnreachable if "no host" in said else CameraNotFound)
    assert said in str(refused.value)
    for secret in ("hunter2", "hun", "ter2", "ada"):
        assert secret not in str(refused.value)
