import cv2
import numpy as np
import pytest

from recognition import close_ups
from recognition.faces import Detections
from recognition.image import ArrayImage
from recognition.recogniser import RecogniserConfig, open_recogniser
from tests.faces import EVERYBODY


def faces(*rows: tuple[float, float, float, float, float]) -> Detections:
    """x, y, width, height, score."""
    table = np.array(rows, np.float32).reshape(-1, 5)
    boxes = np.concatenate((table[:, :2], table[:, :2] + table[:, 2:4]), axis=1)
    return Detections(boxes, table[:, 4].copy(), np.zeros((len(table), 5, 2), np.float32))


def blank(width: int, height: int) -> ArrayImage:
    return ArrayImage(np.zeros((height, width, 3), np.uint8))


@pytest.mark.parametrize(
    ("size", "found", "need"),
    [
        ((1280, 720), (), "none"),  # a face that fills it is 360 px high to the network: no trouble
        ((1280, 720), ((0, 0, 600, 700, 0.9),), "none"),
        ((800, 800), (), "some"),
        ((640, 480), (), "some"),
        ((720, 1280), (), "some"),
        ((800, 800), ((0, 0, 90, 120, 0.9),), "none"),
        ((800, 800), ((0, 0, 300, 400, 0.9),), "clear"),
        ((800, 800), ((0, 0, 300, 400, 0.3),), "some"),  # too unsure to count
    ],
)
def test_when_a_second_pass_is_called_for(size, found, need) -> None:
    image = blank(*size)
    scale = 640 / max(size)
    assert close_ups.need(faces(*found), image, scale, 0.5) == need


def test_a_large_face_takes_the_place_of_its_parts_and_of_itself() -> None:
    first = faces((100, 100, 150, 180, 0.9), (300, 320, 120, 140, 0.8), (700, 40, 60, 80, 0.95))
    close = faces((60, 60, 420, 560, 0.85), (702, 41, 61, 79, 0.7))
    both = close_ups.joined(first, close, 0.8)
    np.testing.assert_allclose(both.scores, [0.95, 0.85])
    np.testing.assert_allclose(both.boxes[1], [60, 60, 480, 620])


def test_the_same_face_of_the_first_pass_stays_for_its_finer_landmarks() -> None:
    first = faces((62, 58, 300, 400, 0.9), (100, 90, 200, 240, 0.8))
    close = faces((60, 60, 300, 400, 0.95))
    both = close_ups.joined(first, close, 0.8)
    np.testing.assert_array_equal(both.boxes, first.boxes[:1])
    both = close_ups.joined(first, close, 1.2)  # 480 px to the network: too large for the first pass
    np.testing.assert_array_equal(both.boxes, close.boxes)


def test_two_large_faces_stay_two() -> None:
    close = faces((0, 60, 300, 400, 0.9), (250, 60, 300, 400, 0.8))
    assert len(close_ups.joined(faces(), close, 1.0)) == 2


def test_without_a_large_face_nothing_changes() -> None:
    first = faces((100, 100, 50, 60, 0.9))
    assert close_ups.joined(first, faces((101, 100, 50, 60, 0.7)), 1.0) is first


@pytest.mark.parametrize("detector", ["nano_det", "scrfd_500m", "yunet_n", "scrfd_2.5g"])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.9, 1.0, 1.3])
async def test_a_face_that_fills_the_picture_is_found_once(detector: str, share: float, folders) -> None:
    config = RecogniserConfig(detector, "nano_embed", tuple(folders(detector)), device="cpu", cpu_threads=2, runners=1)
    async with open_recogniser(config) as recogniser:
        for portrait in EVERYBODY[:3]:
            scale = share * 800 / float(portrait.box[3] - portrait.box[1])
            middle = (portrait.box[:2] + portrait.box[2:]) / 2
            matrix = np.array([[scale, 0, 400 - scale * middle[0]], [0, scale, 400 - scale * middle[1]]])
            bgr = portrait.image().bgr()
            picture = cv2.warpAffine(bgr, matrix, (800, 800), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
            image = ArrayImage(np.asarray(picture, np.uint8))
            glanced = await recogniser.glance(image, "door")
            live = await recogniser.close_up(image, glanced, "door")
            for found in (live, await recogniser.detect(image, "photo")):
                boxes = np.clip(found.detections.boxes, 0, 800)
                on_it = (np.abs((boxes[:, :2] + boxes[:, 2:]) / 2 - 400) < share * 400).all(axis=1)
                (box,) = boxes[on_it]
                assert np.abs((box[:2] + box[2:]) / 2 - 400).max() < 0.15 * share * 800
                assert 0.75 < (box[3] - box[1]) / min(share * 800, 800) < 1.3


async def test_an_empty_square_picture_gets_no_face() -> None:
    config = RecogniserConfig("nano_det", "nano_embed", (), device="cpu", cpu_threads=2, runners=1)
    async with open_recogniser(config) as recogniser:
        assert len((await recogniser.detect(blank(800, 800), "photo")).detections) == 0


@pytest.mark.parametrize(
    ("size", "share"), [((250, 250), 0.5), ((320, 200), 0.5), ((321, 200), 1.0), ((640, 480), 1.0), ((60, 320), 0.5)]
)
def test_a_small_picture_is_looked_at_once_at_the_half_scale(size, share):
    assert close_ups.first_share(min(640 / size[0], 640 / size[1])) == share
