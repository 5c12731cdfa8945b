"""Decisions on kept visits that were cut off between two files, or whose answer was lost: said again, they are done."""

import asyncio

import pytest

from gallery.errors import GalleryUnwritable
from gallery.storage.store import PersonStore
from streamer.errors import KeptVisitsUnwritable
from streamer.kept_visits.visits_file import VisitsFile
from streamer.process import store_of
from tests.gallery.fakes import photo_of, unit
from tests.small_disk import fill, small_disk
from tests.streamer.api.v1.api import refusal
from tests.streamer.api.v1.review_house import DIM, House, review_house

pytestmark = pytest.mark.asyncio(loop_scope="module")
PEOPLE = "/api/v1/people"


@pytest.fixture
def cut(monkeypatch):
    """cut(where): the disk fails there from now on, until cut.mend()."""

    def fail(where: type, what: str, error: Exception) -> None:
        def failing(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(where, what, failing)

    def at(step: str) -> None:
        fails = {
            "audit": (PersonStore, "record", GalleryUnwritable("gallery can't be written: the disk is full")),
            "names": (VisitsFile, "name", KeptVisitsUnwritable("kept visits can't be used: the disk is full")),
            "negatives": (
                PersonStore,
                "remove_negatives_of",
                GalleryUnwritable("gallery can't be written: the disk is full"),
            ),
        }
        fail(*fails[step])

    at.mend = monkeypatch.undo  # type: ignore[attr-defined]
    return at


def people_of(house: House) -> list[tuple[str, int]]:
    with store_of(house.settings) as store:
        return [(person.name, person.photos) for person in store.people()]


async def whose(house: House, event_id: str) -> str | None:
    person = (await house.visit(event_id))["events"][-1]["person"]
    return None if person is None else person["name"]


@pytest.mark.parametrize("step", ["audit", "names", "negatives"])
@pytest.mark.parametrize("as_new", [True, False], ids=["somebody new", "who is enrolled"])
async def test_a_cluster_is_named_by_whoever_says_it_again(house, cut, step, as_new):
    if not as_new:
        with store_of(house.settings) as store:
            store.add_person("Ada", [photo_of(unit(1, DIM), 1, space=house.space)])
    said = {"name": "Ada"} if as_new else {"person": "Ada"}
    visits = [house.keep(unit(1, DIM)) for _ in range(2)]
    other = house.keep(unit(2, DIM))
    cluster = await house.cluster_of(visits[0])
    cut(step)
    answer = await house.post(cluster, **said)
    assert answer.status_code >= 500, answer.text
    assert "disk is full" in answer.json()["detail"]
    cut.mend()
    assert refusal(await house.post(await house.cluster_of(other), name="Ada")) == (409, "name_taken")
    again = await house.post(cluster, **said)
    assert again.status_code == 200, again.text
    assert [await whose(house, one) for one in (*visits, other)] == ["Ada", "Ada", None]
    ((name, photos),) = people_of(house)
    assert (name, photos) == ("Ada", 2 if as_new else 3)
    assert [one["event_ids"] for one in await house.clusters()] == [[other]]


async def test_a_stranger_of_a_visit_is_enrolled_once(house):
    of, other = house.keep(unit(1, DIM)), house.keep(unit(2, DIM))
    first = await house.api.ask("POST", PEOPLE, "operator", json={"name": "Ada", "from_visit": of})
    assert first.status_code == 201, first.text
    again = await house.api.ask("POST", PEOPLE, "operator", json={"name": "ada ", "from_visit": of.lower()})
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    assert (again.json()["enrolment"]["taken"], len(again.json()["enrolment"]["already"])) == ([], 1)
    for said, refused in (
        ({"name": "Ada", "from_visit": other}, (409, "name_taken")),
        ({"name": "Bob", "from_visit": of}, (409, "enrolled_already")),
        ({"name": "Ada"}, (409, "name_taken")),
    ):
        assert refusal(await house.api.ask("POST", PEOPLE, "operator", json=said)) == refused
    assert people_of(house) == [("Ada", 1)]


async def test_of_two_who_enrol_the_same_at_once_none_is_refused(house):
    said = {"name": "Ada", "from_visit": house.keep(unit(1, DIM))}
    both = await asyncio.gather(*(house.api.ask("POST", PEOPLE, "operator", json=said) for _ in range(2)))
    assert sorted(answer.status_code for answer in both) == [200, 201], [answer.text for answer in both]
    assert people_of(house) == [("Ada", 1)]


@pytest.mark.parametrize("step", ["audit", "names"])
async def test_a_correction_is_done_by_whoever_says_it_again(house, cut, step):
    """The wrong name may have been enrolled of this very visit: that goes in any case."""
    wrong = house.keep(unit(1, DIM))
    ada = (await house.post(await house.cluster_of(wrong), name="Ada")).json()["person"]["id"]
    with store_of(house.settings) as store:
        store.add_person("Bob", [photo_of(unit(3, DIM), 3, space=house.space)])
    cut(step)
    said = {"person": "Bob"}
    answer = await house.api.ask("PATCH", f"/api/v1/events/{wrong}", "operator", json=said)
    assert answer.status_code >= 500, answer.text
    assert await whose(house, wrong) == "Ada"
    cut.mend()
    again = await house.api.ask("PATCH", f"/api/v1/events/{wrong}", "operator", json=said)
    assert again.status_code == 200, again.text
    assert await whose(house, wrong) == "Bob"
    assert people_of(house) == [("Ada", 0), ("Bob", 1)]
    with store_of(house.settings) as store:
        assert [one.source for one in store.list_negatives(ada)] == [f"event {wrong}"]


async def test_on_a_full_disk_nothing_is_decided_by_half():
    """What it takes is written again once there is room, and not before."""
    with small_disk(8) as disk:
        async with review_house(disk) as house:
            kept = {who: house.keep(unit(number, DIM)) for number, who in enumerate(("Ada", "Bob", "Eve"), 1)}
            clusters = {who: await house.cluster_of(event_id) for who, event_id in kept.items()}
            decisions = [
                ("POST", f"/api/v1/review/{clusters['Ada']}/person", {"json": {"name": "Ada"}}),
                ("POST", PEOPLE, {"json": {"name": "Ada", "from_visit": kept["Ada"]}}),
                ("POST", f"/api/v1/review/{clusters['Bob']}/ignore", {}),
                ("DELETE", f"/api/v1/review/{clusters['Eve']}", {}),
                ("PATCH", f"/api/v1/events/{kept['Ada']}", {"json": {"person": None}}),
            ]
            held = house.file()  # as the service's writer does
            hog = fill(disk)
            for method, path, more in decisions:
                answer = await house.api.ask(method, path, "operator", **more)
                assert answer.status_code >= 500, (path, answer.text)
                told = answer.json()
                assert told["code"] in ("gallery_unwritable", "kept_visits_unwritable"), told
                assert "\n" not in told["detail"]
            assert {one["event_ids"][0] for one in await house.clusters()} == set(kept.values())
            assert people_of(house) == []
            hog.unlink()
            held.close()
            done = [await house.api.ask(method, path, "operator", **more) for method, path, more in decisions]
            assert [answer.status_code for answer in done] == [200, 200, 204, 204, 200], [one.text for one in done]
            assert people_of(house) == [("Ada", 0)], "the last one took it back"
