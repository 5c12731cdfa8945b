"""The configuration followed while the service runs: reloads, commands, files that don't hold, one thing at a time."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from streamer.camera_changes import editing, read_changes
from streamer.errors import ConfigInvalid
from streamer.pipeline import camera_control
from streamer.pipeline.camera_control import CameraControl
from streamer.pipeline.camera_set import Difference
from streamer.settings import CameraSettings
from streamer.settings_reading import Layers, read_layers
from tests.recognition.fakes import until

DOOR = {"door": {"url": "a.mp4"}}


class Rig:
    """A control over files of its own; `applied` are the cameras that were made to run, each time."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "whosthere.yaml"
        self.write(DOOR)
        self.reads = 0
        self.applied: list[dict[str, CameraSettings]] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        layers = self.read()
        settings = layers.settings(layers.changes())
        settings.paths.data.mkdir()
        self.changes = settings.camera_changes_path
        self.running = dict(settings.cameras)
        self.control = CameraControl(layers, settings, self.read, self.apply)

    def write(self, cameras: object, **sections: object) -> None:
        self.file.write_text(yaml.safe_dump({**sections, "cameras": cameras}))

    def read(self) -> Layers:
        self.reads += 1
        return read_layers(self.file, (), {})

    async def apply(self, cameras: Mapping[str, CameraSettings]) -> Difference:
        await self.may_go_on.wait()
        added = tuple(name for name in cameras if name not in self.running)
        changed = tuple(name for name in cameras if name in self.running and self.running[name] != cameras[name])
        removed = tuple(name for name in self.running if name not in cameras)
        self.running = dict(cameras)
        self.applied.append(self.running)
        return Difference(added, changed, removed)


@pytest.fixture
async def rig(tmp_path, monkeypatch, caplog) -> AsyncIterator[Rig]:
    monkeypatch.setattr(camera_control, "LOOK_EVERY_S", 0.01)
    caplog.set_level(logging.INFO)
    made = Rig(tmp_path)
    async with running(made):
        await until(lambda: made.applied)
        yield made


@asynccontextmanager
async def running(made: Rig) -> AsyncIterator[None]:
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(made.control.run())
        yield
        task.cancel()


async def test_a_reload_makes_the_cameras_run_and_names_what_needs_a_restart(rig, caplog):
    rig.write({"hall": {"url": "b.mp4"}}, mqtt={"port": 1}, events={"settle_s": 1.0})
    rig.control.reload()
    await until(lambda: list(rig.running) == ["hall"])
    await until(lambda: any("restart" in message for message in caplog.messages))
    assert "cameras reloaded: added: hall; removed: door" in caplog.messages
    assert "reloaded: events, mqtt changed as well, which needs a restart" in caplog.messages


async def test_reloads_that_are_asked_for_during_one_are_one_more(rig):
    rig.may_go_on.clear()
    before = rig.reads
    rig.control.reload()
    await until(lambda: rig.reads == before + 1)
    rig.write({})
    for _ in range(5):
        rig.control.reload()
    rig.may_go_on.set()
    await until(lambda: rig.running == {})
    await asyncio.sleep(0.05)
    assert rig.reads == before + 2


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("cameras: [", "config_unreadable"),
        ("cameras: {door: {url: a, fps: -1}}", "config_invalid"),
        ("camera: {}", "config_unknown_key"),
        (None, "config_missing"),
    ],
)
async def test_a_file_that_does_not_hold_changes_nothing_and_is_told_until_it_does(rig, caplog, text, code):
    before = rig.running
    rig.file.unlink()
    if text is not None:
        rig.file.write_text(text)
    for _ in range(3):
        rig.control.reload()
        await asyncio.sleep(0.03)
    await until(lambda: rig.control.trouble)
    assert rig.control.trouble.endswith(f"[{code}]")
    assert rig.running == before
    assert [record.code for record in caplog.records if record.levelno == logging.WARNING] == [code]
    rig.write({**DOOR, "hall": {"url": "b.mp4"}})
    await asyncio.sleep(0.03)
    assert rig.control.trouble, "it is read when that is asked for"
    rig.control.reload()
    await until(lambda: not rig.control.trouble)
    assert list(rig.running) == ["door", "hall"]


