"""Acceptance: data folders as versions of before left them, killed, are opened by today's with everything in them."""

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from gallery.storage.schema import SCHEMA_VERSION
from streamer.access.token_file import read_tokens
from streamer.camera_changes import read_changes
from streamer.events.outbox import Outbox
from streamer.kept_visits.visits_file import VisitsFile
from streamer.model_layer.manual_choice import read_choice
from streamer.process import key_source, store_of
from streamer.settings import Settings
from streamer.settings_reading import load
from streamer.telemetry.metrics import Metrics
from tests.command import assert_refused, whosthere
from tests.faces import KNOWN, write_film
from tests.live.mosquitto import Mosquitto
from tests.live.service import ServiceProcess, until
from tests.live.subscriber import Subscriber
from tests.upgrade.folders import DATA, NAMES, unpack

ADA, GRACE = "Ada Lovelace", "Grace Hopper"
# Made between two steps to schema 3, before logs had a seal: how such a log ended nobody can say.
UNSEALED = "gallery-3-first"
WEEKS_S = 1e9


@dataclass(frozen=True)
class Left:
    """A folder of before, with what its own version is known to have had in it."""

    name: str
    home: Path
    facts: dict[str, Any]

    @property
    def settings(self) -> Settings:
        return load(self.home / "whosthere.yaml", environ={})

    def rows(self, file: str, table: str) -> int:
        return int(self.facts.get(file, {"rows": {}})["rows"].get(table, 0))


@pytest.fixture(params=NAMES)
def left(request: pytest.FixtureRequest, tmp_path: Path) -> Left:
    return left_by(request.param, tmp_path / "home")


def left_by(name: str, home: Path) -> Left:
    home.mkdir()
    return Left(name, unpack(name, home), json.loads((DATA / f"{name}.json").read_text()))


def count(file: Path, table: str) -> int:
    with closing(sqlite3.connect(file)) as db:
        return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def everything_in(home: Path) -> dict[str, Any]:
    """Of databases their rows, of other files their bytes; nothing of them is open."""
    found: dict[str, Any] = {}
    for path in sorted(path for path in home.rglob("*") if path.is_file()):
        if path.name.endswith(("-shm", "-wal")):
            continue
        if path.suffix == ".db" and path.parent.name == "var":
            with closing(sqlite3.connect(path)) as db:
                found[path.name] = list(db.iterdump())
        else:
            found[path.name] = path.read_bytes()
    return found


def bytes_in(home: Path) -> dict[str, bytes]:
    """Without models.json: it says what serves at this moment, and a start takes it away before anything else."""
    files = (path for path in sorted(home.rglob("*")) if path.is_file() and path.name != "models.json")
    return {str(path.relative_to(home)): path.read_bytes() for path in files}


def test_every_schema_that_there_was_has_a_folder():
    facts = [json.loads((DATA / f"{name}.json").read_text()) for name in NAMES]
    assert {one["gallery.db"]["version"] for one in facts} == set(range(1, SCHEMA_VERSION + 1))
    assert sum("visits.db" in one for one in facts) >= 2
    assert all(one["outbox.db"]["waiting"] for one in facts)


def test_everybody_is_there_with_all_that_was_kept_of_them(left: Left) -> None:
    with store_of(left.settings, actor="the test") as store:
        store.check()
        assert [person.name for person in store.people()] == [ADA, GRACE]
        assert sum(person.photos for person in store.people()) == left.rows("gallery.db", "photos")
        spaces = {space for person in store.people() for space in person.templates}
        templates = sum(len(store.templates(space).ids) for space in spaces)
        assert templates == left.rows("gallery.db", "templates") >= 2
        assert len(store.forgotten()) == left.rows("gallery.db", "forgotten")
        assert store.count_negatives() == left.rows("gallery.db", "negatives")
        assert len(store.merged()) == left.rows("gallery.db", "merged")
        ada = store.find(ADA).profile
        told = left.facts["gallery.db"]["version"] >= 3
        assert (ada.external_id, ada.tags) == (("4711", ("staff",)) if told else (None, ()))
        assert (store.audit_broken() is None) == (left.name != UNSEALED)
        assert (store.key_id is None) == left.name.endswith("-plain")
        grace = store.find(GRACE).id
        store.forget(grace)
        assert grace in store.forgotten()


