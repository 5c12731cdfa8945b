import numpy as np
import pytest

from recognition import second_look
from recognition.faces import Detections
from recognition.image import ArrayImage
from recognition.quarter_turns import turned
from recognition.recogniser import RecogniserConfig, open_recogniser
from recognition.specs.files import load_specs
from tests.faces import EVERYBODY

# Those but the first skip without ../shared; the largest shows what its smaller sister does.
DETECTORS = ["nano_det", "scrfd_500m", "yunet_n", pytest.param("scrfd_2.5g", marks=pytest.mark.thorough)]
MARKS = np.array([[38, 52], [74, 52], [56, 72], [42, 92], [71, 92]], np.float32)


def detections(*scores: float) -> Detections:
    n = len(scores)
    return Detections(np.zeros((n, 4), np.float32), np.array(scores, np.float32), np.repeat(MARKS[None], n, axis=0))


@pytest.mark.parametrize(
    ("score", "looks", "turn"),
    [
        (0.95, (0.95, 0.60, 0.88, 0.60), 0),
        (0.95, (0.95, 0.60, 0.94, 0.60), 0),  # a lead that is small, of a score that is near its end
        (0.95, (0.85, 0.60, 0.84, 0.60), None),  # the same lead where there is room above it
        (0.60, (0.85, 0.60, 0.80, 0.60), None),  # who was hardly found has to lead by more
        (0.95, (0.85, 0.60, 0.80, 0.60), 0),
        (0.89, (0.86, 0.26, 0.95, 0.47), 180),
        (0.80, (0.38, 0.96, 0.38, 0.87), 90),
        (0.80, (0.38, 0.87, 0.38, 0.96), 270),
        (0.95, (0.45, 0.0, 0.1, 0.0), None),  # not found again
        (0.95, (0.0, 0.0, 0.0, 0.0), None),
    ],
)
def test_which_way_up(score: float, looks: tuple[float, ...], turn: float | None) -> None:
    found = detections(score)
    said = second_look.judged(found, np.array([looks], np.float32), found.landmarks, 0.5).turn
    np.testing.assert_array_equal(said, [np.nan if turn is None else turn])


@pytest.mark.parametrize("least_score", [0.02, 0.3, 0.5, 0.6, 0.9])
@pytest.mark.parametrize("score", [0.1, 0.5, 0.6, 0.8, 0.95, 0.999])
def test_fainter_looks_tell_nothing(score: float, least_score: float) -> None:
    found = detections(*[score] * 4000)
    faint = second_look.least_that_tells(found, least_score)
    rng = np.random.default_rng(7)
    looks = rng.random((4000, 4), np.float32)
    looks[1000:] = np.clip(faint + rng.normal(0, 0.1, (3000, 4)), 0, 1)
    looks[2000:, 0] = np.float32(least_score)
    looks[looks < 0.02] = 0.0  # no look sees less
    said = second_look.judged(found, looks, found.landmarks, least_score).turn
    heard = second_look.judged(found, np.where(looks < faint, np.float32(0), looks), found.landmarks, least_score).turn
    np.testing.assert_array_equal(heard, said)
    assert 0.02 <= faint <= least_score
    assert ((looks > 0) & (looks < faint)).any() == (faint > 0.02)


def test_only_tilted_heads_get_other_landmarks() -> None:
    found = detections(0.95, 0.95)
    cos, sin = np.cos(np.radians(40)), np.sin(np.radians(40))
    middle = MARKS.mean(axis=0)
    tilted = ((MARKS - middle) @ np.array([[cos, sin], [-sin, cos]]) + middle).astype(np.float32)
    seen = np.stack((MARKS + np.float32(3), tilted))
    looks = np.array([[0.95, 0, 0.5, 0]] * 2, np.float32)
    said = second_look.judged(found, looks, seen, 0.5)
    np.testing.assert_array_equal(said.landmarks[0], MARKS)
    np.testing.assert_array_equal(said.landmarks[1], tilted)


@pytest.mark.parametrize("size", [(640, 640), (320, 320), (640, 384), (160, 160)])
def test_as_many_faces_as_fit_and_each_where_it_belongs(size: tuple[int, int], six, find) -> None:
    spec = load_specs()["nano_det"]
    spec = spec.model_copy(update={"input": spec.input.model_copy(update={"size": size})})
    some = find(six, "nano_det").landmarks[: second_look.at_once(spec)]
    prepared = second_look.prepare(spec, six, some, trim=False)
    assert prepared.tensor.shape == (3, size[1], size[0])
    assert 1 <= len(some) <= second_look.at_once(spec)
    assert prepared.tensor.reshape(3, -1).any(axis=1).all()


@pytest.mark.parametrize("detector", DETECTORS)
async def test_photos_whatever_way_they_lie(detector: str, folders) -> None:
    """Faces are found where they are, in the pixels of the photo as it is, and stand upright once aligned."""
    config = RecogniserConfig(detector, "nano_embed", tuple(folders(detector)), device="cpu", cpu_threads=2, runners=1)
    async with open_recogniser(config) as recogniser:
        for portrait in EVERYBODY:
            image = portrait.image()
            upright = await recogniser.detect(image, "photo")
            (face,) = (await recogniser.embed(image, upright.detections.landmarks, "photo")).embeddings
            assert upright.quality.turn.tolist() == [0]
            for quarters in (1, 2, 3):
                lying = turned(image, quarters)
                found = await recogniser.detect(lying, "photo")
                assert found.quality.turn.tolist() == [0]
                assert abs(float(found.quality.roll[0])) < 25
                other = await recogniser.embed(lying, found.detections.landmarks, "photo")
                assert float(other.embeddings[0] @ face) > 0.95


@pytest.mark.parametrize("detector", DETECTORS)
async def test_a_camera_that_hangs_upside_down_names_nobody(detector: str, folders) -> None:
    config = RecogniserConfig(detector, "nano_embed", tuple(folders(detector)), device="cpu", cpu_threads=2, runners=1)
    async with open_recogniser(config) as recogniser:
        for portrait in EVERYBODY:
            image = turned(portrait.image(), 2)
            found = (await recogniser.glance(image, "door")).detections
            looked = await recogniser.look(image, found, "door")
            assert not (looked.turn == 0).any()


async def test_the_face_of_a_neighbour_confirms_nothing(six) -> None:
    """Landmarks beside a face, as of a false alarm on hair and neck: the tile shows the face, but not where it was."""
    config = RecogniserConfig("nano_det", "nano_embed", (), device="cpu", cpu_threads=2, runners=1)
    async with open_recogniser(config) as recogniser:
        found = (await recogniser.glance(six, "door")).detections
        assert (await recogniser.look(six, found, "door")).turn.tolist() == [0] * 6
        heights = (found.boxes[:, 3] - found.boxes[:, 1])[:, None]
        for x, y in ((0.25, 0.25), (-0.3, 0.2), (0.0, 0.35)):
            shift = np.float32((x, y)) * heights
            beside = Detections(found.boxes, found.scores, found.landmarks + shift[:, None])
            assert not (await recogniser.look(six, beside, "door")).turn.tolist().count(0)


async def test_nobody_to_look_at() -> None:
    config = RecogniserConfig("nano_det", "nano_embed", (), device="cpu", cpu_threads=2, runners=1)
    async with open_recogniser(config) as recogniser:
        looked = await recogniser.look(ArrayImage(np.zeros((90, 90, 3), np.uint8)), detections(), "door")
    assert looked.turn.shape == (0,)
    assert looked.landmarks.shape == (0, 5, 2)
