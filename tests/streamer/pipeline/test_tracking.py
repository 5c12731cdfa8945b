"""Tracks from scripted boxes: who is joined to whom, what is worth embedding, and what a slid box does."""

import numpy as np
import pytest

from streamer.pipeline.tracking import KEPT_FACES, KeptFace, Sighting, Track, Tracker, TrackingRules, iou
from tests.streamer.scripted import SIZE, Face, embedding_by, found

RULES = TrackingRules(sure_score=0.5, min_face_px=28.0, min_quality=0.15, gone_after_s=2.0, settle_s=2.0)


class Run:
    """A tracker fed frame by frame at 10 fps; `model` embeds what is worth it as the faces' looks say."""

    def __init__(self) -> None:
        self.tracker = Tracker("cam", RULES)
        self.model = "a"
        self.at_s = 0.0
        self.embedded: list[int] = []
        self.spares = False

    def frame(self, *faces: Face, size: tuple[int, int] = SIZE) -> tuple[list[Sighting], list[Track]]:
        self.at_s += 0.1
        seen = found(*faces)
        sightings, gone = self.tracker.update(seen, size, 1000.0 + self.at_s, self.at_s)
        for sighting in self.tracker.to_embed(sightings, seen, self.at_s, self.model, spares=self.spares):
            look = faces[sighting.index].look
            self.embedded.append(look)
            self.tracker.embedded(sighting, embedding_by(self.model, look), self.model)
        return sightings, gone

    def ids(self) -> set[str]:
        return {track.id for track in self.tracker.tracks}


def test_a_walking_face_is_one_track():
    run = Run()
    for step in range(30):
        run.frame(Face(x=100 + 30 * step))
    assert run.ids() == {"cam-1"}
    assert run.tracker.tracks[0].sightings == 30


def test_two_faces_that_walk_towards_each_other_and_past_keep_their_tracks():
    run = Run()
    owners: dict[int, set[str]] = {1: set(), 2: set()}
    for step in range(40):
        faces = (Face(x=100 + 20 * step, look=1), Face(x=900 - 20 * step, y=340, look=2))
        for sighting in run.frame(*faces)[0]:
            owners[faces[sighting.index].look].add(sighting.track.current().id)
    assert owners[1].isdisjoint(owners[2])
    assert len(owners[1]) == len(owners[2]) == 1


def test_a_face_that_becomes_unsure_is_followed_but_begins_nothing():
    run = Run()
    for step in range(5):
        run.frame(Face(x=100 + 5 * step))
    for step in range(5, 10):
        run.frame(Face(x=100 + 5 * step, score=0.3), Face(x=800, score=0.3))
    assert run.ids() == {"cam-1"}
    assert run.tracker.tracks[0].sightings == 10


def test_unseen_for_too_long_is_gone():
    run = Run()
    run.frame(Face(x=100))
    gone = [track for _ in range(25) for track in run.frame()[1]]
    assert [track.id for track in gone] == ["cam-1"]
    assert run.ids() == set()


def test_a_face_that_was_hidden_for_a_second_goes_on():
    run = Run()
    for step in range(5):
        run.frame(Face(x=100 + 5 * step))
    for _ in range(10):
        run.frame()
    run.frame(Face(x=150))
    assert run.ids() == {"cam-1"}


def test_somebody_who_comes_back_elsewhere_is_known_by_the_embedding():
    run = Run()
    for _ in range(5):
        run.frame(Face(x=100, look=3))
    for _ in range(5):
        run.frame()
    for _ in range(5):
        run.frame(Face(x=1000, look=3))
    assert run.ids() == {"cam-1"}


def test_a_standing_person_costs_a_few_embeddings_and_then_detection_only():
    run = Run()
    for _ in range(20):
        run.frame(Face(x=100))
    run.tracker.tracks[0].settled = True
    before = len(run.embedded)
    for _ in range(100):
        run.frame(Face(x=100))
    assert before <= 5
    assert len(run.embedded) == before


def test_a_much_better_face_of_a_settled_track_is_embedded_once():
    run = Run()
    for _ in range(10):
        run.frame(Face(x=100, quality=0.3))
    run.tracker.tracks[0].settled = True
    before = len(run.embedded)
    for _ in range(20):
        run.frame(Face(x=100, quality=0.9))
    assert len(run.embedded) == before + 1
    assert run.tracker.tracks[0].kept[0].quality == pytest.approx(0.9)


