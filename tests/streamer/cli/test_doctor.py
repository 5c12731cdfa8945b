"""`doctor` as it is typed: configurations that don't hold, folders of the past and the future, a service that runs."""

import hashlib
import shlex
import socket
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamer import __version__
from streamer.doctor import running
from streamer.doctor.cures import Cures
from streamer.doctor.running import Answers
from streamer.settings import Settings
from streamer.settings_reading import load
from tests.command import Ended, assert_refused, whosthere
from tests.gallery.portable import portable_person
from tests.live.mosquitto import Mosquitto
from tests.live.service import ServiceProcess
from tests.seeded import keep_visit, opened, seeded
from tests.upgrade.folders import unpack

SECRET = "hunter2"
MORE = ("people forget Ada --yes", "gallery backup b.db", "gallery reindex", "calibrate", "events --since 1h")


def findings(ended: Ended) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["part"], row["code"]): row for row in ended.document["findings"]}


def digests(folder: Path) -> dict[str, str]:
    """Of all that holds something: SQLite removes a log that is empty when it has read a file."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        pytest.param("cameras: [", "config_unreadable", marks=pytest.mark.thorough),
        ("mqqt: {host: a}", "config_unknown_key"),
        pytest.param("paths: {data: 5}", "config_invalid", marks=pytest.mark.thorough),
    ],
)
def test_a_configuration_that_does_not_hold(tmp_path: Path, text: str, code: str):
    (tmp_path / "whosthere.yaml").write_text(text)
    ended = whosthere("doctor", cwd=tmp_path)
    assert ended.code == 1
    assert "Traceback" not in ended.everything
    assert ended.out.startswith("FAULT   config: ")
    assert '"${EDITOR:-nano}" whosthere.yaml' in ended.out
    assert "mend the configuration first" in ended.out
    assert ended.err == f"whosthere: 1 fault and 0 warnings [{code}]\n"


@pytest.mark.parametrize("text", ["no variable", "OTHER='1'"])
def test_variables_that_are_missing_or_broken_are_mended_in_their_own_file(tmp_path: Path, text: str):
    (tmp_path / "whosthere.yaml").write_text('mqtt: {username: a, password: "${BROKER_PASSWORD}"}')
    (tmp_path / "whosthere.env").write_text(f"{text}\n")
    ended = whosthere("doctor", cwd=tmp_path)
    assert ended.code == 1
    assert '"${EDITOR:-nano}" whosthere.env' in ended.out
    assert "whosthere.yaml" not in ended.out


def test_changes_of_cameras_that_can_not_be_read(tmp_path: Path):
    (tmp_path / "whosthere.yaml").write_text("mqtt: {port: 1}")
    (tmp_path / "var").mkdir(mode=0o700)
    (tmp_path / "var" / "cameras.json").write_text("{")
    (row,) = findings(whosthere("doctor", "--json", cwd=tmp_path)).values()
    (line,) = row["mend"]
    subprocess.run(["bash", "-c", line], check=True)
    assert whosthere("cameras", "list", cwd=tmp_path).code == 0


def test_nothing_is_made_where_nothing_is(tmp_path: Path):
    ended = whosthere("doctor", "--set", "mqtt.port=1", "--json", cwd=tmp_path)
    found = findings(ended)
    assert list(tmp_path.iterdir()) == []
    assert ended.code == 1
    assert ended.document["ok"] is False
    assert found["broker", "broker_unreachable"]["severity"] == "fault"
    assert ended.document["faults"] == 1
    assert {"config_shipped", "data_folder_new", "gallery_empty", "service_stopped"} <= {code for _, code in found}


def test_a_gallery_of_before_is_looked_at_and_left_as_it_is(tmp_path: Path):
    home = unpack("gallery-2", tmp_path)
    before = digests(home)
    file = next(home.rglob("gallery.db"))
    ended = whosthere("doctor", "--set", "mqtt.port=1", "--set", f"paths.data={file.parent}", "--json", cwd=home)
    found = findings(ended)
    assert digests(home) == before
    assert found["gallery", "gallery_older"]["severity"] == "hint"
    assert found["gallery", "never_backed_up"]["severity"] == "warning"
    assert "Ada" not in ended.everything


@pytest.fixture(scope="module")
def future(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder that a later whosthere wrote."""
    home = seeded(tmp_path_factory.mktemp("future") / "home", [portable_person()], http={"port": 0})
    with opened(home) as store:
        keep_visit(home, store.people()[0].id, 1, 1.7e9)
    settings = load(home / "whosthere.yaml")
    with closing(sqlite3.connect(settings.outbox_path)) as db:
        db.execute("CREATE TABLE pending (what)")
    for path in (settings.gallery_path, settings.outbox_path, settings.visits_path):
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA user_version = 99")
    return home


