"""Acceptance: 12 enrolled people and 12 strangers walk through the picture; who is told of, and as whom."""

import asyncio
from collections import defaultdict

import pytest

from gallery.enrol import Gate, enrol
from gallery.store import PersonStore
from recognition.recogniser import open_recogniser
from streamer.app import recogniser_config, running_service
from streamer.broker import embedded_broker
from streamer.settings import Settings
from streamer.tail import follow
from tests.live.walkers import HEIGHT, compose_walk

pytestmark = [pytest.mark.live, pytest.mark.shared, pytest.mark.timeout(300)]


async def test_who_walks_through_the_picture(shared, tmp_path):
    walk = await asyncio.to_thread(compose_walk, shared / "faces" / "lfw_dev.zip", tmp_path)
    async with embedded_broker(port=0) as port:
        settings = Settings.model_validate(
            {
                "paths": {"models": [str(shared / "models")], "data": str(tmp_path / "data")},
                "cameras": {"walk": {"url": str(walk.clip), "fps": 10, "pace": "fastest"}},
                "mqtt": {"port": port},
                "http": {"enabled": False},
            }
        )
        await enrol_walkers(settings, walk)
        events, started_at = await watch(settings)
    visits = visits_of(events)
    for visit in visits:
        types = [event.type for event in visit]
        assert [event.seq for event in visit] == list(range(1, len(visit) + 1))
        assert (types[0], types[-1]) == ("new", "end")
        assert set(types[1:-1]) <= {"update"}

    by_walker = {walker: [] for walker in walk.walkers}
    for visit in visits:
        by_walker[walker_of(walk, visit, started_at)].append(visit)
    assert {w.person: len(told) for w, told in by_walker.items() if len(told) != 1} == {}

    names = {w: {e.person and e.person.name for e in visit} for w, (visit,) in by_walker.items()}
    wrong = {w.person: who for w, who in names.items() if who - {w.person if w.enrolled else None, None}}
    assert wrong == {}
    unnamed = [w.person for w, who in names.items() if w.enrolled and w.person not in who]
    assert len(unnamed) <= 1, unnamed


async def enrol_walkers(settings, walk):
    """Three photos each; one of them shows a passer-by, so the largest face is picked."""
    gate = Gate(settings.gallery.enrol.min_face_px, settings.gallery.enrol.min_quality)
    settings.paths.data.mkdir()
    async with open_recogniser(recogniser_config(settings)) as recogniser:
        threshold = recogniser.embedder.spec.identification_threshold
        with PersonStore(settings.gallery_path) as store:
            for name, photos in walk.enrolment.items():
                await enrol(name, photos, recogniser, store, gate, "largest", threshold=threshold)


async def watch(settings):
    """What a subscriber hears until the clip is over and every visit has ended; and when the clip began."""
    events = []
    async with asyncio.timeout(240), asyncio.TaskGroup() as tasks:
        following = tasks.create_task(follow(settings.mqtt, on_event=events.append), name="follow")
        async with running_service(settings) as service:
            camera = service.cameras[0]
            await until(lambda: camera.status.state == "online")
            started_at = camera.status.since
            await until(lambda: camera.status.reason == "ended")
        await until(lambda: all(visit[-1].type == "end" for visit in visits_of(events)))
        following.cancel()
    return events, started_at


async def until(true):
    while not true():
        await asyncio.sleep(0.02)


def visits_of(events):
    """The messages of each visit in their order, each once."""
    visits = defaultdict(dict)
    for event in events:
        visits[event.event_id][event.seq] = event
    return [[messages[seq] for seq in sorted(messages)] for messages in visits.values()]


def walker_of(walk, visit, started_at):
    """Who was on this path half-way through the visit, in the clip's time, however fast it was played."""
    half_way_s = (visit[0].first_seen_at + visit[-1].captured_at) / 2 - started_at
    path = int((visit[0].box[1] + visit[0].box[3]) / 2 > HEIGHT / 2)
    (walker,) = (w for w in walk.present(half_way_s) if w.path == path)
    return walker
