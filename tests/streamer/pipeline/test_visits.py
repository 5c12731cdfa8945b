"""The lifecycle of an identity event, as a table of what the gallery says and what is told."""

import numpy as np
import pytest

from gallery.matching.decide import NOBODY, Match
from streamer.events.event import Due, LatencyMs, Models
from streamer.pipeline.tracking import KeptFace, Track
from streamer.pipeline.visits import Moment, Verdict, Visits, unnamed
from streamer.settings import EventsSettings
from tests.streamer.scripted import unit

ADA, BOB = "p" + "a" * 12, "p" + "b" * 12
RULES = EventsSettings(faces_to_name=2, faces_to_settle=3, settle_s=2.0, surer_by=0.1)


class Scene:
    """One camera's visits and one track, seen ten times a second."""

    def __init__(self) -> None:
        names = iter(f"{number:026d}" for number in range(100))
        self.visits = Visits("door", RULES, 0.15, new_id=lambda: next(names))
        self.track = Track(
            id="door-1",
            box=np.array([-5, 10, 110, 120], np.float32),
            score=0.9,
            last_seen_at=1000.0,
            first_seen_s=0.0,
            last_seen_s=0.0,
            thumb=unit(1, 256),
        )

    def see(
        self, match: Match, *, faces: int, at_s: float = 0.3, quality: float = 0.8, model: str = "e", space: str = "e.1"
    ) -> list[Due]:
        track = self.track
        voters = [KeptFace(unit(1), quality, model)] * faces
        track.kept = [*voters, KeptFace(unit(1), 0.99, "another")]
        track.sightings = max(3, track.sightings)
        track.last_seen_s, track.last_seen_at = at_s, 1000.0 + at_s
        latency = LatencyMs(decode=1, queue=1, detect=1, embed=1, match=1)
        verdict = Verdict(match, 0.4, 0.99, models_with(model), voters, space)
        return self.visits.consider(track, verdict, Moment(1000.0 + at_s, at_s, 640, 480, latency), track.box)


def models_with(embedder: str) -> Models:
    return Models(detector="d", embedder=embedder, signature=f"d+{embedder}")


def known(person: str, similarity: float = 0.7) -> Match:
    return Match("known", person, similarity, 0.3, person)


def unknown(best: str | None = ADA, similarity: float = 0.2) -> Match:
    return Match("unknown", None, similarity, 0.1, best)


def told(due: list[Due]) -> list[tuple[str, str | None, tuple[str, ...]]]:
    return [(d.event.type, d.event.person.id if d.event.person else None, d.levels) for d in due]


def test_a_name_needs_its_faces():
    scene = Scene()
    assert scene.see(known(ADA), faces=1) == []
    (due,) = scene.see(known(ADA), faces=2)
    assert told([due]) == [("new", ADA, (ADA,))]
    event = due.event
    assert (event.seq, event.camera, event.cameras, event.track_ids) == (1, "door", ["door"], ["door-1"])
    assert event.box == (0, 10, 110, 120)  # cut to the picture
    assert (event.similarity, event.threshold, event.confidence, event.margin) == (0.7, 0.4, 0.99, 0.3)
    assert (event.quality, event.model) == (0.8, models_with("e"))  # of the faces that voted, whatever else was kept
    assert event.person is not None
    assert event.person.name is None  # joined in when it is sent
    assert scene.track.settled


def test_unknown_is_settled_by_faces_or_by_time():
    by_faces, by_time = Scene(), Scene()
    assert by_faces.see(unknown(), faces=2) == []
    assert told(by_faces.see(unknown(), faces=3)) == [("new", None, ("unknown",))]
    assert by_time.see(unknown(), faces=1, at_s=1.9) == []
    assert told(by_time.see(unknown(), faces=1, at_s=2.0)) == [("new", None, ("unknown",))]


def test_nobody_enrolled_gives_unknown_without_a_similarity():
    (due,) = Scene().see(NOBODY, faces=3)
    assert due.event.person is None
    assert due.event.similarity is None
    assert due.event.margin is None


def test_ambiguous_is_no_name():
    (due,) = Scene().see(Match("ambiguous", None, 0.7, 0.01, ADA), faces=3)
    assert told([due]) == [("new", None, ("unknown",))]


def test_poor_faces_give_no_name_and_settle_by_time_alone():
    scene = Scene()
    assert scene.see(known(ADA), faces=2, quality=0.1) == []
    assert told(scene.see(known(ADA), faces=2, quality=0.1, at_s=2.0)) == [("new", None, ("unknown",))]


