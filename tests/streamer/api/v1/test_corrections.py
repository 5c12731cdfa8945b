"""PATCH /api/v1/events/EVENT_ID: a wrong name is corrected, and the face is not taken for the former person again."""

import asyncio

import pytest
import pytest_asyncio

from streamer.erasure.erase import erase
from streamer.kept_visits.visits_file import VisitsFile
from streamer.process import store_of
from tests.gallery.fakes import photo_of, unit
from tests.streamer.api.v1.api import refusal
from tests.streamer.api.v1.review_house import DIM
from tests.streamer.kept_visits.made import NOW, change, event

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def house(house):
    """With Ada and Bob, and a visit of Bob's that names Ada."""
    with store_of(house.settings) as store:
        house.ada, house.bob = (
            store.add_person(name, [photo_of(unit(number, DIM), number, space=house.space)]).id
            for number, name in enumerate(("Ada", "Bob"), 1)
        )
    await house.studio.live_gallery.refresh()
    house.wrong = house.keep(unit(2, DIM), person=house.ada)
    return house


async def patch(house, said, event_id=None, role="operator", etag=None):
    headers = {} if etag is None else {"If-Match": etag}
    path = f"/api/v1/events/{event_id or house.wrong}"
    return await house.api.ask("PATCH", path, role, json=said, headers=headers)


def negatives_of(house, person: str) -> list[str]:
    with store_of(house.settings) as store:
        return [one.source for one in store.list_negatives(person)]


async def test_it_is_somebody_else(house):
    before = await house.api.ask("GET", f"/api/v1/events/{house.wrong.lower()}", "viewer")
    answer = await patch(house, {"person": house.bob}, house.wrong.lower(), etag=before.headers["etag"])
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert [one["person"] for one in told["events"]] == [{"id": house.bob, "name": "Bob"}]
    assert (told["events"][0]["similarity"], told["events"][0]["decision"]) == (None, "known")
    assert told["negative"]["source"] == f"event {house.wrong}"
    assert negatives_of(house, house.ada) == [f"event {house.wrong}"]
    again = await house.api.ask("GET", f"/api/v1/events/{house.wrong}", "viewer")
    assert (again.json()["events"], again.headers["etag"]) == (told["events"], answer.headers["etag"])
    for person, found in ((house.bob, [house.wrong]), (house.ada, [])):
        listed = (await house.api.ask("GET", f"/api/v1/events?person={person}", "viewer")).json()
        assert [one["event_id"] for one in listed["events"]] == found
    assert house.audit()[-2:] == [("visit_corrected", house.bob), ("negative_added", house.ada)]


async def test_it_is_nobodys_and_is_reviewed_then(house):
    told = (await patch(house, {"person": None})).json()
    message = told["events"][0]
    assert (message["person"], message["decision"], message["candidates"]) == (None, "unknown", [])
    assert [one["event_ids"] for one in await house.clusters()] == [[house.wrong]]
    back = (await patch(house, {"person": "ada"})).json()
    assert (back["events"][0]["person"]["id"], back["negative"], back["negative_refused"]) == (house.ada, None, None)
    assert (await house.clusters(), negatives_of(house, house.ada)) == ([], [])


@pytest.mark.parametrize("way", ["correction", "photos", "review", "review, named alone"])
async def test_what_is_said_last_of_a_visit_counts(house, way):
    """However it is said: what was said before, that it is not Bob's, is taken back, told and logged."""
    visit = house.keep(unit(2, DIM), person=house.bob)
    assert (await patch(house, {"person": None}, visit)).json()["negative"]["source"] == f"event {visit}"
    if way == "correction":
        answer = await patch(house, {"person": house.bob}, visit)
    elif way == "photos":
        path = f"/api/v1/people/{house.bob}/photos"
        answer = await house.api.ask("POST", path, "operator", json={"event_id": visit})
    else:
        enrols = {} if way == "review" else {"enrol": False}
        answer = await house.post(await house.cluster_of(visit), person=house.bob, **enrols)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["negatives_removed"], negatives_of(house, house.bob)) == (1, [])
    assert ("negative_removed", house.bob) in house.audit()


async def test_what_was_said_of_another_visit_is_told_with_the_way_out(house):
    denied, seen = (house.keep(unit(2, DIM), person=house.bob) for _ in range(2))
    await patch(house, {"person": None}, denied)
    path = f"/api/v1/people/{house.bob}/photos"
    with house.file() as file:
        face = file.faces(denied)[0]
        file.write([change(seen, event(seen, 2, person=None, decision="unknown"), is_first=False, faces=(face,))])
    answer = await house.api.ask("POST", path, "operator", json={"event_id": seen})
    assert refusal(answer) == (422, "no_photo_accepted")
    why = [one for one in answer.json()["refused"] if one["code"] == "face_denied"]
    assert ["/api/v1/people/PERSON/negatives/ID" in one["why"] for one in why] == [True]
    assert negatives_of(house, house.bob) == [f"event {denied}"]