def test_while_it_is_spared_who_is_known_is_embedded_no_more_and_that_is_counted():
    run = Run()
    for _ in range(10):
        run.frame(Face(x=100, quality=0.3))
    run.tracker.tracks[0].settled = True
    before, spared = len(run.embedded), 0
    run.spares = True
    for _ in range(20):  # two seconds: it would be its turn every half second
        run.frame(Face(x=100, quality=0.9))
        spared += run.tracker.spared
    assert (len(run.embedded), spared) == (before, 4)
    run.tracker.tracks[0].doubt(run.at_s)
    run.frame(Face(x=100, quality=0.9))
    assert len(run.embedded) == before + 1, "it may be somebody else by now"
    run.spares = False
    for _ in range(20):
        run.frame(Face(x=100, quality=0.9))
    assert run.tracker.spared == 0


@pytest.mark.parametrize("face", [Face(x=100, side=20), Face(x=100, score=0.4)], ids=["too small", "too unsure"])
def test_a_face_that_cannot_help_is_never_embedded(face: Face):
    run = Run()
    for _ in range(10):
        run.frame(face)
    assert run.embedded == []


def test_many_who_come_together_take_turns_and_the_least_known_come_first():
    run = Run()
    crowd = [Face(x=100 + 120 * n, look=n) for n in range(9)]
    run.frame(*crowd)
    for _ in range(2):
        run.frame(*crowd)
    assert len(run.embedded) == 8
    assert len(set(run.embedded)) == 8  # nobody twice while somebody else waits
    for _ in range(20):
        run.frame(*crowd)
    assert set(run.embedded) == set(range(9))


def test_poor_faces_are_embedded_twice_at_most():
    run = Run()
    for _ in range(50):
        run.frame(Face(x=100, quality=0.1))
    assert run.embedded == [1, 1]


def test_a_box_that_slides_onto_another_person_becomes_another_track():
    run = Run()
    for _ in range(10):
        run.frame(Face(x=100, look=1))
    for _ in range(10):
        run.frame(Face(x=105, look=2))
    holders = {track.id: track for track in run.tracker.tracks}
    assert set(holders) == {"cam-1", "cam-2"}
    assert all(face.embedding @ embedding_by("a", 1) > 0.99 for face in holders["cam-1"].kept)
    assert all(face.embedding @ embedding_by("a", 2) > 0.99 for face in holders["cam-2"].kept)
    # Where the first was seen last: its visit may yet be told of.
    assert holders["cam-1"].box == pytest.approx(Face(x=105).box)


def test_a_poor_face_too_tells_that_the_box_slid_onto_another_person():
    run = Run()
    for _ in range(10):
        run.frame(Face(x=100, look=1))
    for _ in range(10):
        run.frame(Face(x=105, look=2, quality=0.05))
    assert run.ids() == {"cam-1", "cam-2"}


def test_an_older_face_does_not_clear_a_later_doubt():
    run = Run()
    for _ in range(5):
        run.frame(Face(x=100, look=1))
    track = run.tracker.tracks[0]
    before = Sighting(track, 0, track.box, 0.9, run.at_s)
    track.pending += 1  # the face of the frame before is still being embedded
    seen = found(Face(x=105, look=2))
    sightings, _ = run.tracker.update(seen, SIZE, 1.0, run.at_s + 0.1)
    (worth,) = run.tracker.to_embed(sightings, seen, run.at_s + 0.1, "a")
    assert run.tracker.embedded(before, embedding_by("a", 1), "a") is track
    assert track.suspect
    assert run.tracker.embedded(worth, embedding_by("a", 2), "a") is not track


def test_an_embedding_that_never_comes_is_asked_for_again():
    run = Run()
    seen = found(Face(x=100))
    for at_s in (0.1, 0.2):
        sightings, _ = run.tracker.update(seen, SIZE, at_s, at_s)
    worth = run.tracker.to_embed(sightings, seen, 0.2, "a")
    run.tracker.abandoned(worth)
    assert len(worth) == 1
    sightings, _ = run.tracker.update(seen, SIZE, 0.3, 0.3)
    assert len(run.tracker.to_embed(sightings, seen, 0.3, "a")) == 1


def test_a_face_of_a_track_that_has_ended_brings_nothing_back():
    run = Run()
    seen = found(Face(x=100))
    for at_s in (0.1, 0.2):
        sightings, _ = run.tracker.update(seen, SIZE, at_s, at_s)
    (worth,) = run.tracker.to_embed(sightings, seen, 0.2, "a")
    run.tracker.clear()
    owner = run.tracker.embedded(worth, embedding_by("a", 1), "a")
    assert owner.kept == []
    assert run.tracker.tracks == []


def test_a_change_of_frame_size_ends_every_track():
    run = Run()
    run.frame(Face(x=100))
    _, gone = run.frame(Face(x=100), size=(640, 360))
    assert [track.id for track in gone] == ["cam-1"]
    assert run.ids() == {"cam-2"}