def test_what_was_said_is_not_said_again():
    scene = Scene()
    scene.see(known(ADA, 0.7), faces=2)
    assert scene.see(known(ADA, 0.75), faces=3) == []
    assert scene.see(known(ADA, 0.65), faces=4) == []
    (surer,) = scene.see(known(ADA, 0.81), faces=5)
    assert told([surer]) == [("update", ADA, (ADA,))]
    assert surer.event.previous_person is None
    assert surer.event.seq == 2


def test_an_unknown_who_is_recognised_goes_to_both_topics():
    scene = Scene()
    scene.see(unknown(), faces=3)
    (due,) = scene.see(known(ADA), faces=4)
    assert told([due]) == [("update", ADA, ("unknown", ADA))]
    assert due.event.previous_person is None


def test_another_person_goes_to_both_topics_and_names_the_previous_one():
    scene = Scene()
    scene.see(known(ADA), faces=2)
    (due,) = scene.see(known(BOB), faces=3)
    assert told([due]) == [("update", BOB, (ADA, BOB))]
    assert due.event.previous_person is not None
    assert due.event.previous_person.id == ADA


def test_a_name_is_taken_back_only_when_it_falls_clearly():
    scene = Scene()
    scene.see(known(ADA), faces=2)
    assert scene.see(unknown(ADA, 0.36), faces=3) == []
    (due,) = scene.see(unknown(ADA, 0.34), faces=4)
    assert told([due]) == [("update", None, (ADA, "unknown"))]


def test_a_name_is_taken_back_at_once_when_its_person_was_forgotten():
    scene = Scene()
    scene.see(known(ADA), faces=2)
    (due,) = scene.see(unknown(BOB, 0.39), faces=2)
    assert told([due]) == [("update", None, (ADA, "unknown"))]


@pytest.mark.parametrize("reason", ["left", "camera_lost", "ended", "stopped"])
def test_the_end_is_that_of_the_last_sighting(reason):
    scene = Scene()
    scene.see(known(ADA), faces=2)
    scene.track.last_seen_at = 1042.0
    (end,) = scene.visits.close(scene.track, reason)
    assert told([end]) == [("end", ADA, (ADA,))]
    assert (end.event.seq, end.event.captured_at, end.event.end_reason) == (2, 1042.0, reason)
    assert scene.visits.close(scene.track, reason) == []


def test_a_short_visit_is_told_when_it_is_over_if_it_had_faces_enough():
    scene = Scene()
    scene.see(unknown(), faces=2)
    both = scene.visits.close(scene.track, "left")
    assert told(both) == [("new", None, ("unknown",)), ("end", None, ("unknown",))]
    glimpse = Scene()
    glimpse.see(known(ADA), faces=1)
    assert glimpse.visits.close(glimpse.track, "left") == []


def test_each_event_says_what_made_its_faces_and_the_end_repeats_the_last():
    scene = Scene()
    told = scene.see(known(ADA, 0.7), faces=2, model="e")
    told += scene.see(known(BOB, 0.6), faces=2, model="f")
    told += scene.visits.close(scene.track, "left")
    assert [due.event.model.embedder for due in told] == ["e", "f", "f"]
    assert [due.event.model.signature for due in told] == ["d+e", "d+f", "d+f"]
    assert [due.event.similarity for due in told] == [0.7, 0.6, 0.6]


def test_similarities_of_two_models_are_not_compared():
    scene = Scene()
    scene.see(known(ADA, 0.4), faces=2, model="e")
    assert scene.see(known(ADA, 0.8), faces=3, model="f") == []  # the same name, on another scale
    assert scene.see(known(ADA, 0.85), faces=4, model="f") == []
    assert scene.see(known(ADA, 0.45), faces=4, model="e") == []
    (surer,) = scene.see(known(ADA, 0.91), faces=5, model="f")
    assert told([surer]) == [("update", ADA, (ADA,))]
    assert surer.event.model == models_with("f")


def test_similarities_of_two_that_have_to_agree_are_not_compared_either():
    """Each verdict has those of the one that was least sure, now this one, now that one."""
    scene = Scene()
    scene.see(known(ADA, 0.4), faces=2, space="one.1")
    assert scene.see(known(ADA, 0.8), faces=3, space="two.1") == []
    assert scene.see(known(ADA, 0.45), faces=4, space="one.1") == []
    (surer,) = scene.see(known(ADA, 0.51), faces=5, space="one.1")
    assert told([surer]) == [("update", ADA, (ADA,))]


def test_a_stranger_has_a_similarity_though_two_models_know_no_common_nearest():
    (due,) = Scene().see(unknown(best=None, similarity=0.2), faces=3)
    assert (due.event.person, due.event.similarity, due.event.margin) == (None, 0.2, 0.1)


