"""The bundled portraits hold: every known model passes on them, and models spoilt on purpose do not."""

import base64

import cv2
import numpy as np
import pytest

from recognition.checks.portraits import check_portraits, looks, make_sample, read_portraits
from recognition.errors import SelfTestFailed, SpecInvalid
from recognition.specs.files import bundled, load_specs
from recognition.specs.spec import EmbedderSpec

SPECS = load_specs()


class Spoilt:
    """A runner whose answers are changed on their way out, or its pixels on their way in."""

    device = "cpu"

    def __init__(self, runner, *, answer=lambda outputs: outputs, pixels=lambda batch: batch):
        self.runner, self.answer, self.pixels = runner, answer, pixels

    def run(self, batch):
        return self.answer(self.runner.run(self.pixels(batch)))

    def close(self):
        pass


def test_one_known_person_and_four_strangers_or_more_small_enough_for_git():
    portraits = read_portraits()
    assert [portrait.name for portrait in portraits if portrait.name] == ["Eileen Collins"]
    strangers = [portrait for portrait in portraits if portrait.name is None]
    assert len(strangers) >= 4
    assert sum(portrait.file.stat().st_size for portrait in strangers) < 150_000
    assert {file.name for file in bundled("faces").glob("*.jpg")} == {portrait.file.name for portrait in portraits}


def test_landmarks_follow_every_look():
    """Each look shows the same face: its pixels at the landmarks are those of the portrait, dark ones darker."""
    known = read_portraits()[0]

    def at(pixels, landmarks, blur_px=3.0):
        blurred = cv2.GaussianBlur(pixels, (0, 0), blur_px)
        return np.array([blurred[round(float(y)), round(float(x))] for x, y in landmarks], np.float64)

    here = at(known.image().bgr(), known.landmarks)
    mirrored, half, dark = looks(known)
    np.testing.assert_allclose(at(mirrored.image.bgr(), mirrored.landmarks[[1, 0, 2, 4, 3]]), here, atol=12)
    np.testing.assert_allclose(at(half.image.bgr(), half.landmarks, 1.5), here, atol=25)
    np.testing.assert_allclose(at(dark.image.bgr(), dark.landmarks), here * 0.4, atol=3)


HERE = [name for name, spec in SPECS.items() if spec.weights_digest]
EMBEDDERS = [name for name in HERE if isinstance(SPECS[name], EmbedderSpec)]
UNSAMPLED = SPECS["nano_embed"].model_copy(update={"sample": None})


@pytest.mark.parametrize("name", HERE)
def test_every_model_passes(runners, name):
    assert check_portraits(SPECS[name], runners(name))


@pytest.mark.parametrize("name", EMBEDDERS)
def test_every_embedder_has_the_sample_that_it_makes(runners, name):
    spec = SPECS[name]
    stored, fresh = (
        np.frombuffer(base64.b64decode(text), "<f2").astype(np.float64)
        for text in (spec.sample, make_sample(spec, runners(name)))
    )
    assert stored @ fresh > 0.999
    assert check_portraits(spec, runners(name)).startswith("sample ")


@pytest.mark.parametrize("name", EMBEDDERS)
def test_swapped_colours_fail_the_sample(runners, name):
    swapped = Spoilt(runners(name), pixels=lambda batch: np.ascontiguousarray(batch[:, ::-1]))
    with pytest.raises(SelfTestFailed, match=r"its embedding of the sample portrait is not the one in its spec"):
        check_portraits(SPECS[name], swapped)


def test_a_sample_of_another_size(runners):
    spec = SPECS["nano_embed"].model_copy(update={"sample": SPECS["edgeface_xxs"].sample})
    with pytest.raises(SelfTestFailed, match="sample: has 512 numbers, want 256"):
        check_portraits(spec, runners("nano_embed"))


def test_without_a_sample_that_is_said(runners):
    assert check_portraits(UNSAMPLED, runners("nano_embed")).startswith("no sample in its spec, one person")


def test_an_embedder_to_whom_everybody_is_one(runners):
    spoilt = Spoilt(runners("nano_embed"), answer=lambda outputs: [np.ones_like(outputs[0])])
    with pytest.raises(SelfTestFailed, match=r"two people, for one \(cosine 1\.000"):
        check_portraits(UNSAMPLED, spoilt)


def test_an_embedder_that_knows_nobody_again(runners):
    numbers = np.random.default_rng(5)
    spoilt = Spoilt(
        runners("nano_embed"), answer=lambda outputs: [numbers.standard_normal(outputs[0].shape).astype(np.float32)]
    )
    with pytest.raises(SelfTestFailed, match=r"does not know eileen_collins\.jpg when it is mirrored"):
        check_portraits(UNSAMPLED, spoilt)


def test_an_embedder_whose_pixels_are_scaled_wrongly(runners):
    """As with a spec whose mean and std are another model's."""
    spoilt = Spoilt(runners("mobileface_v2"), pixels=lambda batch: (batch - 127.5) / 127.5)
    with pytest.raises(SelfTestFailed, match="two people, for one"):
        check_portraits(SPECS["mobileface_v2"].model_copy(update={"sample": None}), spoilt)


def test_a_detector_that_sees_nothing(runners):
    spoilt = Spoilt(runners("nano_det"), pixels=np.zeros_like)
    with pytest.raises(SelfTestFailed, match=r"finds 0 faces in eileen_collins\.jpg"):
        check_portraits(SPECS["nano_det"], spoilt)


def test_a_detector_that_sees_faces_where_none_are(runners):
    spec = SPECS["nano_det"]
    eager = spec.model_copy(update={"thresholds": spec.thresholds.model_copy(update={"score": 0.0})})
    with pytest.raises(SelfTestFailed, match="which shows one"):
        check_portraits(eager, runners("nano_det"))


@pytest.mark.parametrize("text", [None, "- [", "- {file: a.jpg}", "- {file: ../a.jpg, name: null}"])
def test_a_broken_index(tmp_path, text):
    if text is not None:
        (tmp_path / "faces.yaml").write_text(text)
    with pytest.raises(SpecInvalid, match=r"faces\.yaml: missing or broken"):
        read_portraits(tmp_path)
