import numpy as np

from recognition.training.scenes import LEAST_PX, Scene, arrange, compose, mirrored
from tests.recognition.training.marked import BOX, marked_photo

PHOTOS = [marked_photo(shade) for shade in (60, 128, 200)]
SCENES = [arrange(PHOTOS, 256, np.random.default_rng(seed)) for seed in range(80)]
EYES, NOSE, MOUTH = slice(0, 2), slice(2, 3), slice(3, 5)


def share_coloured(scenes: list[Scene], points: slice, channel: int) -> float:
    """Of the landmarks that lie well within their picture, how many have the colour that they should have."""
    hits = []
    for scene in scenes:
        side = scene.picture.shape[0]
        for box, landmarks in zip(scene.boxes, scene.landmarks, strict=True):
            for x, y in landmarks[points]:
                if box[3] - box[1] > 25 and 1 <= x < side - 1 and 1 <= y < side - 1:
                    colour = scene.picture[round(float(y)), round(float(x))].astype(int)
                    hits.append(colour[channel] > 60 + np.delete(colour, channel).max())
    assert len(hits) > 50
    return float(np.mean(hits))


def test_the_truth_lies_where_the_pixels_say():
    # The rest hides behind covers and other faces.
    assert share_coloured(SCENES, EYES, 0) > 0.8
    assert share_coloured(SCENES, NOSE, 1) > 0.8
    assert share_coloured(SCENES, MOUTH, 2) > 0.8


def test_left_stays_left_when_a_face_is_mirrored():
    landmarks = np.concatenate([scene.landmarks for scene in SCENES])
    upright = np.abs(landmarks[:, 0, 1] - landmarks[:, 1, 1]) < np.abs(landmarks[:, 0, 0] - landmarks[:, 1, 0]) / 2
    assert upright.sum() > 100
    assert (landmarks[upright, 0, 0] < landmarks[upright, 1, 0]).all()
    assert (landmarks[upright, 3, 0] < landmarks[upright, 4, 0]).all()


def test_a_mirrored_scene_has_its_truth_mirrored():
    turned = [mirrored(scene) for scene in SCENES]
    assert share_coloured(turned, NOSE, 1) > 0.8
    back = mirrored(turned[0])
    np.testing.assert_array_equal(back.picture, SCENES[0].picture)
    np.testing.assert_allclose(back.boxes, SCENES[0].boxes, atol=1e-4)
    np.testing.assert_allclose(back.landmarks, SCENES[0].landmarks, atol=1e-4)


def test_the_same_generator_gives_the_same_scene():
    one, two = (compose(PHOTOS, 128, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(one.picture, two.picture)
    np.testing.assert_array_equal(one.boxes, two.boxes)


def test_faces_come_in_all_sizes_and_cut_off():
    boxes = np.concatenate([scene.boxes for scene in SCENES])
    heights = boxes[:, 3] - boxes[:, 1]
    assert heights.min() >= LEAST_PX
    assert heights.min() < 12
    assert heights.max() > 180
    assert ((boxes < 0) | (boxes > 256)).any()
    assert any(len(scene.boxes) == 0 for scene in SCENES)


def test_what_the_teacher_doubts_stays_doubtful():
    photo = marked_photo(128, BOX + np.float32(20))
    scenes = [arrange([photo], 256, np.random.default_rng(seed)) for seed in range(10)]
    assert sum(len(scene.doubtful) for scene in scenes) >= sum(len(scene.boxes) for scene in scenes) > 0