async def test_without_a_negative_where_none_is_wanted_or_can_be_had(house):
    told = (await patch(house, {"person": house.bob, "negative": False})).json()
    assert (told["negative"], told["negative_refused"], negatives_of(house, house.ada)) == (None, None, [])
    faceless = house.keep(unit(2, DIM), person=house.ada, faces=())
    told = (await patch(house, {"person": house.bob}, faceless)).json()
    assert told["events"][0]["person"]["id"] == house.bob
    assert (told["negative"], "no face is kept" in told["negative_refused"]) == (None, True)


async def test_what_was_enrolled_of_it_is_taken_from_the_former_person(house):
    """A cluster that was named wrongly: its faces would go on naming everybody like them."""
    wrong, right = house.keep(unit(7, DIM)), house.keep(unit(7, DIM))
    named = (await house.post(await house.cluster_of(wrong), name="Carol")).json()
    carol = named["person"]["id"]
    with store_of(house.settings) as store:
        assert len(store.photos(carol)) == 2
    told = (await patch(house, {"person": house.bob}, wrong)).json()
    assert (told["photos_removed"], told["negative_refused"]) == (1, None)
    assert negatives_of(house, carol) == [f"event {wrong}"]
    with store_of(house.settings) as store:
        assert len(store.photos(carol)) == 1
    last = (await patch(house, {"person": None, "negative": False}, right)).json()
    assert (last["photos_removed"], last["negative"]) == (1, None)
    assert (await patch(house, {"person": house.ada})).json()["photos_removed"] == 0  # hers were not of visits


async def test_of_two_who_correct_the_same_one_is_told_that_it_has_changed(house):
    etag = (await house.api.ask("GET", f"/api/v1/events/{house.wrong}")).headers["etag"]
    both = await asyncio.gather(*(patch(house, {"person": who}, etag=etag) for who in (house.bob, None)))
    assert sorted(answer.status_code for answer in both) == [200, 412]
    (late,) = [answer for answer in both if answer.status_code == 412]
    assert refusal(late) == (412, "precondition_failed")


@pytest.mark.parametrize("is_first", [False, True], ids=["it goes on", "its writer has opened the file anew"])
async def test_what_is_told_later_of_a_visit_names_who_was_said(house, is_first):
    later = event(house.wrong, 2, person=house.ada, at=NOW + 9)
    for person, names in ((house.bob, ["Bob", "Bob"]), (None, [])):
        await patch(house, {"person": person})
        with house.file() as file:
            file.write([change(house.wrong, later, is_first=is_first, faces=None, pictures={})])
        people = [one["person"] for one in (await house.visit(house.wrong))["events"]]
        assert [one["name"] for one in people if one] == names
    assert [one["event_ids"] for one in await house.clusters()] == [[house.wrong]]


@pytest.mark.parametrize("who", ["ada", "bob"])
async def test_forgetting_either_erases_the_visit(house, who):
    await patch(house, {"person": house.bob})
    await asyncio.to_thread(erase, [getattr(house, who)], house.settings, actor="a test")
    assert refusal(await house.api.ask("GET", f"/api/v1/events/{house.wrong}")) == (404, "visit_not_found")
    assert negatives_of(house, house.ada) == []


async def test_of_who_is_forgotten_meanwhile_no_face_is_kept_as_somebody_elses(house, monkeypatch):
    name = VisitsFile.name

    def named_meanwhile(self, *said):
        erase([house.bob], house.settings, actor="a test")
        name(self, *said)

    monkeypatch.setattr(VisitsFile, "name", named_meanwhile)
    assert refusal(await patch(house, {"person": house.bob})) == (404, "person_not_found")
    assert refusal(await house.api.ask("GET", f"/api/v1/events/{house.wrong}")) == (404, "visit_not_found")
    assert negatives_of(house, house.ada) == []


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        ({}, (422, "request_invalid")),
        ({"person": 7}, (422, "request_invalid")),
        ({"person": "Nobody"}, (404, "person_not_found")),
        ({"person": None, "name": "X"}, (422, "request_invalid")),
        ({"person": None, "negative": "perhaps"}, (422, "request_invalid")),
    ],
)
async def test_what_is_no_correction(house, said, refused):
    before = await house.visit(house.wrong)
    assert refusal(await patch(house, said)) == refused
    assert await house.visit(house.wrong) == before


async def test_who_may_not_and_what_is_not_kept(house):
    assert refusal(await patch(house, {"person": None}, role="viewer")) == (403, "role_too_low")
    assert refusal(await patch(house, {"person": None}, role=None)) == (401, "token_missing")
    assert refusal(await patch(house, {"person": None}, "01KBAGZ0M2T4V6X8Y0A2C4E6G8")) == (404, "visit_not_found")
