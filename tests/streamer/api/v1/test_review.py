"""/api/v1/review over real kept visits, a real gallery and the project's own networks: strangers become people."""

import asyncio
import json

import pytest

from streamer.api.streaming.live_events import Wanted
from streamer.erasure.erase import erase
from streamer.kept_visits.pictures import Chip
from streamer.kept_visits.visit import VisitFace
from streamer.kept_visits.visits_file import VisitsFile
from streamer.process import store_of
from streamer.review import reading
from tests.faces import KNOWN
from tests.gallery.fakes import unit
from tests.streamer.api.v1.api import refusal
from tests.streamer.api.v1.review_house import DIM, REVIEW
from tests.streamer.kept_visits.made import LIMITS, NOW

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_strangers_are_listed_by_person_the_largest_first_page_by_page(house):
    visits = [[house.keep(unit(person, DIM)) for _ in range(5 - person)] for person in range(1, 5)]
    house.keep(unit(9, DIM), person="p" + "a" * 12)
    found = await house.clusters()
    assert [(one["count"], set(one["event_ids"])) for one in found] == [(len(one), set(one)) for one in visits]
    assert {one["space"] for one in found} == {house.space}
    pages, after = [], ""
    while after is not None:
        page = (await house.api.ask("GET", f"{REVIEW}?limit=3{after and f'&after={after}'}")).json()
        assert (page["left"], page["keep_unknown_h"], page["apart"]) == (4, 24.0, {})
        pages.append(page["clusters"])
        after = page["next"]
    assert [len(page) for page in pages] == [3, 1]
    assert [one for page in pages for one in page] == found
    assert await house.clusters() == found


async def test_a_cluster_says_when_where_and_how_well_it_was_seen(house):
    who = unit(1, DIM)
    poor = house.keep(who, quality=0.4, camera="hall", at=NOW + 50)
    good = house.keep(who, quality=0.9, at=NOW + 100)
    (one,) = await house.clusters()
    assert (one["best_event_id"], one["event_ids"], one["quality"]) == (good, [good, poor], 0.9)
    assert (one["cameras"], one["first_at"], one["last_at"]) == (["door", "hall"], NOW + 49, NOW + 100)
    many = [house.keep(who, quality=0.5) for _ in range(25)]
    (one,) = await house.clusters()
    assert (one["count"], len(one["event_ids"])) == (27, 20)
    whole = await house.api.ask("GET", f"{REVIEW}/{one['id']}", "operator")
    assert set(whole.json()["event_ids"]) == {good, poor, *many}
    assert whole.headers["etag"] == f'"{one["id"]}"'


async def test_of_too_many_the_newest_are_compared_and_the_others_follow(house, monkeypatch):
    monkeypatch.setattr(reading, "MOST_COMPARED", 2)
    oldest, *others = [house.keep(unit(number, DIM), at=NOW + number) for number in range(3)]
    page = (await house.api.ask("GET", REVIEW)).json()
    assert ({one["best_event_id"] for one in page["clusters"]}, page["older"]) == (set(others), 1)
    await house.api.ask("DELETE", f"/api/v1/events/{page['clusters'][0]['best_event_id']}")
    page = (await house.api.ask("GET", REVIEW)).json()
    assert oldest in {one["best_event_id"] for one in page["clusters"]}
    assert page["older"] == 0


async def test_what_can_be_compared_with_nothing_is_counted(house):
    house.keep(unit(1, DIM), faces=())
    house.keep(unit(1, 64), space="another.1")
    answer = (await house.api.ask("GET", REVIEW)).json()
    assert (answer["clusters"], answer["left"], answer["apart"]) == ([], 0, {"": 1, "another.1": 1})


async def test_a_cluster_becomes_somebody_new_and_its_visits_are_named(house):
    who = unit(1, DIM)
    visits = {house.keep(who, quality=0.5 + number / 10) for number in range(4)}
    other = house.keep(unit(2, DIM))
    cluster = await house.cluster_of(min(visits))
    answer = await house.post(cluster, name="Ada Lovelace")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["person"]["name"], set(told["event_ids"])) == ("Ada Lovelace", visits)
    assert told["enrolment"]["taken"]
    ada = told["person"]["id"]
    for event_id in visits:
        visit = await house.visit(event_id)
        assert visit["said_at"] is not None
        (message,) = visit["events"]
        assert (message["person"], message["decision"]) == ({"id": ada, "name": "Ada Lovelace"}, "known")
    listed = (await house.api.ask("GET", f"/api/v1/events?person={ada}", "viewer")).json()["events"]
    assert {one["event_id"] for one in listed} == visits
    assert [one["event_ids"] for one in await house.clusters()] == [[other]]
    assert ("visits_named", ada) in house.audit()


