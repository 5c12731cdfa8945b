"""Identity events to listeners: who is told what, what is known of who comes back, and nobody who was forgotten."""

import json

import pytest

from streamer.api.streaming.live_events import FORGOTTEN, GAP, RENAMED, LiveEvents, Wanted
from streamer.api.streaming.messages import Mailbox
from streamer.api.streaming.visit_news import ERASED, SAID, news_of
from streamer.events.event import IdentityEvent, Person, PossiblePerson
from tests.streamer.kept_visits.made import ADA, BOB, NOW, event, visit_id

NAMES = {ADA: "Ada Lovelace", BOB: "Bob"}


def hub(**more) -> LiveEvents:
    return LiveEvents(NAMES.get, lambda: NOW + 0.25, **more)


async def heard(mailbox: Mailbox) -> list[dict]:
    found: list[dict] = []
    while len(mailbox):
        found += [json.loads(message.text) for message in await mailbox.take()]
    return found


def visits(count: int) -> list[IdentityEvent]:
    return [
        event(visit_id(), person=[ADA, BOB, None][number % 3], camera=["door", "hall"][number % 2])
        for number in range(count)
    ]


async def test_an_event_is_told_as_it_is_sent():
    live, told = hub(), event(visit_id())
    with live.listening(Wanted()) as mailbox:
        live.put(told)
        (message,) = await mailbox.take()
    found = json.loads(message.text)
    assert message.id == f"{told.event_id}-1"
    assert (found["schema"], found["person"]) == ("whosthere.identity/1", {"id": ADA, "name": "Ada Lovelace"})
    assert (found["published_at"], found["latency_ms"]["total"]) == (NOW + 0.25, 250.0)


async def test_it_is_encoded_once_for_all():
    live = hub()
    with live.listening(Wanted()) as one, live.listening(Wanted()) as other:
        live.put(event(visit_id()))
        assert (await one.take())[0] is (await other.take())[0]


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (Wanted(), [0, 1, 2, 3, 4, 5]),
        (Wanted(cameras=frozenset({"hall"})), [1, 3, 5]),
        (Wanted(people=frozenset({ADA})), [0, 3]),
        (Wanted(people=frozenset({ADA, BOB}), cameras=frozenset({"door"})), [0, 4]),
        (Wanted(known=True), [0, 1, 3, 4]),
        (Wanted(known=False), [2, 5]),
        (Wanted(people=frozenset()), []),
    ],
)
async def test_a_listener_is_told_what_it_wants(wanted, numbers):
    live, told = hub(), visits(6)
    with live.listening(wanted) as mailbox:
        for one in told:
            live.put(one)
        assert [one["event_id"] for one in await heard(mailbox)] == [told[number].event_id for number in numbers]
    with live.listening(wanted, "nothing") as mailbox:  # who comes back, too
        assert [one.get("event_id") for one in await heard(mailbox)][1:] == [told[n].event_id for n in numbers]


@pytest.mark.parametrize("person", ["person", "previous_person", "candidates"])
async def test_a_person_is_wanted_in_whatever_part(person):
    ada = Person(id=ADA)
    parts = {"candidates": (PossiblePerson(id=ADA, similarity=0.5),)} if person == "candidates" else {person: ada}
    live, told = hub(), event(visit_id(), person=None).model_copy(update=parts)
    with live.listening(Wanted(people=frozenset({ADA}))) as mailbox:
        live.put(told)
        assert len(await heard(mailbox)) == 1


@pytest.mark.parametrize(("last", "later"), [(0, [1, 2, 3]), (2, [3]), (3, [])])
async def test_who_comes_back_hears_what_was_missed_and_goes_on(last, later):
    live, told = hub(), visits(5)
    for one in told[:4]:
        live.put(one)
    with live.listening(Wanted(), f"{told[last].event_id}-1") as mailbox:
        live.put(told[4])
        assert [one["event_id"] for one in await heard(mailbox)] == [told[n].event_id for n in [*later, 4]]


@pytest.mark.parametrize("after", ["too old", "of another run", ""])
async def test_what_is_missing_is_told(after):
    live, told = hub(most_kept=3), visits(6)
    for one in told:
        live.put(one)
    after = f"{told[1].event_id}-1" if after == "too old" else after
    with live.listening(Wanted(), after) as mailbox:
        messages = await mailbox.take()
    assert messages[0].kind == "gap"
    assert json.loads(messages[0].text) == {"schema": GAP, "after": after, "oldest": f"{told[3].event_id}-1"}
    assert [json.loads(one.text)["event_id"] for one in messages[1:]] == [one.event_id for one in told[3:]]


@pytest.mark.parametrize(("passed_s", "left"), [(0.0, 3), (3599.0, 3), (3601.0, 1), (4000.0, 1)])
async def test_what_is_an_hour_old_is_kept_no_longer(passed_s, left):
    now_s = [0.0]
    live, (one, other, last) = hub(clock=lambda: now_s[0]), visits(3)
    live.put(one)
    live.put(other)
    now_s[0] = passed_s
    live.put(last)
    with live.listening(Wanted(), "") as mailbox:
        assert len(await heard(mailbox)) == 1 + left
    now_s[0] += 3601.0
    with live.listening(Wanted(), "") as mailbox:
        assert [found["oldest"] for found in await heard(mailbox)] == [None]