def test_undecided_tracks_and_a_changed_gallery_are_judged_again():
    run = Run()
    for _ in range(5):
        run.frame(Face(x=100))
    track = run.tracker.tracks[0]
    assert run.tracker.due(run.at_s, 0) == []
    assert run.tracker.due(run.at_s, 1) == [track]
    assert run.tracker.due(run.at_s, 1) == []
    track.last_seen_s = run.at_s + 2.0
    assert run.tracker.due(run.at_s + 2.0, 1) == [track]
    assert run.tracker.due(run.at_s + 2.1, 1) == []  # out of view: nothing new is known of it


def settled_run(*faces: Face) -> Run:
    """Ten frames of these faces by model a, after which each is settled; then model b serves."""
    run = Run()
    for _ in range(10):
        run.frame(*faces)
    for track in run.tracker.tracks:
        track.settled = True
    run.embedded, run.model = [], "b"
    return run


def models_of(track: Track) -> list[str]:
    return sorted(face.model for face in track.kept)


def test_after_a_switch_a_settled_track_costs_one_embedding_more():
    run = settled_run(Face(x=100, look=1))
    (track,) = run.tracker.tracks
    before = models_of(track)
    for _ in range(50):
        run.frame(Face(x=100, look=1))
    assert run.embedded == [1]
    assert models_of(track) == [*before, "b"]
    assert not track.unproven


def test_after_a_switch_a_box_that_slides_onto_another_person_still_becomes_another_track():
    run = settled_run(Face(x=100, look=1))
    run.frame(Face(x=100, look=1))
    for _ in range(10):
        run.frame(Face(x=105, look=2))
    holders = {track.id: track for track in run.tracker.tracks}
    assert set(holders) == {"cam-1", "cam-2"}
    assert set(models_of(holders["cam-2"])) == {"b"}


def test_a_box_that_slides_with_the_switch_gets_faces_until_the_new_ones_decide():
    run = settled_run(Face(x=100, look=1))
    (track,) = run.tracker.tracks
    old = models_of(track).count("a")
    for _ in range(30):
        run.frame(Face(x=105, look=2))
    assert run.ids() == {"cam-1"}  # faces of two models can't contradict each other
    assert models_of(track).count("b") == old > 2
    assert not track.unproven


def test_a_first_face_of_the_new_model_from_before_the_doubt_is_one_to_hold_later_ones_against():
    run = settled_run(Face(x=100, look=1))
    (track,) = run.tracker.tracks
    before = Sighting(track, 0, track.box, 0.8, run.at_s)
    track.pending += 1  # the face of the frame before is still being embedded
    track.doubt(run.at_s + 0.1)
    run.tracker.embedded(before, embedding_by("b", 1), "b")
    assert (track.suspect, track.unproven) == (True, False)
    for _ in range(3):
        run.frame(Face(x=105, look=2))
    assert len(run.ids()) == 2


def test_poor_faces_do_not_decide_after_a_switch():
    run = settled_run(Face(x=100, look=1))
    (track,) = run.tracker.tracks
    old = models_of(track).count("a")
    for _ in range(40):
        run.frame(Face(x=105, look=2, quality=0.1))
    assert track.unproven
    for _ in range(40):
        run.frame(Face(x=105, look=2))
    assert sum(face.model == "b" and face.quality > 0.5 for face in track.kept) == old
    assert not track.unproven


@pytest.mark.parametrize(("model", "tracks"), [("a", {"cam-1"}), ("b", {"cam-2"})])
def test_who_comes_back_is_known_by_faces_of_the_same_model_alone(model: str, tracks: set[str]):
    run = settled_run(Face(x=100, look=3))
    run.model = model
    for _ in range(5):
        run.frame()
    for _ in range(5):
        run.frame(Face(x=1000, look=3))
    assert {track.id for track in run.tracker.tracks if track.last_seen_s == run.at_s} == tracks


def test_the_best_faces_of_each_model_are_kept():
    run = settled_run(Face(x=100))
    (track,) = run.tracker.tracks
    track.kept.clear()
    for number in range(20):
        track.keep(KeptFace(embedding_by("a", 1), 0.9 + number / 1000, "a"))
        track.keep(KeptFace(embedding_by("b", 1), 0.1 + number / 1000, "b"))
    assert models_of(track) == ["a"] * KEPT_FACES + ["b"] * KEPT_FACES
    best = [face.quality for face in track.kept]
    assert best == sorted(best, reverse=True)
    assert best[0] == pytest.approx(0.919)
    assert best[KEPT_FACES] == pytest.approx(0.119)


def test_iou_of_known_boxes():
    a = np.array([[0, 0, 10, 10]], np.float32)
    b = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]], np.float32)
    assert iou(a, b)[0] == pytest.approx([1.0, 1 / 3, 0.0])