async def test_what_commands_write_is_followed_and_the_yaml_only_when_that_is_asked_for(rig):
    rig.write({"other": {"url": "c.mp4"}})
    with editing(rig.changes) as changes:
        changes["new"] = {"added": True, "url": "usb:0"}
    await until(lambda: list(rig.running) == ["door", "new"])
    with editing(rig.changes) as changes:
        changes["new"] = {"added": True, "url": "usb:0", "fps": 2}
    await until(lambda: rig.running["new"].fps == 2)
    rig.changes.write_text("{")
    await until(lambda: rig.control.trouble)
    assert "is damaged" in rig.control.trouble
    assert list(rig.running) == ["door", "new"]
    rig.changes.unlink()
    await until(lambda: list(rig.running) == ["door"])
    assert rig.control.trouble == ""


async def test_commands_are_written_before_they_are_done_and_the_newest_counts(rig):
    rig.control.command("door", False)
    await until(lambda: not rig.running["door"].enabled)
    assert read_changes(rig.changes) == {"door": {"enabled": False}}
    for enabled in (True, False, True):
        rig.control.command("door", enabled)
    await until(lambda: rig.running["door"].enabled)
    assert read_changes(rig.changes) == {}, "as the configuration has it"


async def test_a_command_for_what_is_so_already_or_is_not_there_writes_nothing(rig):
    rig.control.command("door", True)
    rig.control.command("nix", False)
    rig.control.command("door", True)
    await until(lambda: not rig.control._commands)
    await asyncio.sleep(0.03)
    assert not rig.changes.exists()


async def test_a_command_that_cannot_be_written_is_not_done_and_told_once(rig, caplog):
    rig.changes.parent.chmod(0o700)
    rig.changes.mkdir()  # nothing can take its place, nor be read
    for _ in range(3):
        rig.control.command("door", False)
        await until(lambda: not rig.control._commands)
    await until(lambda: any("is not obeyed" in message for message in caplog.messages))
    assert rig.running["door"].enabled
    assert sum("is not obeyed" in message for message in caplog.messages) == 1


async def test_a_stop_during_a_reload(tmp_path):
    made = Rig(tmp_path)
    async with running(made):
        made.may_go_on.clear()
        made.control.reload()
        await until(lambda: made.reads > 1)
    assert json.dumps(yaml.safe_load(made.file.read_text())["cameras"]) == json.dumps(DOOR)


async def test_what_is_edited_runs_when_that_is_said(rig):
    def write(layers: Layers, path: Path) -> str:
        with editing(path) as changes:
            changes["yard"] = {"added": True, "url": "b.mp4"}
        return "written"

    assert await rig.control.edit(write) == "written"
    assert set(rig.running) == {"door", "yard"}
    assert await rig.control.look(lambda layers, path: sorted(read_changes(path))) == ["yard"]


async def test_an_edit_that_does_not_hold_is_told_and_what_runs_stays(rig):
    def write(layers: Layers, path: Path) -> None:
        with editing(path) as changes:
            changes["yard"] = {"added": True, "url": "b.mp4", "fps": -1}

    with pytest.raises(ConfigInvalid, match="fps"):
        await rig.control.edit(write)
    assert set(rig.running) == {"door"}


async def test_an_edit_does_not_wait_for_ever(rig, monkeypatch):
    monkeypatch.setattr(camera_control, "FOLLOWED_WITHIN_S", 0.05)
    rig.may_go_on.clear()

    def write(layers: Layers, path: Path) -> int:
        with editing(path) as changes:
            changes["door"] = {"fps": 3}
        return 3

    assert await rig.control.edit(write) == 3
    rig.may_go_on.set()
    async with asyncio.timeout(10):
        await until(lambda: rig.running["door"].fps == 3.0)
