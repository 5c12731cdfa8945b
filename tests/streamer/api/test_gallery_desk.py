"""The gallery for whoever asks over HTTP: what is quick is not held up by what takes seconds, and who asks is told."""

import asyncio
import threading
import weakref

import pytest

from gallery.errors import GalleryMissing
from recognition.errors import Overloaded
from streamer.access.guard import Caller
from streamer.access.tokens import Token
from streamer.api import gallery_desk
from streamer.api.gallery_desk import GalleryDesk, actor_of
from streamer.process import store_of
from streamer.settings import PathsSettings, Settings


@pytest.fixture
def settings(tmp_path):
    settings = Settings(paths=PathsSettings(data=tmp_path / "data"))
    settings.paths.data.mkdir()
    store_of(settings).close()
    return settings


@pytest.fixture
async def desk(settings):
    async with GalleryDesk.open(settings) as desk:
        yield desk


@pytest.mark.parametrize("names", [["Ada"], ["Ada", "Bob"], ["Ada", "Bob", "Eve"]])
async def test_what_is_quick_is_not_held_up_by_what_is_slow_and_that_goes_one_by_one(desk, names):
    door, at_once, most = threading.Event(), [], []

    def slow(name):
        at_once.append(name)
        most.append(len(at_once))
        assert door.wait(30)
        with desk.opened("slow") as store:
            store.add_person(name)
        at_once.remove(name)
        return name

    work = [asyncio.ensure_future(desk.slowly(lambda name=name: slow(name))) for name in names]
    async with asyncio.timeout(30):
        assert await desk.run("quick", lambda store: store.count()) == 0
        door.set()
        assert await asyncio.gather(*work) == names
    assert set(most) == {1}
    assert await desk.run("quick", lambda store: store.count()) == len(names)


async def test_no_more_wait_than_are_done_soon(settings, monkeypatch):
    monkeypatch.setattr(gallery_desk, "MOST_QUICK", 3)
    monkeypatch.setattr(gallery_desk, "MOST_SLOW", 2)
    door = threading.Event()
    async with GalleryDesk.open(settings) as desk, asyncio.timeout(30):
        held = [asyncio.ensure_future(desk.run("one", lambda store: door.wait(30))) for _ in range(3)]
        held += [asyncio.ensure_future(desk.slowly(lambda: door.wait(30))) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await desk.run("one", lambda store: None)
        with pytest.raises(Overloaded):
            await desk.slowly(lambda: None)
        held.append(asyncio.ensure_future(desk.slowly(lambda: True, is_rest=True)))
        door.set()
        assert all(await asyncio.gather(*held))
        assert await desk.run("one", lambda store: store.count()) == 0
        assert await desk.slowly(lambda: 1) == 1


async def test_each_is_told_to_the_audit_log_by_their_name(desk, settings):
    for actor in ("one", "two"):
        await desk.run(actor, lambda store, actor=actor: store.add_person(f"by {actor}"))
    async with desk.own("three") as store:
        await asyncio.to_thread(store.add_person, "by three")
    with store_of(settings) as store:
        assert [entry.actor for entry in store.audit_entries()][-3:] == ["one", "two", "three"]


@pytest.mark.parametrize("names", [["Ada"], ["Ada", "Bob"], ["Ada", "Bob", "Eve"]])
async def test_what_was_opened_of_who_is_forgotten_goes_though_nobody_asks(desk, settings, names):
    with store_of(settings) as store:
        ids = [store.add_person(name).id for name in names]
    assert len(await desk.run("one", lambda store: store.people())) == len(names)
    opened = weakref.ref(await desk.run("one", lambda store: store))
    with store_of(settings) as store:
        store.forget(ids[0])
    desk.forget()
    async with asyncio.timeout(30):
        while opened() is not None:
            await asyncio.sleep(0.01)
    left = await desk.run("one", lambda store: [person.name for person in store.people()])
    assert sorted(left) == names[1:]


async def test_a_desk_that_is_closed_has_nothing_to_forget(settings):
    async with GalleryDesk.open(settings) as desk:
        assert await desk.run("one", lambda store: store.count()) == 0
    desk.forget()


async def test_a_gallery_that_is_gone_is_made_anew_by_nobody(desk, settings):
    settings.gallery_path.unlink()
    with pytest.raises(GalleryMissing):
        await desk.run("one", lambda store: store.count())
    with pytest.raises(GalleryMissing):
        async with desk.own("two"):
            pass
    with pytest.raises(GalleryMissing):
        await desk.slowly(lambda: desk.opened("three"))
    assert not settings.gallery_path.exists()


def test_whose_name_is_told():
    assert actor_of(Caller(Token("the door", "operator", 0.0, "00"))) == "the door"
    assert actor_of(Caller()) == "api"
