"""Why pictures that arrive can't be used: tables of pictures and times in, the reason out; and real damaged streams."""

import itertools
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from streamer.ingest import picture_trouble
from streamer.ingest.frame import VideoImage
from streamer.ingest.picture_trouble import PictureTrouble
from streamer.ingest.source import open_source
from streamer.motion.masking import PictureMask
from streamer.settings import CameraSettings
from tests.streamer.ingest.clips import play, write_clip
from tests.streamer.ingest.test_picture_joiner import FPS, MOVING, SLICED, with_repeats
from tests.streamer.ingest.writers import by_ffmpeg

RANDOM = np.random.default_rng(5)


def image(luma: np.ndarray, form: str = "yuv420p") -> VideoImage:
    high, wide = luma.shape
    planes = np.full((high * 3 // 2, wide), 128, np.uint8)
    planes[:high] = luma
    frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
    return VideoImage(frame if form == "yuv420p" else frame.reformat(format=form))


def noisy(level: float, deviation: float = 3.0) -> np.ndarray:
    return np.clip(RANDOM.normal(level, deviation, (192, 320)), 0, 255).astype(np.uint8)


class Camera:
    """Ten pictures a second, a keyframe every two seconds."""

    def __init__(self) -> None:
        self.trouble = PictureTrouble()
        self._numbers = itertools.count()

    def shows(self, picture: VideoImage, seconds: float, *, damaged_every: int = 0) -> str | None:
        for _ in range(round(seconds * 10)):
            number = next(self._numbers)
            at_s = number / 10
            damaged = bool(damaged_every) and number % damaged_every == 0
            self.trouble.decoded(at_s, is_keyframe=number % 20 == 0, is_damaged=damaged)
            self.trouble.look(picture, at_s)
        return self.trouble.reason

    def shows_life(self, level: float, seconds: float) -> str | None:
        for _ in range(round(seconds * 10)):
            self.shows(image(noisy(level)), 0.1)
        return self.trouble.reason


@pytest.mark.parametrize("form", ["yuv420p", "yuvj420p", "rgb24", "nv12", "yuv420p10le"])
def test_black(form):
    camera = Camera()
    assert camera.shows_life(90, 1) is None
    dark = image(noisy(17, 2), form)
    assert camera.shows(dark, 9) is None, "not at once"
    assert camera.shows(dark, 2) == "black"
    assert camera.shows_life(60, 0.2) is None


def test_a_white_clock_makes_no_black_picture_a_good_one():
    picture = noisy(17, 2)
    picture[8:20, 8:80] = 235
    assert Camera().shows(image(picture), 11) == "black"


@pytest.mark.parametrize("level", [40, 90, 235])
def test_a_picture_with_something_in_it_is_not_black(level):
    assert Camera().shows_life(level, 11) is None


def test_pictures_of_which_none_is_fit_to_be_looked_at_are_damaged_as_well():
    camera = Camera()
    camera.shows_life(90, 1)
    for number in range(60):
        camera.trouble.decoded(1 + number / 10, is_keyframe=False, is_damaged=True)
    assert camera.trouble.reason == "pictures_damaged"


def test_frozen():
    camera = Camera()
    camera.shows_life(90, 1)
    still = image(noisy(90))
    assert camera.shows(still, 59) is None
    assert camera.shows(still, 2) == "frozen"
    assert camera.shows_life(90, 0.1) is None


def masked(luma: np.ndarray, *rectangles: tuple[float, float, float, float]) -> VideoImage:
    """With these parts, shares left, top, right, bottom, blacked."""
    mask = PictureMask(tuple(((x, y), (to_x, y), (to_x, to_y), (x, to_y)) for x, y, to_x, to_y in rectangles))
    whole = image(luma)
    return VideoImage(mask.hide(whole._frame, 0), open_share=mask.open_share)


def test_a_mask_is_no_darkness_of_the_camera():
    """Of what is left a tenth is light: in a picture without a mask that were under the share of a clock."""
    picture = noisy(17, 2)
    picture[:, 288:300] = 200
    left = (0.0, 0.0, 0.85, 1.0)
    assert Camera().shows(masked(picture, left), 11) is None
    assert Camera().shows(masked(noisy(17, 2), left), 11) == "black"


def test_a_mask_over_all_of_it_is_no_trouble_of_the_camera():
    assert Camera().shows(masked(noisy(90), (0.0, 0.0, 1.0, 1.0)), 90) is None


def test_what_a_mask_leaves_may_be_frozen():
    assert Camera().shows(masked(noisy(90), (0.0, 0.0, 0.5, 1.0)), 61) == "frozen"


def test_what_an_encoder_repeats_between_two_keyframes_is_not_frozen():
    camera = Camera()
    for _ in range(80):
        camera.trouble.decoded(next(camera._numbers), is_keyframe=False, is_damaged=False)
        camera.trouble.look(image(np.full((192, 320), 80, np.uint8)), next(camera._numbers))
    assert camera.trouble.reason is None


@pytest.mark.parametrize(
    ("every", "reason"),
    [(0, None), (400, None), (20, "pictures_damaged"), (1, "pictures_damaged")],
    ids=["none", "one GOP of twenty", "one picture of each GOP", "all"],
)
def test_damage_counts_until_the_next_keyframe(every, reason):
    camera = Camera()
    assert camera.shows(image(noisy(90)), 30, damaged_every=every) == reason
    if reason:
        assert camera.shows_life(90, 12) is None, "and is over when whole pictures come"


def damaged_slices(path: Path) -> Path:
    """Every keyframe's slices but the first are gone: as libav leaves pictures that were cut up."""
    plain = by_ffmpeg(path.with_suffix(".h264"), MOVING * 10, FPS, *SLICED["h264"], "-f", "h264")
    cut = with_repeats(plain.read_bytes(), "h264")
    out, pieces = [], cut.split(b"\x00\x00\x01\x65")
    for piece in pieces[1:]:
        whole_head = bool(piece[0] & 128)
        out.append(b"\x00\x00\x01\x65" + piece if whole_head else piece[piece.find(b"\x00\x00\x01") :])
    path.write_bytes(pieces[0] + b"".join(out))
    return path


def broken_jpegs(path: Path) -> Path:
    """JPEGs one after another that end half-way, as cameras with too little memory send them."""
    with path.open("wb") as stream:
        for picture in MOVING * 10:
            jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
            stream.write(jpeg[: len(jpeg) // 2])
    return path


def flipped_bits(path: Path) -> Path:
    data = bytearray(write_clip(path, 240, size=(320, 192), noise=True, fast_start=False).read_bytes())
    for at in range(2000, len(data) * 9 // 10, 3000):
        data[at] ^= 0x55
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("make", "name"), [(damaged_slices, "a.264"), (broken_jpegs, "a.mjpeg"), (flipped_bits, "a.mp4")]
)
async def test_a_damaged_stream_is_noticed(make, name, tmp_path):
    clip = make(tmp_path / name)
    camera = CameraSettings.model_validate({"url": str(clip), "fps": 25, "loop": True})
    async with open_source("door", camera, str(clip)) as source:
        while source.trouble is None:
            await source.take()
        assert source.trouble == "pictures_damaged"


async def test_a_whole_stream_is_not_called_damaged(tmp_path):
    clip = by_ffmpeg(tmp_path / "whole.mp4", MOVING * 10, FPS, *SLICED["h264"])
    camera = CameraSettings.model_validate({"url": str(clip), "pace": "fastest", "fps": 25})
    played = await play(clip)
    assert len(played.frames) == len(MOVING) * 10
    async with open_source("door", camera, str(clip)) as source:
        await source.take()
        assert source.trouble is None


async def test_a_camera_that_shows_one_picture_for_ever_is_frozen(tmp_path, monkeypatch):
    monkeypatch.setattr(picture_trouble, "FROZEN_AFTER_S", 1.0)
    clip = write_clip(tmp_path / "still.mp4", 1)
    camera = CameraSettings.model_validate({"url": str(clip), "fps": 25, "loop": True})
    async with open_source("door", camera, str(clip)) as source:
        while source.trouble is None:
            await source.take()
        assert source.trouble == "frozen"
