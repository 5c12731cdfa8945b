"""The lifecycle of an identity event, as a table of what the gallery says and what is told."""

from collections.abc import Collection
from dataclasses import replace

import numpy as np
import pytest

from gallery.matching.decide import NOBODY, Candidate, Match
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
        self,
        match: Match,
        *,
        faces: int,
        at_s: float = 0.3,
        quality: float = 0.8,
        model: str = "e",
        space: str = "e.1",
        ignored: Collection[str] = (),
    ) -> list[Due]:
        track = self.track
        voters = [KeptFace(unit(1), quality, model)] * faces
        track.kept = [*voters, KeptFace(unit(1), 0.99, "another")]
        track.sightings = max(3, track.sightings)
        track.last_seen_s, track.last_seen_at = at_s, 1000.0 + at_s
        latency = LatencyMs(decode=1, queue=1, detect=1, embed=1, match=1)
        verdict = Verdict(match, 0.4, 0.99, models_with(model), voters, space, frozenset(ignored))
        return self.visits.consider(track, verdict, Moment(1000.0 + at_s, at_s, 640, 480, latency), track.box)


def models_with(embedder: str) -> Models:
    return Models(detector="d", embedder=embedder, signature=f"d+{embedder}")


def known(person: str, similarity: float = 0.7) -> Match:
    return Match("known", person, similarity, 0.3, person)


def unknown(best: str | None = ADA, similarity: float = 0.2) -> Match:
    return Match("unknown", None, similarity, 0.1, best)


def between(*people: str, similarity: float = 0.7) -> Match:
    near = tuple(Candidate(person, similarity - 0.01 * place) for place, person in enumerate(people))
    return Match("ambiguous", None, similarity, 0.01, people[0], near)


def decisions(due: list[Due]) -> list[tuple[str, str, list[str]]]:
    return [(d.event.type, d.event.decision, [one.id for one in d.event.candidates]) for d in due]


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


EVE = "p" + "e" * 12


def test_an_event_says_between_whom_it_is_in_doubt():
    scene = Scene()
    assert scene.see(between(ADA, BOB), faces=2) == [], "not before somebody is called unknown either"
    (due,) = scene.see(between(ADA, BOB), faces=3)
    assert told([due]) == [("new", None, ("unknown",))]
    assert decisions([due]) == [("new", "ambiguous", [ADA, BOB])]
    assert [one.similarity for one in due.event.candidates] == [0.7, 0.69]
    assert [one.name for one in due.event.candidates] == [None, None]
    assert decisions(Scene().see(known(ADA), faces=2)) == [("new", "known", [])]
    assert decisions(Scene().see(unknown(), faces=3)) == [("new", "unknown", [])]


@pytest.mark.parametrize(
    ("first", "then", "levels", "decision"),
    [
        (between(ADA, BOB), known(ADA), ("unknown", ADA), ("update", "known", [])),
        (between(ADA, BOB), known(EVE), ("unknown", EVE), ("update", "known", [])),
        (unknown(), between(ADA, BOB), ("unknown",), ("update", "ambiguous", [ADA, BOB])),
        (between(ADA, BOB), unknown(ADA, 0.34), ("unknown",), ("update", "unknown", [])),
        (between(ADA, BOB), NOBODY, ("unknown",), ("update", "unknown", [])),
        (known(ADA), between(BOB, ADA), (ADA, "unknown"), ("update", "ambiguous", [BOB, ADA])),
        (between(ADA, BOB), unknown(ADA, 0.36), None, None),  # barely under the threshold: it stays in doubt
        (between(ADA, BOB), unknown(BOB, 0.36), None, None),
        (between(ADA, BOB), between(ADA, BOB, similarity=0.95), None, None),
        (between(ADA, BOB), between(BOB, ADA, EVE), None, None),
        (between(ADA, BOB), between(EVE, ADA), ("unknown",), ("update", "ambiguous", [EVE, ADA])),
        (between(ADA, BOB), between(EVE, ADA, BOB), ("unknown",), ("update", "ambiguous", [EVE, ADA, BOB])),
        (known(ADA), between(ADA, BOB), None, None),  # a name that was given is not taken back for it
    ],
)
def test_what_becomes_of_a_doubt(first, then, levels, decision):
    scene = Scene()
    (new,) = scene.see(first, faces=3)
    due = scene.see(then, faces=4)
    if levels is None:
        assert due == []
        return
    (update,) = due
    assert (update.levels, decisions([update])) == (levels, [decision])
    assert (update.event.event_id, update.event.seq) == (new.event.event_id, 2)
    assert (update.event.previous_person is None) == (new.event.person is None)
    (end,) = scene.visits.close(scene.track, "left")
    assert decisions([end])[0][1:] == decision[1:]