async def test_what_waited_for_the_broker_waits_and_what_was_open_is_ended(left: Left) -> None:
    async with Outbox(left.settings.outbox_path, limit=10_000, max_age_s=WEEKS_S, metrics=Metrics()) as outbox:
        assert await outbox.flush()
        waiting = await outbox.peek(100)
        assert waiting is not None
        told = [(stored.event.event_id, stored.event.type) for stored in waiting]
        before = [tuple(one) for one in left.facts["outbox.db"]["waiting"]]
        assert told[: len(before)] == before
        assert [kind for _, kind in told[len(before) :]] == ["end"] * left.rows("outbox.db", "open_visits")
        assert {stored.event.end_reason for stored in waiting[len(before) :]} <= {"interrupted"}
        assert len(outbox.last_seen) == left.rows("outbox.db", "last_seen") == 1
        assert outbox.healthy
    assert list(left.settings.paths.data.glob("*damaged*")) == []


def test_kept_visits_open_with_pictures_and_faces(left: Left) -> None:
    settings = left.settings
    if "visits.db" not in left.facts:
        assert not settings.visits_path.exists(), "they came later"
        return
    with store_of(settings, actor="the test"), VisitsFile(settings.visits_path, key_source(settings)) as visits:
        visits.unlock(encrypt=settings.gallery.encryption)
        messages = [message for visit in visits.search(0.0, WEEKS_S * 10) for message in visit.messages]
        assert len(messages) == left.rows("visits.db", "messages") >= 3
        ids = {message.event_id for message in messages}
        assert len(ids) == left.rows("visits.db", "visits") >= 2
        assert {message.person.name for message in messages if message.person is not None} <= {ADA, None}
        found = filter(None, map(visits.pictures, ids))
        pictures = [picture for both in found for picture in (both.face, both.scene)]
        assert len(pictures) == left.rows("visits.db", "pictures") >= 2
        assert all(picture[:2] == b"\xff\xd8" for picture in pictures)
        assert sum(len(visits.faces(one)) for one in ids) == left.rows("visits.db", "faces") >= 1


def test_what_commands_changed_is_as_it_was(left: Left) -> None:
    settings, has_commands = left.settings, "var/tokens.json" in left.facts["files"]
    assert [(token.name, token.role) for token in read_tokens(settings.tokens_path)] == (
        [("dashboard", "viewer")] if has_commands else []
    )
    assert set(read_changes(settings.camera_changes_path)) == ({"garden"} if has_commands else set())
    assert list(settings.cameras) == ["door", "hall", *(["garden"] if has_commands else [])]
    assert read_choice(settings.model_choice_path).embedder == ("nano_embed" if has_commands else None)


async def test_what_is_up_to_date_is_not_changed_again(left: Left) -> None:
    await opened_by_a_service(left.settings)
    once = everything_in(left.home)
    await opened_by_a_service(left.settings)
    twice = everything_in(left.home)

    clocks = [[line for line in one.pop("outbox.db") if '"clock"' not in line] for one in (once, twice)]
    assert clocks[0] == clocks[1]
    assert once == twice


async def opened_by_a_service(settings: Settings) -> None:
    with store_of(settings, actor="the test") as store:
        store.check()
        store.vacuum()
    async with Outbox(settings.outbox_path, limit=10_000, max_age_s=WEEKS_S, metrics=Metrics()) as outbox:
        await outbox.flush()
    if settings.visits_path.exists():
        with VisitsFile(settings.visits_path, key_source(settings)) as visits:
            visits.unlock(encrypt=settings.gallery.encryption)


