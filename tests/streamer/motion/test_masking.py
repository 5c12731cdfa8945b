"""Masks in decoded pictures: every view of every format, turned, interlaced, stretched, against plain geometry."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from streamer.ingest.frame import VideoImage, quarter_turns
from streamer.motion.masking import PictureMask
from tests.conftest import PROJECT
from tests.streamer.ingest.clips import play
from tests.streamer.ingest.test_frame import HALF, IDENTITY, QUARTER
from tests.streamer.ingest.writers import by_ffmpeg

# No two turns of it are alike, and none of its sides lies along a row.
TRIANGLE = ((0.1, 0.15), (0.7, 0.25), (0.3, 0.9))
SQUARE = ((0.75, 0.6), (1.0, 0.6), (1.0, 1.0), (0.75, 1.0))
MASKS = (TRIANGLE, SQUARE)
FORMS = [
    *("yuv420p", "yuvj420p", "nv12", "nv21", "yuv422p", "yuv444p", "yuv411p", "yuv410p", "gray"),
    *("yuv420p10le", "yuv422p10le", "yuv420p12le", "p010le", "yuv420p10be", "gray10le", "gray16be"),
    *("yuyv422", "uyvy422", "rgb24", "bgr0", "rgba", "gbrp", "gbrp10le", "rgb8", "yuva420p", "ya8"),
]


def bright(form: str, width: int = 322, height: int = 182) -> av.VideoFrame:
    """Nothing in it is dark."""
    y, x = np.mgrid[0:height, 0:width]
    rgb = 120 + np.stack([x * 130 // width, y * 130 // height, (x + y) * 130 // (width + height)], -1)
    return av.VideoFrame.from_ndarray(rgb.astype(np.uint8), format="rgb24").reformat(format=form)


@lru_cache
def depth_px(width: int, height: int) -> np.ndarray:
    """How deep each pixel's middle lies under the masks, px; below 0: outside of them."""
    size = np.array((width, height))
    polygons = [(np.array(mask) * size).astype(np.float32) for mask in MASKS]
    points = [(column + 0.5, row + 0.5) for row in range(height) for column in range(width)]
    depths = [max(cv2.pointPolygonTest(polygon, point, True) for polygon in polygons) for point in points]
    return np.array(depths).reshape(height, width)


def masked(picture: av.VideoFrame, rotate: int = 0, pixel_aspect: float = 1.0) -> VideoImage:
    mask = PictureMask(MASKS)
    hidden = mask.hide(picture, quarter_turns(0, rotate))
    return VideoImage(hidden, pixel_aspect, rotate, 0, mask.open_share)


