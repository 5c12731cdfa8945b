"""What is kept of a frame: a chip of the face, a scene that is not too large, each as JPEG."""

import gc
import weakref

import cv2
import numpy as np
import pytest

from recognition.align import loose_chip
from streamer.kept_visits.pictures import LONGEST_PX, Chip, Scene
from tests.faces import KNOWN
from tests.streamer.kept_visits.made import picture


def decoded(jpeg: bytes) -> np.ndarray:
    pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return pixels


@pytest.mark.parametrize(
    ("size", "seen"),
    [
        ((640, 480), (640, 480)),
        ((1280, 720), (1280, 720)),
        ((1920, 1080), (960, 540)),
        ((1600, 900), (1280, 720)),
        ((3840, 2160), (960, 540)),
        ((1080, 1920), (540, 960)),
        ((5000, 2), (1250, 1)),
    ],
)
def test_a_scene_has_its_shape_and_is_not_too_large(size, seen):
    pixels = decoded(Scene(picture(1, *size)).jpeg)
    assert (pixels.shape[1], pixels.shape[0]) == seen
    assert max(seen) <= LONGEST_PX


@pytest.mark.parametrize("size", [(640, 480), (1920, 1080)])
def test_a_scene_keeps_no_frame_alive(size):
    """A decoder's buffers are few."""
    image = picture(1, *size)
    scene, held = Scene(image), weakref.ref(image)
    del image
    gc.collect()
    assert held() is None
    assert decoded(scene.jpeg).std() > 20


def test_the_face_is_upright_in_the_middle_of_its_chip():
    image = KNOWN.image()
    chip = decoded(Chip(image, KNOWN.landmarks).jpeg)
    whole, _ = loose_chip(image, KNOWN.landmarks)
    assert chip.shape == (256, 256, 3)
    assert np.abs(chip.astype(int) - whole).mean() < 4
    assert chip.std() > 20, "a picture, not one shade"
