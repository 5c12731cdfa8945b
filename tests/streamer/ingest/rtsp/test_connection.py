"""Whole connections without a network: whatever comes over one ends in answers, and leaves nothing behind."""

import base64
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.ingest.publish.point import PublishPoints
from streamer.ingest.rtsp.connection import Connection
from streamer.ingest.rtsp.front_desk import MOST_BARE, MOST_WAITING_OF_ONE, MOST_WRONG, FrontDesk
from streamer.telemetry.metrics import Metrics
from tests.streamer.ingest.rtsp.conftest import DOOR, Time
from tests.streamer.ingest.rtsp.fuzz import SDP, SEEDS, Line, cut, meet, one_visit


@pytest.fixture
def desk(points: PublishPoints, time: Time) -> FrontDesk:
    points["door"].camera = points["door"].camera.model_copy(update={"user": "door", "password": "word"})
    return FrontDesk(points, Metrics(), time)


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_broken_visits(desk: FrontDesk, points: PublishPoints, seed: int):
    rng = random.Random(seed)
    for _ in range(40):
        meet(desk, cut(rng, one_visit(rng)))
        assert not points["door"].is_taken
    assert desk.callers() == []


async def test_the_visits_are_of_use(desk: FrontDesk, metrics: Metrics):
    """Many of them publish: what is broken is broken in every state."""
    rng = random.Random(0)
    met = [meet(desk, [one_visit(rng)]) for _ in range(100)]
    assert sum(answers[:4] == [b"200"] * 4 for answers in met) > 30
    assert {status for answers in met for status in answers} >= {b"200", b"400", b"455"}


@settings(max_examples=200, deadline=None)
@given(pieces=st.lists(st.binary(max_size=200), max_size=10))
def test_any_bytes(pieces: list[bytes]):
    desk = FrontDesk({}, Metrics())
    meet(desk, pieces)
    assert desk.callers() == []


def test_what_is_refused_is_told_once_a_minute(points: PublishPoints, metrics: Metrics, time: Time, caplog):
    desk = FrontDesk(points, metrics, time)
    for _ in range(5):
        desk.refused("login_refused", "192.0.2.1")
    desk.refused("login_refused", "192.0.2.2")
    assert [record.message for record in caplog.records] == [
        f"rtsp ingest: 192.0.2.{n} is refused: its user or password is wrong; see cameras.<name>.user and password"
        for n in (1, 2)
    ]
    caplog.clear()
    desk.tick(time())
    assert caplog.records == []
    time.pass_s(60.0)
    desk.tick(time())
    assert [record.message.partition(":")[2].strip() for record in caplog.records] == [
        "192.0.2.1 was refused 4 times more: its user or password is wrong; see cameras.<name>.user and password"
    ]
    assert metrics.registry.get_sample_value("whosthere_ingest_refused_total", {"code": "login_refused"}) == 6


def test_passwords_stand_nowhere(points: PublishPoints, metrics: Metrics, time: Time):
    desk = FrontDesk(points, metrics, time)
    assert desk.logins()["door"] == DOOR
    assert DOOR[1] not in repr(points["door"].camera)


def test_who_does_not_read_answers_is_not_read(desk: FrontDesk):
    line, connection = Line(), Connection(desk)
    connection.connection_made(line)
    connection.pause_writing()
    assert not line.is_read
    connection.resume_writing()
    assert line.is_read
    connection.pause_writing()
    line.abort()
    connection.resume_writing()  # on a connection that is closed this must not be asked for
    assert not line.is_read
    connection.connection_lost(None)


@pytest.mark.parametrize(("peer", "status"), [("127.0.0.1", 200), ("192.0.2.1", 401), ("::ffff:192.0.2.1", 401)])
def test_basic_is_for_this_machine_alone(desk: FrontDesk, time: Time, peer: str, status: int):
    line, connection = Line(peer), Connection(desk)
    connection.connection_made(line)
    head = b"ANNOUNCE rtsp://h/door RTSP/1.0\r\nCSeq: 1\r\nAuthorization: Basic %s\r\nContent-Length: %d\r\n\r\n"
    connection.data_received(head % (base64.b64encode(b"door:word"), len(SDP)) + SDP)
    time.pass_s(1.0)
    connection.tick(time())
    assert line.written.startswith(b"RTSP/1.0 %d " % status)
    assert b"Basic" not in line.written
    connection.connection_lost(None)


def test_an_ipv6_household_has_the_places_and_the_guesses_of_one(desk: FrontDesk, metrics: Metrics):
    of_one = [Line(f"2001:db8:0:1::{n:x}") for n in range(MOST_WAITING_OF_ONE + 3)]
    other = Line("2001:db8:0:2::1")
    for line in (other, *of_one):
        Connection(desk).connection_made(line)
    assert [line.is_closed for line in of_one] == [True] * 3 + [False] * MOST_WAITING_OF_ONE
    assert not other.is_closed
    for number in range(MOST_WRONG):
        assert not desk.is_guessing("2001:db8:0:1::9", "door")
        desk.wrong_login(f"2001:db8:0:1::{number:x}", "door")
    assert desk.is_guessing("2001:db8:0:1:9::9", "door")
    assert not desk.is_guessing("2001:db8:0:2::9", "door")
    assert not desk.is_guessing("2001:db8:0:1::9", "hall")
    assert [desk.is_flood(f"2001:db8:0:1::{n:x}") for n in range(MOST_BARE + 1)] == [False] * MOST_BARE + [True]


def test_whoever_guesses_from_many_places_makes_nobody_elses_guesses_undone(desk: FrontDesk):
    for number in range(MOST_WRONG):
        desk.wrong_login("192.0.2.1", "door")
        desk.wrong_login(f"198.51.100.{number}", "door")
    assert desk.is_guessing("192.0.2.1", "door")
