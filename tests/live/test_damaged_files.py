"""Acceptance: a damaged outbox, a gallery that is deleted or replaced, a disk that is full: the service goes on, and
says so where a user looks.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command import assert_refused, whosthere
from tests.faces import KNOWN, STRANGERS, write_film
from tests.galleries import keys_of, open_store
from tests.gallery.fakes import photo_of, unit
from tests.live.mosquitto import Mosquitto
from tests.live.service import ServiceProcess, until
from tests.live.subscriber import Subscriber, assert_told_whole
from tests.small_disk import fill, small_disk

pytestmark = pytest.mark.live


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as running:
        yield running


def config(tmp_path: Path, broker: Mosquitto, **paths: str) -> dict[str, Any]:
    film = write_film(tmp_path / "street.mp4", ([KNOWN, *STRANGERS[:2]], 2), ((), 1.5))
    return {
        "paths": {"data": "data"} | paths,
        "mqtt": {"port": broker.port},
        "cameras": {"street": {"url": str(film), "fps": 5, "loop": True}},
        "events": {"faces_to_settle": 1, "gone_after_s": 0.5},
    }


async def until_waiting(service: ServiceProcess, count: int) -> None:
    async def waiting() -> bool:
        return await service.metric("whosthere_outbox_depth") >= count

    await until(waiting)


async def reason_of(service: ServiceProcess, part: str) -> str:
    return (await service.parts())[part]["reason"] or ""


def lines_with(service: ServiceProcess, code: str) -> list[str]:
    return [line["message"] for line in service.log() if line.get("code") == code]


@pytest.mark.parametrize(
    "harm", ["zeroes", *(pytest.param(harm, marks=pytest.mark.thorough) for harm in ("no database", "deleted"))]
)
async def test_an_outbox_damaged_between_two_starts_and_while_running(tmp_path, broker, harm):
    await Subscriber.awaited(broker.port, tmp_path)
    broker.stop()
    with ServiceProcess(tmp_path, config(tmp_path, broker)) as service:

        def damage() -> None:
            path = service.data / "outbox.db"
            if harm == "deleted":
                path.unlink()
                return
            with path.open("r+b") as file:
                whole = path.stat().st_size
                file.write(bytes(whole) if harm == "zeroes" else b"no database, " * (whole // 13))

        await service.until_ready("camera street")
        await until_waiting(service, 6)
        damage()
        if harm == "deleted":

            async def noticed() -> bool:
                return "saved" in await reason_of(service, "outbox")

            await until(noticed)
            reason = await reason_of(service, "outbox")
            (log,) = service.data.glob("outbox.db.damaged-*-wal")
            assert reason.startswith(f"deleted, set aside as {log.name}; saved: ")
            assert (
                f"lost: nothing; leave outbox.db alone, or stop the service before it is moved; delete {log.name}"
                in reason
            )
            assert await service.metric("whosthere_outbox_depth") >= 6, "it was saved whole"
        service.kill()
        service.start()
        await service.until_ready("camera street", "outbox")
        if harm != "deleted":
            (aside,) = [file for file in service.data.glob("outbox.db.damaged-*") if file.name.endswith("Z")]
            assert aside.name in await reason_of(service, "outbox")
            assert await service.metric("whosthere_outbox_errors_total", code="outbox_damaged") == 1
        (line,) = lines_with(service, "outbox_damaged")
        assert "a new one is used" in line
        await until_waiting(service, 6)
        broker.start()
        with Subscriber(broker.port, tmp_path) as heard:
            await service.until_ready("broker")
            assert service.stop() == 0
            await heard.catch_up()
            assert len(heard.visits()) >= 3
            if harm == "deleted":
                assert_told_whole(heard.visits())
    assert "Traceback" not in service.log_file.read_text()


async def test_a_gallery_that_is_deleted_and_replaced(tmp_path, broker):
    with ServiceProcess(tmp_path, config(tmp_path, broker)) as service:
        service.run("enrol", "Ada", KNOWN.file)
        await service.until_people(1)
        copy = shutil.copy(service.data / "gallery.db", tmp_path / "copy.db")
        for file in service.data.glob("gallery.db*"):
            file.unlink()

        async def missed() -> bool:
            return not (await service.readiness())["gallery"]

        await until(missed)
        assert "is gone; put it back" in await reason_of(service, "gallery")
        assert (await reason_of(service, "gallery")).endswith("1 people are served from memory")
        refused = whosthere("people", "list", "--set", f"paths.data={service.data}", cwd=tmp_path)
        assert_refused(refused, "gallery_missing")
        open_store(service.data / "gallery.db").close()  # another program's: an empty one
        await until(lambda: len(lines_with(service, "gallery_missing")) >= 1)
        assert await missed()
        assert await service.metric("whosthere_gallery_people") == 1

        Path(copy).rename(service.data / "gallery.db")
        for file in service.data.glob("gallery.db-*"):
            file.unlink(missing_ok=True)
        await service.until_ready("gallery")
        service.run("enrol", "Eve", STRANGERS[4].file)
        await service.until_people(2)
        with open_store(tmp_path / "other.db", keys_of(service.data / "gallery.db")) as store:
            store.add_person("Grace", [photo_of(unit(1))])
        (tmp_path / "other.db").rename(service.data / "gallery.db")
        await until(lambda: any("; 1 people are in it" in line for line in lines_with(service, "gallery_replaced")))
        await service.until_ready("gallery")
        assert service.stop() == 0
    assert "Traceback" not in service.log_file.read_text()


@pytest.mark.parametrize("has_outbox", [True, pytest.param(False, marks=pytest.mark.thorough)])
async def test_a_disk_that_is_full_before_the_start(tmp_path, broker, has_outbox):
    with small_disk(6) as disk, ServiceProcess(tmp_path, config(tmp_path, broker, data=str(disk))) as service:
        await service.until_ready("outbox", "gallery")
        assert service.stop() == 0
        assert whosthere("enrol", "Ada", KNOWN.file, "--set", f"paths.data={disk}", cwd=tmp_path).code == 0
        if not has_outbox:
            for file in disk.glob("outbox.db*"):
                file.unlink()
        hog = fill(disk)
        service.start()
        await service.until_ready("camera street", "broker")
        assert (await service.parts())["gallery"]["ok"] is False
        assert "free some room or mend it, then try again; 1 people are served from memory" in await reason_of(
            service, "gallery"
        )
        assert await service.metric("whosthere_gallery_people") == 1
        assert lines_with(service, "gallery_unwritable")
        if not has_outbox:
            assert await reason_of(service, "outbox") == "can't be written"
            assert lines_with(service, "outbox_unwritable")
            await until_waiting(service, 3)
        processed = await service.metric("whosthere_frames_total", outcome="processed")

        async def goes_on() -> bool:  # for longer than it takes to try again
            return await service.metric("whosthere_frames_total", outcome="processed") > processed + 20

        await until(goes_on)
        assert (await service.parts())["gallery"]["ok"] is False
        with Subscriber(broker.port, tmp_path) as heard:
            hog.unlink()
            await service.until_ready()
            await until(lambda: len(heard.visits()) >= 3)
            assert service.stop() == 0
            await heard.catch_up()
            assert any(event["person"] for event in heard.events())
        assert "Traceback" not in service.log_file.read_text()
