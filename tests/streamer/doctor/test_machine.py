"""The clock, packages, open files; folders' permissions, schemas, room, what was set aside."""

import resource
import shutil
import sqlite3
from collections import namedtuple
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest

from streamer.doctor import folder, host, waiting
from streamer.doctor.cures import Cures
from streamer.doctor.trouble import Trouble
from streamer.events.outbox import Outbox
from streamer.settings import CameraSettings, PathsSettings, Settings
from streamer.telemetry.metrics import Metrics
from tests.streamer.messages import due


def settings_in(where: Path, **more: object) -> Settings:
    return Settings(paths=PathsSettings(data=where / "var"), **more)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "var").mkdir(mode=0o700)
    return settings_in(tmp_path)


@pytest.fixture
def cures(settings: Settings, tmp_path: Path) -> Cures:
    return Cures(settings, tmp_path / "whosthere.yaml")


def codes(found: Iterable[Trouble]) -> list[str]:
    return [one.code for one in found]


def test_a_clock_that_was_never_set(cures: Cures):
    (found,) = host.clock(cures, now=86_400.0)
    assert (found.severity, found.code) == ("fault", "clock_unset")
    assert "1970-01-02" in found.detail


def test_packages_that_are_missing_or_of_another_version(cures: Cures):
    wanted = [
        "nowhere-to-be-had>=1",
        "pytest>=99",
        "numpy>=1",
        "nowhere-too>=1; extra == 'gpu'",
        "ruff<0.1; extra == 'dev'",
    ]
    missing, untested = host.packages(cures, wanted)
    assert (missing.severity, missing.code) == ("fault", "package_missing")
    assert (untested.severity, untested.code) == ("warning", "package_untested")
    assert untested.mend[0].endswith("-m pip install 'pytest>=99'")


def test_what_is_installed_here_is_what_it_was_tested_with(cures: Cures):
    assert codes(host.packages(cures, host._requirements())) == []
    assert len(host._requirements()) > 20


def test_two_packages_of_one_module(cures: Cures):
    (found,) = host.rivals(cures, {"onnxruntime", "onnxruntime-gpu", "faiss-cpu"})
    assert found.code == "packages_conflict"
    assert found.mend[0].endswith("uninstall -y onnxruntime")
    assert codes(host.rivals(cures, {"onnxruntime", "faiss-cpu"})) == []


def test_too_few_open_files_for_so_many_cameras(tmp_path: Path, cures: Cures):
    many = settings_in(tmp_path, cameras={f"c{n}": CameraSettings(url="rtsp://127.0.0.1/") for n in range(200)})
    assert codes(host.open_files(many, cures, 1024)) == ["open_files_low"]
    assert codes(host.open_files(many, cures, 65_536)) == []
    assert codes(host.open_files(many, cures, resource.RLIM_INFINITY)) == []


def test_a_folder_as_it_should_be(settings: Settings, cures: Cures):
    assert codes(folder.look(settings, cures)) == []


def test_who_else_may_read_it(settings: Settings, cures: Cures):
    settings.paths.data.chmod(0o755)
    (settings.paths.data / "tokens.json").write_text("{}")
    settings.paths.key_folder.mkdir(mode=0o700)
    found = list(folder.look(settings, cures))
    assert codes(found) == ["open_to_others"] * 2
    assert found[1].mend == (f"chmod go-rwx {settings.paths.data / 'tokens.json'}",)
    for one in found:
        assert one.severity == "warning"


def test_a_place_that_is_no_folder(settings: Settings, cures: Cures):
    settings.paths.data.rmdir()
    settings.paths.data.write_text("")
    (found,) = folder.look(settings, cures)
    assert (found.severity, found.code) == ("fault", "data_folder_unwritable")


def test_schemas_of_the_past_and_of_the_future(settings: Settings, cures: Cures):
    for path, version in ((settings.gallery_path, 2), (settings.outbox_path, 99), (settings.visits_path, 99)):
        with closing(sqlite3.connect(path)) as db:
            db.execute(f"PRAGMA user_version = {version}")
            db.execute("CREATE TABLE t (a)")
        path.chmod(0o600)
    (settings.paths.data / "outbox.db.damaged-20260101T000000Z").write_text("")
    found = {one.code: one for one in folder.look(settings, cures)}
    assert set(found) == {"gallery_older", "outbox_too_new", "kept_visits_too_new", "set_aside"}
    assert found["gallery_older"].severity == "hint"
    assert found["outbox_too_new"].severity == "fault"


@pytest.mark.parametrize(("free_mib", "code"), [(100, "disk_full"), (1500, "disk_low"), (100_000, None)])
def test_room(settings: Settings, cures: Cures, monkeypatch: pytest.MonkeyPatch, free_mib: int, code: str | None):
    usage = namedtuple("usage", "total used free")(1 << 40, 0, free_mib << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert codes(folder.look(settings, cures)) == ([code] if code else [])


async def test_what_waits_of_a_service_that_does_not_run(settings: Settings, cures: Cures):
    assert codes(waiting.look(settings, cures)) == []
    async with Outbox(settings.outbox_path, limit=100, max_age_s=1e9, metrics=Metrics()) as outbox:
        outbox.put(due("a1n"))
        assert await outbox.flush()
    (found,) = waiting.look(settings, cures)
    assert (found.severity, found.code) == ("warning", "outbox_waiting")
    assert found.detail.startswith("1 messages wait for the broker, the oldest of ")
    settings.outbox_path.write_text("no database")
    for side in settings.paths.data.glob("outbox.db-*"):
        side.unlink()
    assert codes(waiting.look(settings, cures)) == ["outbox_damaged"]