async def test_whoever_says_it_again_is_told_the_same_and_who_says_otherwise_that_it_has_changed(house):
    event_id = house.keep(unit(1, DIM))
    cluster = await house.cluster_of(event_id)
    both = await asyncio.gather(*(house.post(cluster, name="Ada") for _ in range(2)))
    assert [answer.status_code for answer in both] == [200, 200], both[1].text
    first, second = (answer.json() for answer in both)
    assert first["person"] == second["person"]
    assert sorted(one["enrolment"] is None for one in (first, second)) == [False, True]
    assert (await house.post(cluster, name=" ADA")).json()["person"] == first["person"]
    assert (await house.post(cluster, person="Ada")).json()["person"] == first["person"]
    assert refusal(await house.post(cluster, name="Bob")) == (412, "cluster_changed")
    assert refusal(await house.api.ask("POST", f"{REVIEW}/{cluster}/ignore")) == (412, "cluster_changed")
    assert refusal(await house.api.ask("DELETE", f"{REVIEW}/{cluster}")) == (412, "cluster_changed")
    assert (await house.visit(event_id))["events"][0]["person"] == first["person"]


async def test_a_cluster_is_somebody_enrolled_who_is_a_candidate(house):
    who = unit(1, DIM)
    first = await house.post(await house.cluster_of(house.keep(who)), name="Ada")
    ada = first.json()["person"]
    await house.studio.live_gallery.refresh()
    later = [house.keep(who), house.keep(who)]
    (found,) = await house.clusters()
    assert [(one["id"], one["name"]) for one in found["candidates"]] == [(ada["id"], "Ada")]
    assert found["candidates"][0]["similarity"] > 0.6
    alone = await house.post(found["id"], person=ada["id"], without=[later[0].lower()], enrol=False)
    assert (alone.json()["event_ids"], alone.json()["enrolment"]) == ([later[1]], None)
    rest = await house.post(await house.cluster_of(later[0]), person="Ada")
    assert rest.json()["enrolment"]["added_to"] is True
    with store_of(house.settings) as store:
        assert store.find("Ada").photos == 2


async def test_nobody_is_enrolled_nor_named_by_what_is_too_poor(house):
    event_id = house.keep(unit(1, DIM), quality=0.01)
    cluster = await house.cluster_of(event_id)
    answer = await house.post(cluster, name="Ada")
    assert refusal(answer) == (422, "no_photo_accepted")
    assert {one["code"] for one in answer.json()["refused"]} >= {"quality_too_low"}
    assert (await house.visit(event_id))["events"][0]["person"] is None
    with store_of(house.settings) as store:
        assert store.people() == []
        store.add_person("Ada")
    assert refusal(await house.post(cluster, name="ada")) == (409, "name_taken")
    assert (await house.post(cluster, person="Ada", enrol=False)).status_code == 200


async def test_by_the_picture_that_is_kept(house):
    chip = Chip(KNOWN.image(), KNOWN.landmarks).jpeg
    face = (await house.studio.recogniser.faces(KNOWN.image())).embeddings[0]
    kept = VisitFace(face, 0.8, house.space, "made by these")
    event_id = house.keep(face, faces=(kept,), pictures={"face": chip, "scene": b"\xff\xd8"})
    told = (await house.post(await house.cluster_of(event_id), name="Eileen")).json()
    assert told["enrolment"]["taken"][0]["image"] == f"{event_id}, its picture"
    with store_of(house.settings) as store:
        assert store.chip(told["person"]["id"], store.photos(told["person"]["id"])[0].id) is not None