def test_one_face_of_a_new_model_takes_no_name_back():
    scene = Scene()
    scene.see(known(ADA), faces=2, model="e")
    assert scene.see(unknown(BOB, 0.1), faces=1, model="f") == []
    assert told(scene.see(unknown(BOB, 0.1), faces=2, model="f")) == [("update", None, (ADA, "unknown"))]


def test_sightings_are_those_of_visits_that_were_told():
    scene = Scene()
    scene.see(known(ADA), faces=1)
    assert scene.visits.sightings() == []
    scene.see(known(ADA), faces=2, at_s=1.5)
    assert scene.visits.sightings() == [("0" * 26, 1001.5, 1.5)]


@pytest.mark.parametrize("set_by_s", [0.0, 50 * 365 * 86400.0, -3600.0, 8 * 86400.0])
def test_a_clock_that_is_set_in_mid_visit_makes_it_neither_longer_nor_shorter(set_by_s):
    """The wall clock is set between the `new` at 0.5 s and the last sighting at 4 s."""
    scene = Scene()
    (new,) = scene.see(known(ADA), faces=2, at_s=0.5)
    scene.track.last_seen_s, scene.track.last_seen_at = 4.0, 1004.0 + set_by_s
    (end,) = scene.visits.close(scene.track, "left")

    assert (new.captured_s, end.captured_s) == (0.5, 4.0)
    assert new.event.captured_at - new.event.first_seen_at == pytest.approx(0.5)
    assert end.event.captured_at == 1004.0 + set_by_s
    assert end.event.captured_at - end.event.first_seen_at == pytest.approx(4.0)


def test_what_was_said_of_a_track_is_its_visits_last_event():
    scene = Scene()
    assert scene.visits.said_of(scene.track) is None
    scene.see(known(ADA), faces=1)
    assert scene.visits.said_of(scene.track) is None, "decided, and not yet told"
    (due,) = scene.see(known(ADA), faces=2)
    assert scene.visits.said_of(scene.track) == due.event
    (due,) = scene.see(known(BOB), faces=4)
    assert scene.visits.said_of(scene.track) == due.event
    assert due.event.person.id == BOB
    scene.visits.close(scene.track, "left")
    assert scene.visits.said_of(scene.track) is None


def test_who_is_forgotten_in_view_goes_on_as_unknown_with_a_message_that_names_nobody():
    scene = Scene()
    scene.see(known(ADA), faces=2)
    scene.track.last_seen_s, scene.track.last_seen_at = 0.9, 1000.9
    assert scene.visits.forget({BOB}) == []
    (due,) = scene.visits.forget({ADA, BOB})
    event = due.event
    assert told([due]) == [("update", None, ("unknown",))]
    assert (event.seq, event.previous_person) == (2, None)
    assert (event.captured_at, due.captured_s) == (1000.9, 0.9)  # as it was last seen
    assert (event.similarity, event.confidence, event.margin) == (None, None, None)
    assert ADA not in event.model_dump_json()
    assert scene.visits.forget({ADA}) == []

    assert scene.see(unknown(), faces=3, at_s=1.0) == []  # said already
    assert told(scene.see(known(BOB), faces=3, at_s=1.1)) == [("update", BOB, ("unknown", BOB))]
    (end,) = scene.visits.close(scene.track, "left")
    assert (end.event.seq, end.levels) == (4, (BOB,))


def test_who_is_forgotten_before_being_told_of_is_told_of_as_unknown():
    scene = Scene()
    assert scene.see(known(ADA), faces=1) == []
    assert scene.visits.forget({ADA}) == []
    assert scene.visits.close(scene.track, "left") == []  # too short to name anybody, or to call unknown
    scene = Scene()
    scene.track.sightings = 2
    assert scene.see(unknown(ADA, 0.3), faces=2) == []
    assert scene.visits.forget({ADA}) == []
    new, end = scene.visits.close(scene.track, "left")
    assert told([new, end]) == [("new", None, ("unknown",)), ("end", None, ("unknown",))]
    assert new.event.similarity is None, "that was how alike they were to who is forgotten"


def test_only_who_is_forgotten_is_no_more():
    scene = Scene()
    scene.see(known(BOB), faces=2)
    assert scene.visits.forget({ADA}) == []
    said = scene.visits.said_of(scene.track)
    assert said is not None
    assert (said.person.id if said.person else None, said.seq) == (BOB, 1)


@pytest.mark.parametrize(
    ("match", "left"), [(known(ADA), NOBODY), (unknown(ADA), NOBODY), (known(BOB), known(BOB)), (NOBODY, NOBODY)]
)
def test_a_verdict_on_who_is_forgotten_is_one_on_nobody(match, left):
    verdict = Verdict(match, 0.4, 0.99, models_with("e"), [])
    assert unnamed(verdict, {ADA}).match == left
    assert (unnamed(verdict, {ADA}) is verdict) == (match == left)
