"""Acceptance: 12 enrolled people and 12 strangers walk through the picture; who is told of, and as whom."""

import asyncio

import pytest

from gallery.enrolment.enrol import Gate, Terms, enrol
from recognition.recogniser import RecogniserConfig, open_recogniser
from streamer.settings import EnrolSettings
from tests.conftest import LARGER
from tests.galleries import open_store
from tests.live.mosquitto import Mosquitto
from tests.live.service import ServiceProcess, until
from tests.live.subscriber import Subscriber, assert_told_whole, names_of
from tests.live.walkers import HEIGHT, compose_walk

pytestmark = [pytest.mark.live, pytest.mark.both_cores, pytest.mark.shared, pytest.mark.timeout(300)]


async def test_who_walks_through_the_picture(shared, tmp_path):
    walk = await asyncio.to_thread(compose_walk, shared / "faces" / "lfw_dev.zip", tmp_path)
    with Mosquitto(tmp_path) as broker, Subscriber(broker.port, tmp_path) as heard:
        await heard.catch_up()
        service = ServiceProcess(
            tmp_path,
            {
                "paths": {"models": [str(shared / "models")], "data": "data"},
                "recognition": LARGER,
                "mqtt": {"port": broker.port},
                "cameras": {"walk": {"url": str(walk.clip), "fps": 10, "pace": "fastest"}},
            },
        )
        await enrol_walkers(walk, service.data / "gallery.db", shared / "models")
        with service:
            await until(lambda: heard.status("walk") == {"state": "offline", "reason": "ended"}, 240)
            told = await service.metric("whosthere_events_total")
            await until(lambda: sum(map(len, heard.visits())) == told)
            assert service.stop() == 0
    visits = heard.visits()
    assert_told_whole(visits)

    states = [message.document for message in heard.on("whosthere/cameras/walk/status")]
    started_at = next(status["since"] for status in states if status["state"] == "online")
    by_walker = {walker: [] for walker in walk.walkers}
    for told in visits:
        by_walker[walker_of(walk, told, started_at)].append(told)
    assert {w.person: len(told) for w, told in by_walker.items() if len(told) != 1} == {}

    report(by_walker)
    names = {w: set(names_of(told)) for w, (told,) in by_walker.items()}
    wrong = {w.person: who for w, who in names.items() if who - {w.person if w.enrolled else None, None}}
    assert wrong == {}
    unnamed = [w.person for w, who in names.items() if w.enrolled and w.person not in who]
    assert len(unnamed) <= 1, unnamed


async def enrol_walkers(walk, gallery, weights):
    """Three photos each, as `whosthere enrol` takes them, but with the models loaded once."""
    gallery.parent.mkdir()
    gate = Gate(EnrolSettings().min_face_px, EnrolSettings().min_quality)
    async with open_recogniser(RecogniserConfig("scrfd_500m", "arcface_w600k_mbf", (weights,))) as recogniser:
        threshold = recogniser.embedder.spec.identification_threshold
        with open_store(gallery) as store:
            for name, photos in walk.enrolment.items():
                taken = await enrol(name, photos, recogniser, store, Terms(gate, threshold, pick="largest"))
                assert len(taken.taken) == 3, taken.refused


def walker_of(walk, told, started_at):
    """Who was on this path half-way through the visit, in the clip's time, however fast it was played."""
    half_way_s = (told[0]["first_seen_at"] + told[-1]["captured_at"]) / 2 - started_at
    _, top, _, bottom = told[0]["box"]
    path = int((top + bottom) / 2 > HEIGHT / 2)
    (walker,) = (w for w in walk.present(half_way_s) if w.path == path)
    return walker


def report(by_walker):
    """How far it was from going wrong; shown by `pytest -rP`."""
    for walker, (told,) in sorted(by_walker.items(), key=lambda item: item[1][0][-1]["similarity"]):
        last = told[-1]
        print(  # noqa: T201
            f"{walker.person:32} {'enrolled' if walker.enrolled else 'stranger'} told as {names_of(told)}, "
            f"similarity {last['similarity']:.3f}, margin {last['margin']:.3f}, threshold {last['threshold']:.3f}, "
            f"quality {last['quality']:.2f}"
        )
