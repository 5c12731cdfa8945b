"""What the demo counts: visits, people as they were named, strangers honestly."""

import orjson

from streamer.demo.summary import Tally
from streamer.events.event import FrameSize, IdentityEvent, LatencyMs, Models, Person

EILEEN = Person(id="p00000000eil1", name="Eileen Collins")
ADA = Person(id="p00000000ada1", name="Ada Lovelace")


def event(visit, seq, kind, person=EILEEN):
    return IdentityEvent(
        event_id=visit.ljust(26, "0"),
        seq=seq,
        type=kind,
        camera="demo",
        cameras=["demo"],
        track_ids=["demo-1"],
        person=person,
        similarity=0.9,
        threshold=0.35,
        confidence=0.9,
        margin=None,
        quality=0.9,
        box=(1, 2, 3, 4),
        frame=FrameSize(width=1280, height=720),
        first_seen_at=1.0,
        captured_at=2.0,
        latency_ms=LatencyMs(decode=1, queue=1, detect=1, embed=1, match=1, total=5),
        model=Models(detector="d", embedder="e", signature="s"),
    )


def document(tally):
    return tally.summary(seconds=20.04, prepared_s=3.21, mqtt="127.0.0.1:1883").document()


def test_a_visit_and_a_stranger():
    tally = Tally(scene_is_known=True)
    tally.add(event("A", 1, "new"), 0.514, "Eileen Collins")
    tally.add(event("B", 1, "new", None), 1.0)
    tally.add(event("A", 2, "update"), 2.0, "Eileen Collins")
    assert len(tally.open_visits) == 2
    tally.add(event("A", 3, "end"), 9.0)
    tally.add(event("B", 2, "end", None), 9.5)
    assert not tally.open_visits
    assert document(tally) == {
        "seconds": 20.0,
        "prepared_s": 3.2,
        "events": {"new": 2, "update": 1, "end": 2},
        "people": [{"name": "Eileen Collins", "first_named_s": 0.51, "events": 3}],
        "unknown_events": 2,
        "strangers_named": 0,
        "mqtt": "127.0.0.1:1883",
    }
    assert orjson.loads(orjson.dumps(document(tally))) == document(tally)


def test_somebody_whom_the_scene_does_not_show():
    tally = Tally(scene_is_known=True)
    tally.add(event("A", 1, "new"), 1.0, "Eileen Collins")
    tally.add(event("A", 2, "update", ADA), 2.0)
    tally.add(event("A", 3, "end", ADA), 3.0)
    assert document(tally)["strangers_named"] == 2
    assert any("wrong: 2" in line for line in tally.summary(seconds=3, prepared_s=1, mqtt=None).lines())


def test_a_stranger_who_is_taken_for_the_known_person_until_that_is_mended():
    tally = Tally(scene_is_known=True)
    tally.add(event("A", 1, "new"), 1.0, "Eileen Collins")
    tally.add(event("B", 1, "new"), 1.0)
    tally.add(event("B", 2, "end"), 3.0)
    tally.add(event("C", 1, "new"), 4.0)
    tally.add(event("C", 2, "update"), 5.0, "Eileen Collins")
    tally.add(event("C", 3, "end"), 6.0)  # where she left the picture, nothing is shown any more
    assert document(tally)["strangers_named"] == 3
    assert document(tally)["people"][0]["events"] == 6


def test_without_a_truth_nobody_is_called_a_stranger():
    tally = Tally(scene_is_known=False)
    tally.add(event("A", 1, "new", ADA), 1.0)
    assert document(tally)["strangers_named"] is None


def test_people_come_in_the_order_in_which_they_were_named():
    tally = Tally(scene_is_known=False)
    for visit, person, at_s in (("A", ADA, 2.0), ("B", EILEEN, 3.0), ("C", ADA, 4.0)):
        tally.add(event(visit, 1, "new", person), at_s)
    assert [(p["name"], p["first_named_s"], p["events"]) for p in document(tally)["people"]] == [
        ("Ada Lovelace", 2.0, 2),
        ("Eileen Collins", 3.0, 1),
    ]


def test_an_identity_taken_back_does_not_hide_who_was_named():
    tally = Tally(scene_is_known=True)
    tally.add(event("A", 1, "new", ADA), 1.0)
    tally.add(event("A", 2, "update", None), 2.0)
    tally.add(event("A", 3, "end", None), 3.0)
    assert (document(tally)["strangers_named"], document(tally)["unknown_events"]) == (1, 2)


def test_nothing_happened():
    summary = Tally(scene_is_known=False).summary(seconds=0.0, prepared_s=0.5, mqtt=None)
    assert summary.document()["people"] == []
    assert "nobody was named" in summary.lines()