VIEWS: dict[str, Callable[[VideoImage], np.ndarray]] = {
    "bgr": lambda image: image.bgr().max(axis=2),
    "luma": lambda image: image.luma(),
    "rgb planes": lambda image: image.scaled_rgb_planes(image.width, image.height).max(axis=0),
    "smaller": lambda image: image.scaled_rgb_planes(image.width // 2, image.height // 2).max(axis=0),
    "odd": lambda image: image.scaled_rgb_planes(image.width // 3 | 1, image.height // 3 | 1).max(axis=0),
    "for the eye": lambda image: rgb_of(image.scaled_i420(image.width // 4 * 2, image.height // 4 * 2)).max(axis=2),
}


def rgb_of(i420: np.ndarray) -> np.ndarray:
    return av.VideoFrame.from_ndarray(i420, format="yuv420p").to_ndarray(format="rgb24")


def assert_hidden(image: VideoImage, what: str = "", *, near_px: float = 2.5) -> None:
    """Black in every view, wherever a mask lies; bright elsewhere, but for its edge."""
    for name, view in VIEWS.items():
        pixels = view(image).astype(int)
        scale = image.width / pixels.shape[1]
        depth = cv2.resize(depth_px(image.width, image.height), pixels.shape[::-1], interpolation=cv2.INTER_LINEAR)
        black = 18 if name == "luma" else 3
        # What lies beside the edge is blended into it where a view is smaller, never what is under the mask.
        assert pixels[depth > near_px * scale].max() <= black, f"{what}: {name}: something of it is seen"
        assert pixels[depth < -(near_px + 2) * scale].min() > 90, f"{what}: {name}: more than it is hidden"


@pytest.mark.parametrize("form", FORMS)
def test_no_view_of_any_format_shows_what_is_masked(form):
    assert_hidden(masked(bright(form)), form)


@pytest.mark.parametrize("rotate", [90, 180, 270])
@pytest.mark.parametrize("form", ["yuv420p", "nv12", "yuv420p10le", "rgb24"])
def test_masks_are_of_the_picture_that_a_person_sees(form, rotate):
    assert_hidden(masked(bright(form), rotate), f"{form}, {rotate}")


@pytest.mark.parametrize("rotate", [0, 90])
@pytest.mark.parametrize("pixel_aspect", [2.0, 0.5])
def test_stretched_pixels_are_masked_as_they_are_seen(pixel_aspect, rotate):
    assert_hidden(masked(bright("yuv420p"), rotate, pixel_aspect), near_px=4)


@pytest.mark.parametrize("size", [(321, 181), (16, 16), (2, 2), (33, 500)])
def test_odd_and_tiny_pictures_are_masked(size):
    mask = PictureMask((((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)),))
    for form in ("yuv420p", "nv12", "yuv420p10le", "yuyv422"):
        image = VideoImage(mask.hide(bright(form, *size), 0), open_share=mask.open_share)
        assert image.bgr().max() <= 3, form
        assert mask.open_share == (1.0 if min(size) < 9 else 0.0)


def test_black_is_as_dark_as_the_stream_has_it():
    limited, full, deep = (masked(bright(form)) for form in ("yuv420p", "yuvj420p", "yuv420p10le"))
    assert limited.luma().min() == 16
    assert full.luma().min() == 0
    assert deep.bgr().min() == 0
    told_full = bright("yuv420p")
    told_full.color_range = 2
    assert masked(told_full).luma().min() == 0


def test_the_sample_that_trouble_is_seen_by_is_masked():
    image = masked(bright("yuv420p", 640, 480))
    sample = image.luma_sample()
    depth = depth_px(640, 480)[8::16, 8::16]
    assert sample[depth > 3].max() == 16
    assert sample[depth < -3].min() > 90
    assert image.open_share == pytest.approx(float((depth < 0).mean()), abs=0.02)


def test_a_picture_of_another_size_or_turn_is_masked_anew():
    mask = PictureMask(MASKS)
    for size, rotate in (((322, 182), 0), ((182, 322), 0), ((182, 322), 90), ((182, 322), 270), ((640, 360), 0)):
        hidden = mask.hide(bright("yuv420p", *size), quarter_turns(0, rotate))
        assert_hidden(VideoImage(hidden, rotate=rotate, told_rotation=0), f"{size}, {rotate}")


def test_without_masks_a_picture_is_left_alone():
    picture = bright("yuv420p")
    before = picture.to_ndarray()
    assert PictureMask(()).hide(picture, 0) is picture
    np.testing.assert_array_equal(picture.to_ndarray(), before)


def test_pictures_are_made_in_one_place_alone():
    """Behind the masks: whoever makes a VideoImage of a decoded picture elsewhere shows what they hide."""
    made = [
        path.relative_to(PROJECT)
        for path in (PROJECT / "streamer").rglob("*.py")
        if "VideoImage(" in path.read_text() and path.parts[-2] != "bench"
    ]
    assert made == [Path("streamer/ingest/frame_outlet.py")]


SCENE = np.random.default_rng(5).integers(140, 250, (180, 320, 3), np.uint8)
MOVING = [cv2.GaussianBlur(np.roll(SCENE, 3 * number, axis=1), (0, 0), 2) for number in range(30)]
_IL = ("-vf", "tinterlace=interleave_top,setfield=tff", "-flags", "+ilme+ildct")
CLIPS = {
    "h264 with b-frames": (".mp4", ("-c:v", "libx264", "-bf", "2", "-g", "15", "-refs", "4")),
    "h265": (".mp4", ("-c:v", "libx265", "-x265-params", "log-level=error:keyint=15")),
    "vp9": (".webm", ("-c:v", "libvpx-vp9", "-deadline", "realtime")),
    "av1": (".mkv", ("-c:v", "libsvtav1", "-preset", "10", "-svtav1-params", "keyint=15")),
    "mjpeg": (".avi", ("-c:v", "mjpeg", "-q:v", "3")),
    "interlaced h264": (".mp4", (*_IL, "-c:v", "libx264", "-x264-params", "tff=1")),
    "interlaced mpeg-2": (".ts", (*_IL, "-c:v", "mpeg2video", "-q:v", "2")),
}


@pytest.mark.parametrize("kind", CLIPS)
async def test_what_is_decoded_after_a_masked_picture_is_whole(kind, tmp_path: Path):
    """A mask that got into a picture that the next ones are predicted from would spread with what moves."""
    suffix, options = CLIPS[kind]
    clip = by_ffmpeg(tmp_path / f"clip{suffix}", MOVING, 25, *options)
    plain = (await play(clip)).frames
    hidden = (await play(clip, masks=MASKS)).frames
    assert len(plain) == len(hidden) >= 15
    depth = depth_px(320, 180)
    for before, after in zip(plain, hidden, strict=True):
        assert after.image.bgr()[depth > 1].max() <= 3, f"frame {after.number}"
        outside = depth < -8
        np.testing.assert_array_equal(after.image.luma()[outside], before.image.luma()[outside])


PLAIN = [np.full((240, 320, 3), (190, 200, 210), np.uint8)] * 10


async def test_a_turn_that_the_stream_tells_moves_the_mask(tmp_path: Path):
    lying = by_ffmpeg(tmp_path / "lying.mp4", PLAIN, 25, "-c:v", "libx264", "-movflags", "+faststart")
    data = lying.read_bytes()
    at = data.index(IDENTITY, data.index(b"tkhd"))
    for number, matrix in enumerate((QUARTER, HALF)):
        turned = tmp_path / f"{number}.mp4"
        turned.write_bytes(data[:at] + matrix + data[at + len(matrix) :])
        for frame in (await play(turned, masks=MASKS)).frames[::5]:
            assert (frame.width, frame.height) == ((320, 240) if number else (240, 320))
            assert_hidden(frame.image)
        (frame,) = (await play(turned, most=1, masks=MASKS, rotate=90)).frames
        assert_hidden(frame.image)


async def test_fields_of_wide_pixels_from_a_camera_on_its_side(tmp_path: Path):
    filters = "tinterlace=interleave_top,setfield=tff,setsar=2"
    options = ("-flags", "+ilme+ildct", "-c:v", "libx264", "-x264-params", "tff=1")
    clip = by_ffmpeg(tmp_path / "clip.mp4", PLAIN, 25, "-vf", filters, *options)
    (frame,) = (await play(clip, most=1, masks=MASKS, rotate=270)).frames
    assert (frame.width, frame.height) == (240, 640)
    assert len(frame.image.notes) == 3
    assert_hidden(frame.image, near_px=6)


def test_pictures_with_a_palette_are_masked():
    """As screenshots are, sent as PNG."""
    palette = np.full((256, 4), 200, np.uint8)
    picture = av.VideoFrame.from_ndarray((np.zeros((182, 322), np.uint8), palette), format="pal8")
    assert picture.format.name == "pal8"
    assert_hidden(masked(picture))