@pytest.mark.live
@pytest.mark.parametrize(
    "name", [name if name == "gallery-3" else pytest.param(name, marks=pytest.mark.thorough) for name in NAMES]
)
async def test_a_service_goes_on_where_the_one_of_before_was_killed(name: str, tmp_path: Path) -> None:
    """What waited comes to a real broker, Ada is known to a camera, and nothing is wrong."""
    left = left_by(name, tmp_path / "home")
    config = yaml.safe_load((left.home / "whosthere.yaml").read_text())
    film = write_film(left.home / "door.mp4", ([KNOWN], 2), ((), 1))
    cameras = {"door": {"url": film.name, "fps": 5, "loop": True}}
    with Mosquitto(tmp_path) as broker, Subscriber(broker.port, tmp_path) as heard:
        await heard.catch_up()
        config |= {"mqtt": {"port": broker.port}, "http": {"port": 0}, "cameras": cameras, "paths": {"data": "var"}}
        with ServiceProcess(left.home, config) as service:
            await service.until_ready()
            before = [tuple(one) for one in left.facts["outbox.db"]["waiting"]]
            await until(lambda: {(one["event_id"], one["type"]) for one in heard.events()} >= set(before))
            await until(lambda: any(one["camera"] == "door" and one["person"] for one in heard.events()))
            if name != UNSEALED:  # of that one it says that nobody attests how its log ended
                checked = json.loads(service.run("check", "--json"))
                assert all(row["ok"] for row in rows_of(checked)), checked
            assert service.stop() == 0
        ends = [one for one in heard.events() if one["end_reason"] == "interrupted"]
        assert len(ends) == left.rows("outbox.db", "open_visits")


def rows_of(checked: Any) -> list[dict[str, Any]]:
    return list(checked["checks"] if isinstance(checked, dict) else checked)


@pytest.mark.parametrize("name", ["gallery-3", pytest.param("gallery-4", marks=pytest.mark.thorough)])
def test_copies_of_before_are_restored_and_imported(name: str, tmp_path: Path) -> None:
    left = left_by(name, tmp_path / "home")
    gone = whosthere("people", "forget", GRACE, "--yes", cwd=left.home)
    assert gone.code in (0, 1), gone.err  # 1: no broker is there to empty their topics
    assert whosthere("gallery", "restore", "backup.db", "--yes", cwd=left.home).code == 0
    with store_of(left.settings, actor="the test") as store:
        assert [person.name for person in store.people()] == [ADA], "who was forgotten since stays so"
    other = tmp_path / "other"
    other.mkdir()
    imported = whosthere("people", "import", left.home / "ada.zip", cwd=other)
    assert imported.code == 0, imported.err
    assert [row["name"] for row in whosthere("people", "list", "--json", cwd=other).document["people"]] == [ADA]


def newer(path: Path) -> None:
    """As a version of the future would leave it."""
    if path.suffix == ".db":
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA user_version = 99")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return
    text = path.read_text()
    key = next(key for key in ('"version": 1', '"format": 1') if key in text)
    path.write_text(text.replace(key, key.replace("1", "99")))


@pytest.mark.parametrize(
    ("file", "command", "code"),
    [
        pytest.param("gallery.db", ["serve"], "gallery_too_new", marks=pytest.mark.thorough),
        ("gallery.db", ["enrol", "Mary", KNOWN.file], "gallery_too_new"),
        ("outbox.db", ["serve"], "outbox_too_new"),
        ("visits.db", ["events", "--since", "8h"], "kept_visits_too_new"),
        ("cameras.json", ["serve"], "config_unreadable"),
        pytest.param(
            *("tokens.json", ["tokens", "make", "another", "--role", "viewer"], "tokens_unreadable"),
            marks=pytest.mark.thorough,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_a_file_of_the_future_is_refused_and_nothing_is_touched(
    file: str, command: list[Any], code: str, tmp_path: Path
) -> None:
    left = left_by("gallery-4", tmp_path / "home")
    for other in ("gallery.db", "outbox.db", "visits.db"):  # no log of a killed process, which any reader moves
        with closing(sqlite3.connect(left.home / "var" / other)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    newer(left.home / "var" / file)
    before = bytes_in(left.home)

    line = assert_refused(whosthere(*command, cwd=left.home), code)

    assert file in line
    assert "newer" in line or "update whosthere" in line
    assert bytes_in(left.home) == before