async def test_who_was_forgotten_is_told_to_nobody():
    live, told = hub(), visits(3)
    with live.listening(Wanted()) as mailbox:
        for one in told:
            live.put(one)
        assert (await heard(mailbox))[0]["person"]["id"] == ADA
    live.gallery_changed({ADA})
    with live.listening(Wanted(), "") as mailbox:
        _, first, second, _ = await heard(mailbox)
    assert (first["person"], first["similarity"], first["decision"]) == (None, None, "unknown")
    assert second["person"]["id"] == BOB
    assert ADA not in json.dumps(first)


async def test_another_name_is_told_from_then_on(monkeypatch):
    live = hub()
    live.put(event(visit_id()))
    for name in ("Ada Lovelace", "Countess of Lovelace"):
        monkeypatch.setitem(NAMES, ADA, name)
        live.gallery_changed(())
        with live.listening(Wanted(), "") as mailbox:
            assert (await heard(mailbox))[1]["person"]["name"] == name


async def test_a_listener_that_is_full_costs_nobody_else_anything():
    live = hub()
    with live.listening(Wanted()) as full, live.listening(Wanted()) as other:
        for _ in range(1001):
            live.put(event(visit_id()))
            assert len(await other.take()) == 1
        assert (full.overflowed, len(full)) == (True, 0)


ALL = Wanted(changes=True)


def said(camera: str = "door", person: str | None = ADA, former: str | None = None, **more):
    return news_of({camera: [visit_id()]}, NOW, person, former, **more)


async def test_what_is_said_of_visits_is_told_by_camera_some_at_a_time_and_again_to_who_comes_back():
    live, ids = hub(), [visit_id() for _ in range(1_001)]
    with live.listening(ALL) as mailbox:
        live.put(event(ids[0]))
        live.tell(news_of({"door": ids, "hall": ["another"]}, NOW, ADA))
        first, *told = await mailbox.take()
    assert [len(json.loads(one.text)["event_ids"]) for one in told] == [500, 500, 1, 1]
    assert {one.kind for one in told} == {"said"}
    assert len({one.id for one in told}) == len(told)
    assert max(len(one.id) for one in told) <= 64
    with live.listening(ALL, first.id) as mailbox:
        assert await mailbox.take() == told
    with live.listening(ALL, told[2].id) as mailbox:
        (last,) = await heard(mailbox)
    person = {"id": ADA, "name": "Ada Lovelace"}
    assert last == {"schema": SAID, "camera": "hall", "event_ids": ["another"], "person": person, "said_at": NOW}


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (Wanted(), []),
        (ALL, [0, 1, 2, 3, 4]),
        (Wanted(cameras=frozenset({"hall"}), changes=True), [1]),
        (Wanted(people=frozenset({ADA}), changes=True), [0, 1, 2, 4]),
        (Wanted(people=frozenset({BOB}), changes=True), [2, 4]),
        (Wanted(known=False, changes=True), [0, 1, 2, 3, 4]),
    ],
)
async def test_who_wants_to_hear_what_is_said(wanted, numbers):
    live = hub()
    news = [said(), said("hall"), said(person=BOB, former=ADA), said(person=None), said(person=None, is_erased=True)]
    told = [one for several in news for one in several]
    with live.listening(wanted) as mailbox:
        live.tell(told)
        assert [one["event_ids"] for one in await heard(mailbox)] == [list(told[n].event_ids) for n in numbers]


async def test_whoever_is_forgotten_is_told_and_their_visits_are_erased():
    live = hub()
    live.tell([*said(), *said(person=BOB)])
    with live.listening(ALL) as mailbox, live.listening(Wanted()) as events_alone:
        live.gallery_changed([])
        live.gallery_changed([ADA])
        (gone,) = await mailbox.take()
        assert len(events_alone) == 0
    assert (gone.kind, json.loads(gone.text)) == ("forgotten", {"schema": FORGOTTEN, "people": [ADA]})
    with live.listening(ALL, "") as mailbox:
        _, of_ada, of_bob = await heard(mailbox)
    assert (of_ada["schema"], "person" in of_ada, of_bob["person"]["id"]) == (ERASED, False, BOB)


async def test_whoever_has_another_name_or_id_is_told():
    live = hub()
    with live.listening(Wanted(changes=True)) as mailbox:
        live.gallery_changed((), {ADA: BOB, BOB: BOB, "p00000000gone": "p00000000gone"})
        (told,) = await mailbox.take()
    bob = {"id": BOB, "name": NAMES[BOB]}
    people = [{"id": ADA, "person": bob}, {"id": BOB, "person": bob}]
    assert (told.kind, json.loads(told.text)) == ("renamed", {"schema": RENAMED, "people": people})
