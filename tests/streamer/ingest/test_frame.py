"""A decoded picture's views against PyAV's own conversions, and its orientation."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from streamer.ingest.frame import Frame, VideoImage
from tests.streamer.ingest.clips import play, write_clip

IDENTITY = bytes.fromhex("00010000 00000000 00000000 00000000 00010000 00000000 00000000 00000000 40000000")
# Clockwise by 90 and by 180 degrees when shown, as a phone writes them (ISO/IEC 14496-12, 8.3.2).
QUARTER = bytes.fromhex("00000000 00010000 00000000 ffff0000 00000000 00000000 00000000 00000000 40000000")
HALF = bytes.fromhex("ffff0000 00000000 00000000 00000000 ffff0000 00000000 00000000 00000000 40000000")


def coloured(form: str = "yuv420p", width: int = 322, height: int = 182) -> av.VideoFrame:
    """Smooth colours, and a size that no row length is a multiple of."""
    y, x = np.mgrid[0:height, 0:width]
    rgb = np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height)], -1)
    picture = av.VideoFrame.from_ndarray(rgb.astype(np.uint8), format="rgb24")
    return VideoReformatter().reformat(
        picture, format=form, threads=1
    )  # several threads differ where their slices meet


@pytest.mark.parametrize("form", ["yuv420p", "yuvj420p", "nv12", "yuv444p", "rgb24", "yuyv422"])
def test_views_agree_with_libav(form):
    picture = coloured(form)
    image = VideoImage(picture)
    assert (image.width, image.height) == (322, 182)
    planar = picture.reformat(format="yuv420p") if form == "nv12" else picture  # as software would have decoded it
    np.testing.assert_array_equal(image.bgr(), planar.to_ndarray(format="bgr24"))
    small = image.scaled_rgb_planes(161, 91)
    want = picture.reformat(161, 91, "rgb24", interpolation="FAST_BILINEAR").to_ndarray()
    assert small.shape == (3, 91, 161)
    assert small.dtype == np.uint8
    assert small.flags.c_contiguous
    assert np.abs(small.transpose(1, 2, 0).astype(int) - want).mean() < 2
    grey = image.bgr() @ np.array([0.114, 0.587, 0.299])
    luma = image.luma().astype(float)
    if form in ("yuv420p", "nv12", "yuv444p"):  # as stored: limited range, 16 to 235
        luma = (luma - 16) * 255 / 219
    assert luma.shape == (182, 322)
    assert np.abs(luma - grey).mean() < 4


@pytest.mark.parametrize("width", [322, 328, 648])
@pytest.mark.parametrize("form", ["yuv420p", "yuvj420p", "yuv422p", "nv12"])
def test_a_picture_that_is_not_scaled_has_all_its_columns(form, width):
    """libswscale leaves some of them out (findings/planar_rgb_of_the_same_size_lacks_its_last_columns.sh)."""
    grey = av.VideoFrame.from_ndarray(np.full((96, width, 3), 200, np.uint8), format="rgb24").reformat(format=form)
    if form == "yuv420p":
        grey.color_range = 2  # or OpenCV would convert it
    memory = [np.zeros(96 * width, np.uint8) for _ in range(50)]
    del memory
    assert VideoImage(grey).scaled_rgb_planes(width, 96).min() > 150


@pytest.mark.parametrize(
    "form",
    [
        "yuv420p",
        "yuvj420p",
        "nv12",
        "yuv422p",
        "yuv420p10le",
        "yuv422p12le",
        "p010le",
        "gray",
        "gray10le",
        "rgb24",
        "yuyv422",
    ],
)
@pytest.mark.parametrize("size", [(322, 182), (1920, 1080), (720, 1280)])
def test_small_luma_is_the_same_however_a_picture_is_stored(form, size):
    wide, high = size
    want = VideoImage(coloured("yuv420p", wide, high)).small_luma()
    small = VideoImage(coloured(form, wide, high)).small_luma()
    assert small.shape == want.shape
    assert small.dtype == np.uint8
    assert np.abs(small.astype(int) - want).max() <= 3
    luma = VideoImage(coloured("yuv420p", wide, high)).luma()
    side = wide // small.shape[1]
    whole = luma[: high // side * side, : wide // side * side].reshape(high // side, side, wide // side, side)
    assert np.abs(want - whole.mean(axis=(1, 3))).max() <= 3
    assert 140 <= max(small.shape) <= 180


def test_small_luma_is_turned_as_a_person_sees_it():
    upright = VideoImage(coloured("yuv420p", 1280, 720)).small_luma()
    for rotate, turns in ((90, 3), (180, 2), (270, 1)):
        turned = VideoImage(coloured("yuv420p", 1280, 720), rotate=rotate).small_luma()
        np.testing.assert_array_equal(turned, np.rot90(upright, turns))


def test_small_luma_of_an_interlaced_picture_is_of_one_field():
    picture = coloured("yuv420p", 1280, 720)
    upright = VideoImage(picture).small_luma()
    other_field = picture.to_ndarray()
    other_field[1:720:2] = 16
    woven = VideoImage(av.VideoFrame.from_ndarray(other_field, format="yuv420p"))
    woven._rows = 2  # as the codec says of it
    assert np.abs(woven.small_luma().astype(int) - upright).max() <= 2


def test_a_tiny_picture_has_a_small_luma():
    assert VideoImage(coloured("yuv420p", 16, 16)).small_luma().shape == (16, 16)


def test_luma_is_a_view_of_what_the_decoder_wrote():
    image = VideoImage(coloured())
    assert np.shares_memory(image.luma(), image.luma())


def test_bgr_is_converted_once():
    image = VideoImage(coloured())
    assert image.bgr() is image.bgr()


def test_a_view_outlives_its_frame():
    luma = VideoImage(coloured()).luma()
    np.testing.assert_array_equal(luma, VideoImage(coloured()).luma())


async def first_frame(path: Path) -> Frame:
    return (await play(path, most=1)).frames[0]


@pytest.mark.parametrize(("matrix", "clockwise"), [(QUARTER, 1), (HALF, 2)])
async def test_a_phones_clip_is_turned_upright(tmp_path, matrix, clockwise):
    lying = write_clip(tmp_path / "lying.mp4", 3, noise=True)
    data = lying.read_bytes()
    at = data.index(IDENTITY, data.index(b"tkhd"))
    (tmp_path / "turned.mp4").write_bytes(data[:at] + matrix + data[at + len(matrix) :])
    as_stored, turned = await first_frame(lying), await first_frame(tmp_path / "turned.mp4")

    assert (as_stored.width, as_stored.height) == (160, 96)
    assert (turned.width, turned.height) == ((96, 160) if clockwise == 1 else (160, 96))
    np.testing.assert_array_equal(turned.image.bgr(), np.rot90(as_stored.image.bgr(), -clockwise))
    np.testing.assert_array_equal(turned.image.luma(), np.rot90(as_stored.image.luma(), -clockwise))
    size = (turned.width // 2, turned.height // 2)
    stored_size = (as_stored.width // 2, as_stored.height // 2)
    np.testing.assert_array_equal(
        turned.image.scaled_rgb_planes(*size),
        np.rot90(as_stored.image.scaled_rgb_planes(*stored_size), -clockwise, axes=(1, 2)),
    )


def as_rgb(i420: np.ndarray, form: str = "rgb24") -> np.ndarray:
    return av.VideoFrame.from_ndarray(i420, format="yuv420p").to_ndarray(format=form)


@pytest.mark.parametrize("form", ["yuv420p", "yuvj420p", "nv12", "rgb24"])
@pytest.mark.parametrize("turns", [0, 90, 180, 270])
def test_a_picture_for_the_eye_is_the_same_picture(form, turns):
    image = VideoImage(coloured(form), rotate=turns)
    width, height = (160, 90) if turns % 180 == 0 else (90, 160)
    i420 = image.scaled_i420(width, height)
    assert (i420.shape, i420.dtype) == ((height * 3 // 2, width), np.uint8)
    want = image.scaled_rgb_planes(width, height).transpose(1, 2, 0).astype(int)
    assert np.abs(as_rgb(i420).astype(int) - want).mean() < 3
    assert np.abs(as_rgb(i420).astype(int)[::-1] - want).mean() > 30


@pytest.mark.parametrize("form", ["yuvj420p", "nv12", "rgb24"])
def test_two_threads_may_look_at_once(form):
    """The pipeline does while a viewer's picture is made; libav's converter of a frame crashes at that."""
    for _ in range(20):
        image = VideoImage(coloured(form, 1280, 720))
        with ThreadPoolExecutor(4) as threads:
            views = [
                threads.submit(view)
                for view in (
                    lambda image=image: image.scaled_i420(640, 360),
                    lambda image=image: image.scaled_rgb_planes(320, 180),
                    lambda image=image: image.bgr(),
                    lambda image=image: image.luma(),
                )
            ]
        assert [view.result().size for view in views] == [640 * 540, 3 * 320 * 180, 3 * 1280 * 720, 1280 * 720]