@pytest.mark.thorough  # the same of each file by itself: tests/upgrade
@pytest.mark.parametrize("command", ["serve", "people list", "gallery purge", *MORE])
def test_a_folder_of_the_future_is_refused_in_one_line_and_left_as_it_is(future: Path, command: str):
    before = digests(future / "var")
    line = assert_refused(
        whosthere(*command.split(), cwd=future), "outbox_too_new" if command == "serve" else "gallery_too_new"
    )
    assert "newer whosthere" in line or "update whosthere" in line
    (future / "var" / "lock").unlink(missing_ok=True)
    assert digests(future / "var") == before


def test_doctor_of_a_folder_of_the_future(future: Path):
    before = digests(future / "var")
    found = findings(whosthere("doctor", "--json", cwd=future))
    for part, code in (
        ("gallery", "gallery_too_new"),
        ("outbox", "outbox_too_new"),
        ("kept visits", "kept_visits_too_new"),
    ):
        assert found[part, code]["severity"] == "fault"
        assert "pip install --upgrade '.[cpu]'" in found[part, code]["mend"][0]
    assert digests(future / "var") == before


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.thorough
@pytest.mark.live
async def test_a_service_that_runs(tmp_path: Path):
    """A camera that is away, and what mends the rest. From warnings to nothing wrong: tests/test_stack.py."""
    (tmp_path / "broker").mkdir()
    config = {
        "paths": {"data": str(tmp_path / "data")},
        "http": {"port": free_port()},
        "cameras": {
            "gate": {"url": f"rtsp://ada:{SECRET}@127.0.0.1:1/h264"},
            "hall": {"url": f"rtsp://ada:{SECRET}@127.0.0.1:1/h264", "enabled": False},
        },
    }
    with Mosquitto(tmp_path / "broker") as broker:
        (tmp_path / "whosthere.yaml").write_text(yaml.safe_dump(config | {"mqtt": {"port": broker.port}}))
        with opened(tmp_path) as store:
            store.add_portable(portable_person())
        with ServiceProcess(tmp_path, config | {"mqtt": {"port": broker.port}}) as service:
            await service.until_ready("broker")
            await service.until_people(1)
            ended = whosthere("doctor", "--json", cwd=tmp_path)
            found = findings(ended)
            assert ended.code == 1, ended.document
            assert ended.document["service"].startswith(f"running, version {__version__}, at http://127.0.0.1:")
            assert found["camera gate", "camera_unreachable"]["severity"] == "fault"
            assert found["camera hall", "camera_disabled"]["severity"] == "hint"
            assert found["http", "tokens_none"]["severity"] == "warning"
            for words in ("Ada Lovelace", SECRET):
                assert words not in ended.everything

            token = found["http", "tokens_none"]["mend"][0]
            subprocess.run(shlex.split(token), cwd=tmp_path, check=True, capture_output=True)
            backup = found["gallery", "never_backed_up"]["mend"][0].replace("BACKUP", "copy.db")
            subprocess.run(shlex.split(backup), cwd=tmp_path, check=True, capture_output=True)
            assert whosthere("cameras", "remove", "gate", cwd=tmp_path).code == 0

            ended = whosthere("doctor", "--set", "cameras.hall.enabled=false", cwd=tmp_path)
            left = [line for line in ended.out.splitlines() if line.startswith(("FAULT", "warning"))]
            assert [line.split("[")[-1] for line in left] == ["cameras_none]"], ended.out
            assert (ended.code, ended.err) == (0, "")


def test_what_the_figures_of_a_service_tell(tmp_path: Path):
    settings = Settings()
    cures = Cures(settings, tmp_path / "whosthere.yaml")
    text = """
# TYPE whosthere_build_info gauge
whosthere_build_info{version="0.0.1"} 1.0
# TYPE whosthere_outbox_depth gauge
whosthere_outbox_depth 90000.0
# TYPE whosthere_outbox_dropped counter
whosthere_outbox_dropped_total 3.0
# TYPE whosthere_frames counter
whosthere_frames_total{camera="door",outcome="processed"} 1900.0
whosthere_frames_total{camera="door",outcome="skipped"} 200.0
"""
    samples, by_label, version = running._samples(text)
    parts = {"camera door": (True, "black: nothing but black"), "broker": (False, "it is away"), "rerank": (True, "")}
    found = {one.code: one for one in running.troubles(Answers("", parts, samples, by_label, version), settings, cures)}
    assert {code: one.severity for code, one in found.items()} == {
        "service_outdated": "warning",
        "black": "warning",
        "broker_unreachable": "fault",
        "outbox_filling": "fault",
        "outbox_dropped": "warning",
        "frames_skipped": "warning",
    }
    assert "cameras probe door" in found["black"].mend[0]


async def test_nobody_or_somebody_else_answers(tmp_path: Path):
    assert await running.ask(f"http://127.0.0.1:{free_port()}") is None
    for http, address in (
        ({"port": 0}, None),
        ({"enabled": False}, None),
        ({"host": "0.0.0.0", "port": 80}, "http://127.0.0.1:80"),
        ({"host": "::", "port": 80}, "http://[::1]:80"),
    ):
        assert running.address_of(Settings.model_validate({"http": http}).http) == address
