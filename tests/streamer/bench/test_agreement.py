"""How agreement with the peer is counted, on faces made up for it."""

import numpy as np
import pytest

from streamer.bench.agreement import SeenFace, agreement, nearest, people_of
from streamer.errors import BenchFailed
from tests.streamer.scripted import unit


def noisy(seed: int, number: int) -> np.ndarray:
    vector = unit(seed) + 0.5 * unit(1000 * seed + number)
    return vector / np.linalg.norm(vector)


def test_people_are_grouped_and_two_faces_of_one_frame_are_two_people():
    frames = np.repeat(np.arange(10), 3)
    embeddings = np.stack([noisy(seed, n) for n in range(10) for seed in (1, 2, 1)]).astype(np.float32)
    people = people_of(embeddings, frames)
    assert len(people) == 3  # the third face looks like the first, but stands beside it
    assert all(len(templates) == 5 for templates in people)


def test_who_is_seen_too_seldom_is_nobody():
    embeddings = np.stack([noisy(1, n) for n in range(4)]).astype(np.float32)
    assert people_of(embeddings, np.arange(4)) == []


def test_nearest_is_the_person_with_the_most_similar_template():
    people = [np.stack([unit(1), unit(2)]), unit(3)[None]]
    who, similarity = nearest(np.stack([unit(2), unit(3)]), people)
    assert who.tolist() == [0, 1]
    assert similarity == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize(
    ("ours", "share"),
    [
        ([SeenFace(0, np.array([0, 0, 10, 10], np.float32), 1)], 1.0),
        ([SeenFace(0, np.array([0, 0, 10, 10], np.float32), 2)], 0.0),
        ([SeenFace(0, np.array([0, 0, 10, 10], np.float32), None)], 0.0),
        ([SeenFace(0, np.array([8, 0, 18, 10], np.float32), 1)], 0.0),
        ([SeenFace(1, np.array([0, 0, 10, 10], np.float32), 1)], 0.0),
        ([], 0.0),
    ],
    ids=["same", "another person", "nobody", "another box", "another frame", "no face"],
)
def test_a_face_of_the_peer_needs_our_track_there(ours, share):
    boxes = np.array([[0, 0, 10, 10]], np.float32)
    got = agreement(np.array([0]), boxes, np.array([1]), np.array([0.5], np.float32), 0.347, ours)
    assert got == share


def test_faces_under_the_threshold_are_not_asked_about_and_without_others_there_is_no_share():
    boxes = np.zeros((2, 4), np.float32)
    similarities = np.array([0.2, 0.3], np.float32)
    with pytest.raises(BenchFailed, match="none of the peer's 2 faces"):
        agreement(np.array([0, 0]), boxes, np.array([0, 1]), similarities, 0.347, [])
