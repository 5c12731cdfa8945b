"""JPEGs of pictures: of the size that viewers are sent, and looking as they do."""

import cv2
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from streamer.ingest.frame import VideoImage
from streamer.live_view.jpeg import jpeg_of
from tests.streamer.ingest.test_frame import coloured


@pytest.mark.parametrize(
    ("form", "size", "shown"),
    [
        ("yuv420p", (1280, 720), (640, 360)),
        ("yuvj420p", (1280, 720), (640, 360)),
        ("nv12", (1280, 720), (640, 360)),
        ("yuv422p", (1280, 720), (640, 360)),
        ("yuv420p", (321, 241), (320, 240)),
        ("yuv420p", (704, 576), (640, 524)),
    ],
)
def test_it_looks_as_the_picture_does(form, size, shown):
    image = VideoImage(coloured(form, *size))
    found = cv2.imdecode(np.frombuffer(jpeg_of(image), np.uint8), cv2.IMREAD_COLOR)
    assert found.shape[1::-1] == shown
    want = cv2.resize(image.bgr(), shown, interpolation=cv2.INTER_AREA)
    assert np.abs(found.astype(int) - want.astype(int)).mean() < 4


@pytest.mark.parametrize("colours", ["ITU709", "ITU601"])
@pytest.mark.parametrize("colour_range", ["MPEG", "JPEG"])
def test_its_colours_are_those_of_the_picture(colours, colour_range):
    """HD's, and full range: taken for another kind they would be several steps off."""
    picture = VideoReformatter().reformat(
        coloured("rgb24", 1280, 720), format="yuv420p", dst_colorspace=colours, dst_color_range=colour_range, threads=1
    )
    picture.colorspace, picture.color_range = Colorspace[colours], ColorRange[colour_range]
    found = cv2.imdecode(np.frombuffer(jpeg_of(VideoImage(picture)), np.uint8), cv2.IMREAD_COLOR)
    want = cv2.resize(coloured("rgb24", 1280, 720).to_ndarray()[:, :, ::-1], (640, 360), interpolation=cv2.INTER_AREA)
    assert np.abs(found.astype(int) - want.astype(int)).mean() < 3


def test_one_that_is_turned_is_turned():
    found = cv2.imdecode(np.frombuffer(jpeg_of(VideoImage(coloured("yuv420p", 1280, 720), rotate=90)), np.uint8), 1)
    assert found.shape[:2] == (640, 360)
