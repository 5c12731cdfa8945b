"""A gallery is backed up, put under another key and restored while a service looks at who stands in view."""

import shutil
from dataclasses import replace

import orjson
import pytest

from gallery.people import Consent
from tests.command import assert_refused, whosthere
from tests.faces import KNOWN, NAME, write_film
from tests.gallery.portable import portable_person
from tests.live.mosquitto import Mosquitto
from tests.live.service import ServiceProcess, until
from tests.live.subscriber import Subscriber
from tests.seeded import seeded

pytestmark = pytest.mark.live

SOON_S = 20.0  # it is noticed within a second; the rest is for machines that are busy with other things


async def test_a_running_service_goes_on_through_all_of_it(tmp_path):
    clip = write_film(tmp_path / "standing.mp4", ([KNOWN], 1))
    config = {"paths": {"data": "data"}, "cameras": {"door": {"url": str(clip), "fps": 10, "loop": True}}}
    nobody, somebody = tmp_path / "nobody.db", tmp_path / "somebody.db"
    with Mosquitto(tmp_path) as broker, Subscriber(broker.port, tmp_path) as heard:
        await heard.catch_up()

        def is_named(name: str | None) -> bool:
            last = heard.events("door")[-1]["person"]
            return (None if last is None else last["name"]) == name

        with ServiceProcess(tmp_path, config | {"mqtt": {"port": broker.port}}) as service:
            await until(lambda: heard.events("door"))
            service.run("gallery", "backup", nobody)
            service.run("enrol", NAME, KNOWN.file)
            await until(lambda: is_named(NAME), SOON_S)
            (person,) = orjson.loads(service.run("people", "list", "--json"))["people"]
            service.run("gallery", "backup", somebody)
            shutil.copy(tmp_path / "data-keys" / "master.key", tmp_path / "old.key")
            service.run("gallery", "rekey")

            command = service.command("gallery", "restore", str(nobody))[3:]
            assert_refused(whosthere(*command, cwd=tmp_path), "master_key_wrong")
            assert is_named(NAME)
            service.run("gallery", "restore", nobody, "--key-file", tmp_path / "old.key")
            await until(lambda: is_named(None), SOON_S)
            service.run("gallery", "restore", somebody, "--key-file", tmp_path / "old.key")
            await until(lambda: is_named(NAME), SOON_S)

            service.run("people", "forget", person["id"], "--yes")
            await until(lambda: is_named(None), SOON_S)
            service.run("gallery", "restore", somebody, "--key-file", tmp_path / "old.key")
            assert orjson.loads(service.run("people", "list", "--json"))["people"] == []
            actions = [entry["action"] for entry in _audit(service)]
            assert actions == [
                *("made", "backed_up", "enrolled", "backed_up", "rekeyed"),
                *("restored", "gone", "restored", "forgotten", "restored"),
            ]
            assert service.stop() == 0
        assert [line for line in service.log() if line["level"] in ("error", "critical")] == []


def _audit(service: ServiceProcess) -> list[dict[str, str]]:
    """The whole log, which holds against its chain."""
    return list(orjson.loads(service.run("gallery", "audit", "--verify", "--json"))["entries"])


async def test_who_has_had_their_time_is_erased_when_the_service_starts(tmp_path):
    over, goes_on = portable_person(1, "Ada Lovelace"), portable_person(2, "Bob")
    consent = Consent("herself", 1.7e9, "the door", 1.76e9)
    paths = {"data": "data"}
    seeded(tmp_path, [replace(over, profile=replace(over.profile, consent=consent)), goes_on], paths=paths)
    backup = tmp_path / "before.db"
    with ServiceProcess(tmp_path, {"paths": paths, "mqtt": {"port": 1}}) as service:
        service.run("gallery", "backup", backup)

        def people() -> list[str]:
            return [person["id"] for person in orjson.loads(service.run("people", "list", "--json"))["people"]]

        await until(lambda: people() == [goes_on.id])
        service.run("gallery", "restore", backup)
        assert people() == [goes_on.id], "who was erased stays so"
        (erased,) = [entry for entry in _audit(service) if entry["action"] == "forgotten"]
        assert (erased["actor"], erased["person_id"]) == ("service", over.id)
        assert service.stop() == 0
    for file in service.data.iterdir():
        assert b"Lovelace" not in file.read_bytes(), file
    told = [line["message"] for line in service.log() if line.get("code") == "consent_expired"]
    assert told == [f"person {over.id} is erased: consent_expired"]