async def test_who_is_ignored_is_not_shown_again_until_nothing_of_them_is_kept(house):
    who = unit(1, DIM)
    event_id = house.keep(who)
    cluster = await house.cluster_of(event_id)
    for _ in range(2):
        assert (await house.api.ask("POST", f"{REVIEW}/{cluster}/ignore", "operator")).status_code == 204
    assert [action for action, _ in house.audit()].count("visits_ignored") == 1
    later = house.keep(who)
    assert await house.clusters() == []
    assert refusal(await house.post(cluster, name="Ada")) == (412, "cluster_changed")
    assert (await house.visit(event_id))["events"][0]["decision"] == "unknown"
    await house.api.ask("DELETE", f"/api/v1/events/{event_id}")
    assert await house.cluster_of(later)


async def test_who_was_ignored_is_listed_apart_and_reviewed_again(house):
    who = unit(1, DIM)
    first, corrected = house.keep(who), house.keep(who, person="p" + "a" * 12)
    await house.api.ask("PATCH", f"/api/v1/events/{corrected}", "operator", json={"person": None, "negative": False})
    cluster = await house.cluster_of(first)
    await house.api.ask("POST", f"{REVIEW}/{cluster}/ignore", "operator")
    later = house.keep(who)
    page = (await house.api.ask("GET", REVIEW)).json()
    assert (page["clusters"], page["left"], page["ignored"]) == ([], 0, 1)
    page = (await house.api.ask("GET", f"{REVIEW}?ignored=true")).json()
    (found,) = page["clusters"]
    assert (set(found["event_ids"]), page["left"], page["ignored"]) == ({first, corrected, later}, 1, 1)
    path = f"{REVIEW}/{found['id']}/ignore"
    held = {"If-Match": f'"{found["id"]}"'}
    assert refusal(await house.api.ask("DELETE", path, "viewer")) == (403, "role_too_low")
    for headers in (held, None, {}):  # the same once more, and nothing is told twice
        assert (await house.api.ask("DELETE", path, "operator", headers=headers)).status_code == 204
    assert [action for action, _ in house.audit()].count("visits_reviewed_again") == 1
    assert await house.clusters() == [found]
    assert await house.clusters("?ignored=true") == []
    assert (await house.visit(corrected))["said_at"] is not None, "what was said of it before stays said"
    assert (await house.visit(first))["said_at"] is None
    assert (await house.post(found["id"], name="Ada")).status_code == 200


async def test_an_ignore_is_taken_back_by_the_cluster_as_it_was_shown(house):
    who = unit(1, DIM)
    first = house.keep(who)
    cluster = await house.cluster_of(first)
    await house.api.ask("POST", f"{REVIEW}/{cluster}/ignore", "operator")
    later = house.keep(who)
    assert (await house.api.ask("DELETE", f"{REVIEW}/{cluster}/ignore", "operator")).status_code == 204
    assert set((await house.clusters())[0]["event_ids"]) == {first, later}


async def test_a_cluster_is_erased(house):
    visits = [house.keep(unit(1, DIM)) for _ in range(3)]
    cluster = await house.cluster_of(visits[0])
    for _ in range(2):
        assert (await house.api.ask("DELETE", f"{REVIEW}/{cluster}", "operator")).status_code == 204
    for event_id in visits:
        assert refusal(await house.api.ask("GET", f"/api/v1/events/{event_id}")) == (404, "visit_not_found")
    assert [action for action, _ in house.audit()].count("visits_erased") == 1
    assert refusal(await house.post(cluster, name="Ada")) == (404, "cluster_not_found")


async def test_of_two_who_name_it_otherwise_at_once_one_is_told(house):
    event_id = house.keep(unit(1, DIM))
    cluster = await house.cluster_of(event_id)
    both = await asyncio.gather(*(house.post(cluster, name=name) for name in ("Ada", "Bob")))
    assert sorted(answer.status_code for answer in both) == [200, 412]
    (done,) = [answer.json()["person"] for answer in both if answer.status_code == 200]
    assert (await house.visit(event_id))["events"][0]["person"] == done
    with store_of(house.settings) as store:
        assert [person.name for person in store.people()] == [done["name"]]