@pytest.mark.parametrize(
    ("then", "decision"),
    [
        (replace(between(ADA, BOB), is_overruled=True), ("update", "ambiguous", [ADA, BOB])),
        (replace(between(ADA, EVE, similarity=0.95), is_overruled=True), ("update", "ambiguous", [ADA, EVE])),
        (replace(unknown(ADA, 0.8), is_overruled=True), ("update", "unknown", [])),
        (replace(unknown(ADA, 0.41), is_overruled=True), ("update", "unknown", [])),
    ],
)
def test_a_name_that_something_else_speaks_against_is_taken_back_however_alike(then, decision):
    scene = Scene()
    scene.see(known(ADA), faces=2)
    assert scene.see(then, faces=1) == [], "not by so few faces"
    (due,) = scene.see(then, faces=3)
    assert (due.levels, decisions([due])) == ((ADA, "unknown"), [decision])


@pytest.mark.parametrize("forgotten", [{ADA}, {BOB}, {ADA, BOB}])
def test_a_doubt_about_somebody_forgotten_is_over_at_once(forgotten):
    scene = Scene()
    scene.see(between(ADA, BOB), faces=3)
    assert scene.visits.forget({EVE}) == []
    (due,) = scene.visits.forget(forgotten)
    assert (told([due]), decisions([due])) == ([("update", None, ("unknown",))], [("update", "unknown", [])])
    assert due.event.similarity is None
    (end,) = scene.visits.close(scene.track, "left")
    assert not any(one in end.event.model_dump_json() for one in (ADA, BOB))
    verdict = Verdict(between(ADA, BOB), 0.4, None, models_with("e"), [])
    assert unnamed(verdict, forgotten).match == NOBODY


@pytest.mark.parametrize("match", [known(ADA), between(ADA, EVE), between(EVE, ADA)])
def test_of_who_is_ignored_nothing_is_told(match):
    scene = Scene()
    for faces in (1, 2, 3, 5):
        assert scene.see(match, faces=faces, at_s=faces, ignored={ADA, EVE}) == []
    assert scene.visits.sightings() == []
    assert scene.track.settled, "there is nothing to find out any more"
    best = match.best_person
    for barely in (unknown(best, 0.36), between(best, BOB), between(BOB, best)):
        assert scene.see(barely, faces=5, at_s=6, ignored={ADA, EVE}) == []
    assert scene.visits.close(scene.track, "left") == []


@pytest.mark.parametrize("match", [known(ADA), between(ADA, EVE), known(EVE)])
@pytest.mark.parametrize(
    ("then", "decision"),
    [(known(BOB), ("new", "known", [])), (unknown(), ("new", "unknown", [])), (between(BOB, ADA), None)],
)
def test_one_face_like_an_ignored_person_settles_nothing(match, then, decision):
    """Whoever it turns out to be by faces enough is told of, and one face that is all there was of a visit is not."""
    scene = Scene()
    assert scene.see(unknown(), faces=1, quality=0.1) == []
    assert scene.see(match, faces=1, ignored={ADA, EVE}) == []
    assert not scene.track.settled
    if decision is None:
        assert scene.visits.close(scene.track, "left") == []
        return
    (new,) = scene.see(then, faces=3, ignored={ADA, EVE})
    assert decisions([new]) == [decision]


@pytest.mark.parametrize("match", [known(ADA), between(ADA, EVE)])
def test_one_face_of_an_ignored_person_who_stands_there_is_enough(match):
    scene = Scene()
    assert scene.see(match, faces=1, at_s=1.9, ignored={ADA, EVE}) == []
    assert not scene.track.settled
    assert scene.see(match, faces=1, at_s=2.0, ignored={ADA, EVE}) == []
    assert scene.track.settled
    assert scene.visits.close(scene.track, "left") == []


@pytest.mark.parametrize("before", [unknown(), between(ADA, BOB), known(BOB), known(ADA)])
def test_who_turns_out_to_be_ignored_is_over_and_no_more_is_told(before):
    scene = Scene()
    (new,) = scene.see(before, faces=3)
    (end,) = scene.see(known(ADA), faces=4, ignored={ADA})
    assert (end.event.type, end.event.end_reason, end.event.seq) == ("end", "left", 2)
    assert (end.event.event_id, end.event.person) == (new.event.event_id, new.event.person)
    assert scene.see(known(ADA), faces=5, ignored={ADA}) == []
    assert scene.visits.close(scene.track, "left") == []


@pytest.mark.parametrize(
    ("then", "ignored", "decision"),
    [
        (known(ADA), (), ("new", "known", [])),  # not ignored any more
        (known(BOB), (ADA,), ("new", "known", [])),
        (unknown(ADA, 0.34), (ADA,), ("new", "unknown", [])),
        (between(BOB, EVE), (ADA,), ("new", "ambiguous", [BOB, EVE])),
    ],
)
def test_who_is_not_ignored_after_all_is_told_of(then, ignored, decision):
    scene = Scene()
    (first,) = scene.see(unknown(), faces=3)
    scene.see(known(ADA), faces=4, ignored={ADA})
    (new,) = scene.see(then, faces=5, ignored=ignored)
    assert decisions([new]) == [decision]
    assert (new.event.event_id != first.event.event_id, new.event.seq) == (True, 1)


def test_an_ignored_person_is_nobodys_candidate():
    (due,) = Scene().see(between(ADA, BOB, EVE), faces=3, ignored={ADA})
    assert decisions([due]) == [("new", "ambiguous", [BOB, EVE])]
    assert ADA not in due.event.model_dump_json()
