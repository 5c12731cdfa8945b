"""The benchmark of the outbox with few events: it ends, and every event has reached the broker."""

from streamer.bench.mqtt import mosquitto as broker
from streamer.bench.mqtt.run import made_up, run_mqtt
from streamer.bench.parts import Parts
from tests.live.mosquitto import program


async def test_both_ways_are_measured_beside_a_bare_client(tmp_path):
    program("mosquitto")
    document = (await run_mqtt(tmp_path, Parts(lambda _: None), events=60, rounds=1))["mqtt"]

    for way in ("plain", "tls"):
        assert document[way]["ours"]["per_s"] > 0
        assert document[way]["bare"]["cpu_us"] > 0
    assert list(tmp_path.glob("*.db")) == []


async def test_without_a_broker_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(broker, "_PATH", str(tmp_path))
    parts = Parts(lambda _: None)
    document = await run_mqtt(tmp_path, parts, events=3)
    assert document == {"mqtt": {"events": 3, "plain": None, "tls": None}}
    (failed,) = parts.failed
    assert failed["part"] == "mosquitto"
    assert "apt-get install mosquitto" in failed["why"]


def test_events_are_whole_visits():
    dues = made_up(9)

    assert [due.event.type for due in dues] == ["new", "update", "end"] * 3
    assert len({due.event.event_id for due in dues}) == 3
    assert {due.levels[0] == "unknown" for due in dues} == {True, False}
