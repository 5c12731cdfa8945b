"""Somebody stands in view; a running service learns from the CLI, another process, who that is, and forgets it."""

import time

import orjson
import pytest

from tests.faces import KNOWN, NAME, write_film
from tests.live.mosquitto import Mosquitto
from tests.live.service import ServiceProcess, until
from tests.live.subscriber import Subscriber, assert_told_whole, names_of

pytestmark = pytest.mark.live

# An enrolment is noticed within a second; the rest is for machines that are busy with other things.
SOON_S = 10.0


@pytest.fixture
def clip(tmp_path):
    """To be looped: she stands there for as long as the test wants."""
    return write_film(tmp_path / "standing.mp4", ([KNOWN], 1))


async def test_who_stands_in_view_is_named_and_forgotten(clip, tmp_path):
    config = {
        "paths": {"data": "data"},
        "cameras": {"door": {"url": str(clip), "fps": 10, "loop": True}},
        "events": {"gone_after_s": 30},  # a machine that is busy for seconds ends no visit
    }
    with Mosquitto(tmp_path) as broker, Subscriber(broker.port, tmp_path) as heard:
        await heard.catch_up()
        with ServiceProcess(tmp_path, config | {"mqtt": {"port": broker.port}}) as service:
            await until(lambda: heard.events("door"))
            (new,) = heard.events("door")
            assert (new["type"], new["person"]) == ("new", None)
            await service.until_ready()

            service.run("enrol", NAME, KNOWN.file)
            enrolled_at = time.time()
            (listed,) = orjson.loads(service.run("people", "list", "--json"))["people"]
            last_seen = f"whosthere/people/{listed['id']}/last_seen"
            await until(lambda: heard.on(last_seen), SOON_S)
            named = heard.visits("door")[0][1]
            assert (named["event_id"], named["seq"], named["type"]) == (new["event_id"], 2, "update")
            assert (named["person"], named["previous_person"]) == ({"id": listed["id"], "name": NAME}, None)
            assert list(heard.retained(last_seen)) == [last_seen]
            assert heard.on(last_seen)[-1].document["event_id"] == new["event_id"]
            print(f"named {named['published_at'] - enrolled_at:.2f} s after enrol returned")  # noqa: T201

            service.run("people", "forget", NAME, "--yes")
            forgotten_at = time.time()
            await until(lambda: heard.visits("door")[0][-1]["person"] is None, SOON_S)
            nobody = heard.visits("door")[0][-1]
            assert (nobody["type"], nobody["previous_person"]) == ("update", None)
            assert listed["id"] not in str(heard.events("door")[-1])
            assert heard.on(f"whosthere/cameras/door/identity/{listed['id']}")[-1].document["seq"] == 2
            await until(lambda: heard.on(last_seen)[-1].payload is None, SOON_S)
            assert heard.retained(last_seen) == {}
            print(f"unnamed {nobody['published_at'] - forgotten_at:.2f} s after forget returned")  # noqa: T201
            assert service.stop() == 0
        await heard.catch_up()
    (told,) = heard.visits("door")
    assert_told_whole([told])
    assert names_of(told) == [None, NAME]
    assert told[-1]["person"] is None
    assert heard.misaddressed() == []
    changes = [event for event in heard.events("door") if (event["event_id"], event["seq"]) == (new["event_id"], 2)]
    assert len(changes) == 2, "a change of identity is told on the old topic and on the new one"
    # What is kept on disk holds no name any more.
    for file in service.data.iterdir():
        assert NAME.encode() not in file.read_bytes(), file
