"""What is sent is spread over all of what it is taken from."""

import zipfile

import av
import cv2
import numpy as np
import pytest

from streamer.bench.api.pictures import frames_of, photos_of
from streamer.errors import BenchFailed


def write_clip(path, width, height, frames):
    """Frames that grow brighter."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            grey = np.full((height, width, 3), 20 + 200 * number // frames, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="bgr24")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("size", "sent"), [((320, 240), (320, 240)), ((1280, 720), (1280, 720)), ((1440, 1080), (960, 720))]
)
def test_frames_are_from_the_first_to_the_last_and_no_larger_than_720p(tmp_path, size, sent):
    files = frames_of(write_clip(tmp_path / "clip.mp4", *size, 30), tmp_path / "frames", 7)
    pictures = [cv2.imread(str(file)) for file in files]
    assert [(one.shape[1], one.shape[0]) for one in pictures] == [sent] * 7
    bright = [float(one.mean()) for one in pictures]
    assert bright == sorted(bright)
    assert bright[0] == pytest.approx(20, abs=4)
    assert bright[-1] == pytest.approx(213, abs=4)


@pytest.mark.parametrize("count", [1, 5, 8])
def test_photos_are_spread_over_the_archive(tmp_path, count):
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as packed:
        packed.writestr("readme.txt", "no photo")
        for number in range(8):
            packed.writestr(f"person{number}/photo.jpg", f"{number}")
    files = photos_of(tmp_path / "faces.zip", tmp_path / "photos", count)
    told = [file.read_text() for file in files]
    assert told == sorted(set(told))
    assert (told[0], len(told)) == ("0", count)
    assert count == 1 or told[-1] == "7"


@pytest.mark.parametrize("there", [0, 1, 4])
def test_too_few_are_told(tmp_path, there):
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as packed:
        for number in range(there):
            packed.writestr(f"person/{number}.jpg", b"x")
    with pytest.raises(BenchFailed, match=rf"faces\.zip has {there} pictures and 5 are sent"):
        photos_of(tmp_path / "faces.zip", tmp_path / "photos", 5)
    with pytest.raises(BenchFailed, match=rf"clip\.mp4 has {1 + there} pictures and 6 are sent"):
        frames_of(write_clip(tmp_path / "clip.mp4", 64, 64, 1 + there), tmp_path / "frames", 6)