async def test_what_was_kept_for_long_enough_meanwhile_is_decided_on_no_more(house):
    """While its dialog is open: the visits that are left are named, and where none is nobody is enrolled."""
    old, fresh = house.keep(unit(1, DIM), ended_at=NOW), house.keep(unit(1, DIM), at=NOW + 5000)
    gone = house.keep(unit(2, DIM), ended_at=NOW)
    partly, wholly = await house.cluster_of(old), await house.cluster_of(gone)
    with house.file() as file:
        assert file.purge(NOW + 5000, LIMITS) == 2
    assert refusal(await house.post(wholly, name="Bob")) == (404, "cluster_not_found")
    assert (await house.post(partly, name="Ada")).json()["event_ids"] == [fresh]
    with store_of(house.settings) as store:
        assert [person.name for person in store.people()] == ["Ada"]


async def test_who_was_made_of_a_cluster_is_merged_and_forgotten_with_its_visits(house):
    event_id = house.keep(unit(1, DIM))
    cluster = await house.cluster_of(event_id)
    ada = (await house.post(cluster, name="Ada")).json()["person"]["id"]
    with store_of(house.settings) as store:
        bob = store.add_person("Bob").id
        store.merge(ada, bob, {})
    await house.studio.live_gallery.refresh()
    assert (await house.visit(event_id))["events"][0]["person"] == {"id": ada, "name": "Bob"}
    assert (await house.post(cluster, person="Bob")).json()["person"]["id"] == bob
    assert refusal(await house.post(cluster, name="Ada")) == (412, "cluster_changed")
    await asyncio.to_thread(erase, [bob], house.settings, actor="a test")
    assert refusal(await house.api.ask("GET", f"/api/v1/events/{event_id}")) == (404, "visit_not_found")
    with house.file() as file:
        assert (file.count_of(ada), file.count_of(bob), file.whose([event_id])) == (0, 0, {})


@pytest.mark.parametrize("before_naming", [True, False])
async def test_who_is_forgotten_while_a_cluster_is_made_theirs_takes_it_along(house, monkeypatch, before_naming):
    event_id = house.keep(unit(1, DIM))
    with store_of(house.settings) as store:
        ada = store.add_person("Ada").id
    cluster = await house.cluster_of(event_id)
    name = VisitsFile.name

    def named_meanwhile(self, *said):
        if before_naming:
            erase([ada], house.settings, actor="a test")
        name(self, *said)
        if not before_naming:
            erase([ada], house.settings, actor="a test")

    monkeypatch.setattr(VisitsFile, "name", named_meanwhile)
    assert refusal(await house.post(cluster, person=ada)) == (404, "person_not_found")
    assert refusal(await house.api.ask("GET", f"/api/v1/events/{event_id}")) == (404, "visit_not_found")


async def test_what_came_since_is_not_decided_on_and_if_match_refuses(house):
    who = unit(1, DIM)
    first = house.keep(who)
    cluster = await house.cluster_of(first)
    later = house.keep(who)
    assert (await house.api.ask("GET", f"{REVIEW}/{cluster}", "operator")).json()["event_ids"] == [first]
    held = {"If-Match": f'"{cluster}"'}
    assert refusal(await house.post(cluster, name="Ada", headers=held)) == (412, "cluster_changed")
    assert refusal(await house.post(cluster, name="Ada", headers={"If-Match": '"x"'})) == (412, "cluster_changed")
    assert (await house.post(cluster, name="Ada")).json()["event_ids"] == [first]
    assert refusal(await house.api.ask("GET", f"{REVIEW}/{cluster}", "operator")) == (404, "cluster_not_found")
    now = await house.cluster_of(later)
    held = {"If-Match": f'"{now}"'}
    deleted = await house.api.ask("DELETE", f"{REVIEW}/{now}", "operator", headers=held)
    assert deleted.status_code == 204


async def test_whoever_is_forgotten_takes_the_visits_along_that_were_named_afterwards(house):
    event_id = house.keep(unit(1, DIM))
    ada = (await house.post(await house.cluster_of(event_id), name="Ada")).json()["person"]["id"]
    await asyncio.to_thread(erase, [ada], house.settings, actor="a test")
    assert refusal(await house.api.ask("GET", f"/api/v1/events/{event_id}")) == (404, "visit_not_found")


