"""Pixels that are not square, fields, and cameras that hang sideways: the picture is what a person sees.

The same scene by three writers, held to the one with square pixels: the face where it is, and an embedding like it.
"""

from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from recognition import detect
from recognition.image import ArrayImage, Image
from recognition.models.manager import ModelManager
from streamer.ingest.frame import Frame
from streamer.ingest.probe import probe
from streamer.settings import CameraSettings
from tests.faces import ENCODING, HEIGHT, KNOWN, WIDTH, picture_of
from tests.streamer.ingest.clips import play
from tests.streamer.ingest.writers import by_ffmpeg, by_gstreamer, with_pixel_aspect, woven

SCENE = picture_of([KNOWN])
FPS = 10
LEAST_COSINE = 0.93  # of an embedding to the square picture's; .98 as a rule. Squeezed by a third it is .8
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "14")
GST_X264 = "x264enc quantizer=14 speed-preset=ultrafast pass=quant"

Look = Callable[[Image], tuple[np.ndarray, np.ndarray]]


@pytest.fixture(scope="module")
def look() -> Look:
    """An image -> the box of its one face, and its embedding."""
    manager = ModelManager([], device="cpu")
    detector, embedder = manager.open_detector("nano_det"), manager.open_embedder("nano_embed")

    def seen(image: Image) -> tuple[np.ndarray, np.ndarray]:
        prepared = detect.prepare(detector.spec, image)
        outputs = detector.run(prepared.tensor[None])
        found = detect.parse(detector.spec, outputs, prepared, detector.spec.thresholds.score)
        assert len(found) == 1
        return found.boxes[0], embedder.embed_faces(image, found.landmarks)[0]

    return seen


def stored(wide: int, high: int) -> list[np.ndarray]:
    """The scene squeezed to so many pixels, for a second."""
    return [cv2.resize(SCENE, (wide, high), interpolation=cv2.INTER_AREA)] * FPS


def plain(path: Path, pictures: list[np.ndarray], *, first: str = "tff") -> Path:
    """Without a word of their shape; of fields, which comes first. `moov` comes last."""
    options = {**ENCODING, "crf": "14"} | ({"x264-params": f"{first}=1"} if first else {})
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options=options)
        (stream.height, stream.width), stream.pix_fmt = pictures[0].shape[:2], "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))
    return path


def assert_seen_as_square(frame: Frame, look: Look, *, moved_px: float = 0.0) -> None:
    """The frame's size, and all three views of its pixels, are those of the scene. `moved_px`: the face's way since."""
    box, embedding = look(ArrayImage(SCENE))
    assert (frame.width, frame.height) == (frame.image.width, frame.image.height)
    scale = frame.width / WIDTH
    assert frame.height == pytest.approx(HEIGHT * scale, abs=2), "square pixels"
    found, seen = look(frame.image)
    want = (box + np.array([moved_px, 0, moved_px, 0])) * scale
    assert np.abs(found - want).max() < 0.06 * (want[2] - want[0])
    assert float(seen @ embedding) > LEAST_COSINE
    luma, bgr = frame.image.luma(), frame.image.bgr()
    assert (luma.shape, bgr.shape) == ((frame.height, frame.width), (frame.height, frame.width, 3))
    grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY).astype(float)
    assert np.abs((luma.astype(float) - 16) * 255 / 219 - grey).mean() < 4


SQUEEZED = {
    "ffmpeg, mp4, twice as wide": lambda path: by_ffmpeg(path, stored(480, 640), FPS, "-vf", "setsar=2/1", *X264),
    "ffmpeg, ts, told by the codec alone": lambda path: by_ffmpeg(
        path.with_suffix(".ts"), stored(660, 640), FPS, "-vf", "setsar=16/11", *X264
    ),
    "ffmpeg, h.265 in matroska": lambda path: by_ffmpeg(
        path.with_suffix(".mkv"),
        stored(720, 640),
        FPS,
        "-vf",
        "setsar=4/3",
        "-c:v",
        "libx265",
        "-x265-params",
        "log-level=none",
    ),
    "ffmpeg, half as many rows": lambda path: by_ffmpeg(path, stored(960, 320), FPS, "-vf", "setsar=1/2", *X264),
    "gstreamer, mp4": lambda path: by_gstreamer(
        path,
        [SCENE] * FPS,
        FPS,
        f"videoscale ! video/x-raw,width=480,height=640,pixel-aspect-ratio=2/1 ! {GST_X264} ! mp4mux",
    ),
    "gstreamer, ts, half as many rows": lambda path: by_gstreamer(
        path.with_suffix(".ts"),
        [SCENE] * FPS,
        FPS,
        f"videoscale ! video/x-raw,width=960,height=320,pixel-aspect-ratio=1/2 ! {GST_X264} ! h264parse ! mpegtsmux",
    ),
    "by hand, mp4, told by the container alone": lambda path: with_pixel_aspect(plain(path, stored(480, 640)), 2, 1),
}


@pytest.mark.parametrize("how", SQUEEZED)
async def test_pixels_that_are_not_square_are_stretched(how, tmp_path, look):
    played = await play(SQUEEZED[how](tmp_path / "clip.mp4"), most=1)
    assert_seen_as_square(played.frames[0], look)


@pytest.mark.parametrize(("wide", "high"), [(480, 640), (960, 320), (352, 640)])
async def test_a_shape_that_no_stream_tells_is_configured(wide, high, tmp_path, look):
    clip = plain(tmp_path / "clip.mp4", stored(wide, high), first="")
    (untold,) = (await play(clip, most=1)).frames
    assert (untold.width, untold.height) == (wide, high)
    (told,) = (await play(clip, most=1, aspect="3:2")).frames
    assert_seen_as_square(told, look)


