"""What each published family is fed, worked out by hand: a known picture in, the numbers of the tensor out."""

import numpy as np
import pytest
from pydantic import ValidationError

from recognition import embed
from recognition.align import ARCFACE_TEMPLATE, face_boxes, facenet_crops
from recognition.architectures import find_architecture
from recognition.checks.portraits import read_portraits
from recognition.image import ArrayImage
from recognition.specs.spec import EmbedderSpec
from recognition.zoo.convert import spec_for

# A colour of which no two channels are alike.
BLUE, GREEN, RED = 0, 51, 255


def spec_of(name: str) -> EmbedderSpec:
    return spec_for(find_architecture(name), name, f"{name}.1", "0" * 64, "nowhere")


def tensor_of(spec: EmbedderSpec, pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    (tensor,) = embed.prepare(spec, embed.crops(spec, ArrayImage(pixels), landmarks[None].astype(np.float32)))
    return tensor


def on_the_template() -> np.ndarray:
    """A black picture whose crop is the picture itself, one pixel of it coloured: row 10, column 20."""
    pixels = np.zeros((112, 112, 3), np.uint8)
    pixels[10, 20] = (BLUE, GREEN, RED)
    return pixels


def test_adaface_gets_blue_first():
    tensor = tensor_of(spec_of("adaface_ir101"), on_the_template(), ARCFACE_TEMPLATE)
    assert tensor.shape == (3, 112, 112)
    # (0 - 127.5) / 127.5 = -1;  (51 - 127.5) / 127.5 = -76.5 / 127.5 = -0.6;  (255 - 127.5) / 127.5 = 1
    np.testing.assert_allclose(tensor[:, 10, 20], [-1.0, -0.6, 1.0], atol=1e-6)
    np.testing.assert_allclose(tensor[:, 50, 50], [-1.0, -1.0, -1.0])


def test_arcface_gets_red_first():
    tensor = tensor_of(spec_of("arcface_r100"), on_the_template(), ARCFACE_TEMPLATE)
    assert tensor.shape == (3, 112, 112)
    np.testing.assert_allclose(tensor[:, 10, 20], [1.0, -0.6, -1.0], atol=1e-6)


def test_facenet_gets_red_first_of_the_upright_box_with_its_margin():
    """The face is twice as large as on the template, so its box is 2 * (55.7 +- 40.2) by 2 * (64.5 +- 55.75).

    That is 31.0 to 191.8 by 17.5 to 240.5. A margin of 14 of 160 px is 160.8 * 14 / 146 = 15.4 px of 160.8, and
    223 * 14 / 146 = 21.4 px of 223; half of it on each side gives 23.3 to 199.5 by 6.8 to 251.2, and the whole pixels
    below these 23 to 199 by 6 to 251: 176 by 245 px, which become 160 by 160.
    """
    pixels = np.zeros((300, 300, 3), np.uint8)
    # The middle of the crop is at 23 + 88 = 111 px across; at 6 + 98 = 104 px down 98 * 160 / 245 = 64 rows are above.
    pixels[6:104, 23:111] = (BLUE, GREEN, RED)
    tensor = tensor_of(spec_of("facenet_vggface2"), pixels, 2 * ARCFACE_TEMPLATE)
    assert tensor.shape == (3, 160, 160)
    # (255 - 127.5) / 128 = 0.99609375;  (51 - 127.5) / 128 = -0.59765625;  (0 - 127.5) / 128 = -0.99609375
    coloured, black = [0.99609375, -0.59765625, -0.99609375], [-0.99609375] * 3
    for row, column in ((0, 0), (63, 79), (0, 79), (63, 0)):
        np.testing.assert_allclose(tensor[:, row, column], coloured, atol=1e-6)
    for row, column in ((64, 79), (63, 80), (159, 159), (159, 0), (0, 159)):
        np.testing.assert_allclose(tensor[:, row, column], black, atol=1e-6)


def test_a_box_from_landmarks_is_where_a_detector_has_the_face():
    for portrait in read_portraits():
        (box,) = face_boxes(portrait.landmarks[None])
        width, height = np.minimum(box[2:], portrait.box[2:]) - np.maximum(box[:2], portrait.box[:2])
        areas = [np.prod(one[2:] - one[:2]) for one in (box, portrait.box)]
        assert width * height / (sum(areas) - width * height) > 0.75, portrait.file.name


def test_a_turned_picture_has_its_box_around_the_same_face_and_upright():
    landmarks = read_portraits()[0].landmarks
    (box,) = face_boxes(landmarks[None])
    # A quarter turn about the origin: (x, y) becomes (-y, x).
    (turned,) = face_boxes((landmarks @ [[0, 1], [-1, 0]])[None].astype(np.float32))
    middle = (box[:2] + box[2:]) / 2
    np.testing.assert_allclose((turned[:2] + turned[2:]) / 2, [-middle[1], middle[0]], atol=1e-3)
    np.testing.assert_allclose(turned[2:] - turned[:2], box[2:] - box[:2], atol=1e-3)


def test_faces_at_the_edge_beyond_it_and_of_no_size_have_a_crop():
    image = ArrayImage(np.full((60, 80, 3), 9, np.uint8))
    faces = np.stack([ARCFACE_TEMPLATE - 60, ARCFACE_TEMPLATE + 900, ARCFACE_TEMPLATE * 0 + 5, ARCFACE_TEMPLATE * 0.01])
    crops = facenet_crops(image, faces)
    assert crops.shape == (4, 160, 160, 3)
    assert (crops == 9).all(), "nothing but the image itself is in a crop"
    assert facenet_crops(image, faces[:0]).shape == (0, 160, 160, 3)


def test_todays_specs_are_of_the_arcface_crop_and_have_no_norm():
    """What a spec does not say is as it was before there were families."""
    tree = spec_of("arcface_r18").model_dump(mode="json", exclude={"crop", "feature_norm"})
    spec = EmbedderSpec.model_validate(tree)
    assert (spec.crop, spec.feature_norm) == ("arcface", False)
    with pytest.raises(ValidationError, match="crop"):
        EmbedderSpec.model_validate(tree | {"crop": "square"})


def test_the_norm_is_the_second_output_of_those_that_have_one():
    outputs = [[np.full((1, 512), 2, np.float32), np.array([[21.5]], np.float32)]] * 2
    assert embed.norms(spec_of("adaface_ir18"), outputs).tolist() == [21.5, 21.5]
    assert embed.norms(spec_of("arcface_r18"), outputs) is None