async def test_whoever_listens_is_told_whose_visits_are_and_which_are_erased(house):
    at_door, at_hall = house.keep(unit(1, DIM)), house.keep(unit(1, DIM), camera="hall")
    strangers = [house.keep(unit(2, DIM)), house.keep(unit(3, DIM))]
    with house.live.listening(Wanted(changes=True)) as mailbox:

        async def heard() -> list[tuple[str, dict]]:
            told = await mailbox.take()
            return [(message.kind, json.loads(message.text)) for message in told]

        ada = (await house.post(await house.cluster_of(at_door), name="Ada")).json()["person"]
        (first, second) = await heard()
        assert (first[0], first[1]["schema"], first[1]["person"]) == ("said", "whosthere.said/1", ada)
        assert [(said["camera"], said["event_ids"]) for _, said in (first, second)] == [
            ("door", [at_door]),
            ("hall", [at_hall]),
        ]
        await house.api.ask("PATCH", f"/api/v1/events/{at_door}", "operator", json={"person": None})
        ((kind, said),) = await heard()
        assert (kind, said["event_ids"], said["person"]) == ("said", [at_door], None)
        await house.api.ask("DELETE", f"{REVIEW}/{await house.cluster_of(strangers[0])}", "operator")
        await house.api.ask("DELETE", f"/api/v1/events/{strangers[1]}", "operator")
        erased = await heard()
        assert [(kind, one["schema"], one["event_ids"]) for kind, one in erased] == [
            ("erased", "whosthere.erased/1", [event_id]) for event_id in strangers
        ]


@pytest.mark.parametrize(
    ("method", "path", "sent", "refused"),
    [
        ("GET", "?limit=0", None, (422, "request_invalid")),
        ("GET", "?after=nothing", None, (400, "cursor_invalid")),
        ("GET", "/c0", None, (422, "request_invalid")),
        ("GET", "/c" + "0" * 24, None, (404, "cluster_not_found")),
        ("DELETE", "/c" + "0" * 24, None, (404, "cluster_not_found")),
        ("POST", "/c" + "0" * 24 + "/ignore", None, (404, "cluster_not_found")),
        ("DELETE", "/c" + "0" * 24 + "/ignore", None, (404, "cluster_not_found")),
        ("GET", "?ignored=perhaps", None, (422, "request_invalid")),
        ("POST", "/{cluster}/person", {}, (422, "request_invalid")),
        ("POST", "/{cluster}/person", {"name": "A", "person": "B"}, (422, "request_invalid")),
        ("POST", "/{cluster}/person", {"name": "A", "enrol": False}, (422, "request_invalid")),
        ("POST", "/{cluster}/person", {"name": "A", "why": 1}, (422, "request_invalid")),
        ("POST", "/{cluster}/person", {"name": "A", "without": ["x"]}, (422, "request_invalid")),
        ("POST", "/{cluster}/person", {"name": "\x07"}, (422, "name_invalid")),
        ("POST", "/{cluster}/person", {"person": "Nobody"}, (404, "person_not_found")),
        ("POST", "/{cluster}/person", {"name": "A", "without": ["{event}"]}, (404, "cluster_not_found")),
    ],
)
async def test_what_is_no_decision(house, method, path, sent, refused):
    event_id = house.keep(unit(1, DIM))
    cluster = await house.cluster_of(event_id)
    if sent and sent.get("without") == ["{event}"]:
        sent = sent | {"without": [event_id]}
    more = {} if sent is None else {"json": sent}
    answer = await house.api.ask(method, REVIEW + path.replace("{cluster}", cluster), "operator", **more)
    assert refusal(answer) == refused
    assert (await house.visit(event_id))["events"][0]["person"] is None


@pytest.mark.parametrize(("role", "refused"), [("viewer", (403, "role_too_low")), (None, (401, "token_missing"))])
async def test_who_may_not(house, role, refused):
    cluster = "c" + "0" * 24
    for method, path in (
        ("GET", ""),
        ("GET", f"/{cluster}"),
        ("POST", f"/{cluster}/person"),
        ("POST", f"/{cluster}/ignore"),
        ("DELETE", f"/{cluster}/ignore"),
        ("DELETE", f"/{cluster}"),
    ):
        assert refusal(await house.api.ask(method, REVIEW + path, role)) == refused