@pytest.mark.parametrize("aspect", [(0, 1), (1, 100), (1000, 1)])
async def test_a_shape_that_no_picture_has_is_not_believed(aspect, tmp_path):
    clip = with_pixel_aspect(plain(tmp_path / "clip.mp4", [SCENE] * FPS, first=""), *aspect)
    (frame,) = (await play(clip, most=1)).frames
    assert (frame.width, frame.height) == (WIDTH, HEIGHT)


STEP_PX = 14  # from one field to the next: half of people's names are lost by less
MOVING = [np.roll(SCENE, number * STEP_PX, axis=1) for number in range(2 * FPS)]
_IL = ("-flags", "+ilme+ildct")

INTERLACED = {
    "ffmpeg, top first": lambda path: by_ffmpeg(
        path, MOVING, 2 * FPS, "-vf", "tinterlace=interleave_top,setfield=tff", *_IL, *X264, "-x264-params", "tff=1"
    ),
    "ffmpeg, bottom first": lambda path: by_ffmpeg(
        path, MOVING, 2 * FPS, "-vf", "tinterlace=interleave_bottom,setfield=bff", *_IL, *X264, "-x264-params", "bff=1"
    ),
    "ffmpeg, mpeg-2": lambda path: by_ffmpeg(
        path.with_suffix(".ts"),
        MOVING,
        50,
        "-vf",
        "tinterlace=interleave_top,setfield=tff",
        *_IL,
        "-c:v",
        "mpeg2video",
        "-q:v",
        "2",
    ),
    "gstreamer": lambda path: by_gstreamer(
        path.with_suffix(".ts"),
        MOVING,
        2 * FPS,
        f"interlace field-pattern=1 top-field-first=true ! {GST_X264} interlaced=true ! h264parse ! mpegtsmux",
    ),
    "by hand, top first": lambda path: plain(path, woven(MOVING, top_first=True)),
    "by hand, bottom first": lambda path: plain(path, woven(MOVING, top_first=False), first="bff"),
}


@pytest.mark.parametrize("how", INTERLACED)
async def test_of_an_interlaced_picture_one_field_is_seen(how, tmp_path, look):
    (frame,) = (await play(INTERLACED[how](tmp_path / "clip.mp4"), most=1)).frames
    box, _ = look(ArrayImage(SCENE))
    found, _ = look(frame.image)
    moved_px = float(found[0] + found[2] - box[0] - box[2]) / 2
    assert moved_px == pytest.approx(round(moved_px / STEP_PX) * STEP_PX, abs=4), "where one field has it"
    assert_seen_as_square(frame, look, moved_px=moved_px)


@pytest.mark.parametrize("how", ["ffmpeg, top first", "ffmpeg, mpeg-2", "by hand, bottom first"])
async def test_of_an_interlaced_picture_the_eye_sees_the_same_field(how, tmp_path):
    (frame,) = (await play(INTERLACED[how](tmp_path / "clip.mp4"), most=1)).frames
    i420 = av.VideoFrame.from_ndarray(frame.image.scaled_i420(320, 240), format="yuv420p")
    want = frame.image.scaled_rgb_planes(320, 240).transpose(1, 2, 0).astype(int)
    assert np.abs(i420.to_ndarray(format="rgb24").astype(int) - want).mean() < 3


@pytest.mark.parametrize(
    ("turned", "rotate"), [(cv2.ROTATE_90_COUNTERCLOCKWISE, 90), (cv2.ROTATE_180, 180), (cv2.ROTATE_90_CLOCKWISE, 270)]
)
async def test_a_camera_that_hangs_sideways_is_turned(turned, rotate, tmp_path, look):
    clip = plain(tmp_path / "clip.mp4", [cv2.rotate(SCENE, turned)] * FPS, first="")
    (frame,) = (await play(clip, most=1, rotate=rotate)).frames
    assert_seen_as_square(frame, look)


async def test_all_of_it_at_once(tmp_path, look):
    """Fields of pixels twice as wide as they are high, from a camera on its side."""
    fields = [cv2.resize(cv2.rotate(picture, cv2.ROTATE_90_CLOCKWISE), (320, 960)) for picture in MOVING]
    clip = with_pixel_aspect(plain(tmp_path / "clip.mp4", woven(fields, top_first=True)), 2, 1)
    (frame,) = (await play(clip, most=1, rotate=270)).frames
    box, _ = look(ArrayImage(SCENE))
    found, _ = look(frame.image)
    assert_seen_as_square(frame, look, moved_px=float(found[0] + found[2] - box[0] - box[2]) / 2)


async def test_a_probe_says_what_is_odd(tmp_path):
    clip = SQUEEZED["ffmpeg, mp4, twice as wide"](tmp_path / "clip.mp4")
    found = (await probe(str(clip), CameraSettings(url=str(clip), rotate=90))).report
    assert (found.width, found.height) == (HEIGHT, WIDTH)
    assert found.notes == (
        "its pixels are not square: stored as 480x640, seen as 960x640",
        "it is turned by 90 degrees clockwise",
    )
    clip = INTERLACED["by hand, top first"](tmp_path / "fields.mp4")
    assert (await probe(str(clip), CameraSettings(url=str(clip)))).report.notes == (
        "it is interlaced: one field of each picture is looked at",
    )
    clip = plain(tmp_path / "plain.mp4", [SCENE] * FPS, first="")
    assert (await probe(str(clip), CameraSettings(url=str(clip)))).report.notes == ()
