"""What a plain service keeps of people: of strangers nothing, of others no name and no picture that can be read."""

import httpx
import pytest

from tests.faces import KNOWN, NAME, STRANGERS, write_film
from tests.live.mosquitto import Mosquitto
from tests.live.service import ServiceProcess, until
from tests.live.subscriber import Subscriber, names_of

pytestmark = pytest.mark.live

PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"WEBPVP8")


async def test_of_strangers_nothing_is_kept_and_of_others_nothing_that_can_be_read(tmp_path):
    film = write_film(tmp_path / "street.mp4", ([KNOWN, STRANGERS[0]], 2), ((), 2))
    config = {
        "paths": {"data": "data"},
        "cameras": {"door": {"url": str(film), "fps": 5, "loop": True}},
        "events": {"gone_after_s": 0.5},
        "service": {"log_level": "debug"},
    }
    with Mosquitto(tmp_path) as broker, Subscriber(broker.port, tmp_path) as heard:
        await heard.catch_up()
        with ServiceProcess(tmp_path, config | {"mqtt": {"port": broker.port}}) as service:
            service.run("enrol", NAME, KNOWN.file)

            def both_went() -> bool:
                ended = [visit for visit in heard.visits("door") if visit[-1]["type"] == "end"]
                return {NAME, None} <= {names_of(visit)[-1] for visit in ended}

            await until(both_went)
            async with httpx.AsyncClient() as client:
                metrics = (await client.get(f"{service.http}/metrics")).text
                readiness = (await client.get(f"{service.http}/readyz")).text
            assert service.stop() == 0
            log = service.log_file.read_text()
    written = {file: file.read_bytes() for file in service.data.rglob("*") if file.is_file()}
    assert {file.name for file in written} >= {"gallery.db", "outbox.db"}
    assert "visits.db" not in {file.name for file in written}, "no camera keeps visits unless it is told to"
    for file, content in written.items():
        assert NAME.encode() not in content, file
        assert not [magic for magic in PICTURES if magic in content], f"{file}: a picture"
    assert sum(b"SQLite format 3" in content[:16] for content in written.values()) == 2, "the gallery and the outbox"
    for text in (log, metrics, readiness):
        assert NAME not in text
    keys = tmp_path / "data-keys"
    assert (keys.stat().st_mode & 0o777, (keys / "master.key").stat().st_mode & 0o777) == (0o700, 0o600)
    secret = (keys / "master.key").read_bytes().strip()
    assert not [file for file, content in written.items() if secret in content]
    assert secret.decode() not in log
