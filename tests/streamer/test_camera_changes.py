"""What was changed about cameras by command: laid over the YAML, kept whole, refused where it can't be read."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from recognition import whole_file
from streamer.camera_changes import ADDED, alter, editing, read_changes, with_changes
from streamer.errors import ConfigError, ConfigInvalid, ConfigUnknownKey, ConfigUnreadable, DataFolderUnwritable
from streamer.settings import Settings
from streamer.settings_reading import load
from tests.conftest import PROJECT

YAML = {"door": {"url": "rtsp://h/door", "fps": 5}, "hall": {"url": "hall.mp4"}}
NEW = {ADDED: True, "url": "usb:0"}


@pytest.mark.parametrize(
    ("changes", "above", "want", "stale"),
    [
        ({}, {}, YAML, []),
        ({"door": {"fps": 2}}, {}, {**YAML, "door": {"url": "rtsp://h/door", "fps": 2}}, []),
        ({"hall": {"enabled": False}}, {}, {**YAML, "hall": {"url": "hall.mp4", "enabled": False}}, []),
        ({"hall": None}, {}, {"door": YAML["door"]}, []),
        ({"hall": None}, {"hall": {"fps": 3}}, {"door": YAML["door"]}, []),
        ({"new": NEW}, {}, {**YAML, "new": {"url": "usb:0"}}, []),
        ({"new": NEW}, {"new": {"fps": 1}}, {**YAML, "new": {"url": "usb:0", "fps": 1}}, []),
        ({"door": {"fps": 2}}, {"door": {"fps": 9}}, {**YAML, "door": {"url": "rtsp://h/door", "fps": 9}}, []),
        ({"old": {"enabled": False}}, {}, YAML, ["old"]),
        ({"old": {"url": "rtsp://h/old"}}, {}, YAML, ["old"]),
        ({"set": {"fps": 2}}, {"set": {"url": "a"}}, {**YAML, "set": {"url": "a", "fps": 2}}, []),
    ],
)
def test_they_are_laid_between_the_yaml_and_what_is_set_for_this_run(changes, above, want, stale):
    before = json.dumps(YAML)
    assert with_changes(YAML, changes, above) == (want, stale)
    assert json.dumps(YAML) == before


@pytest.mark.parametrize(
    ("before", "values", "kept"),
    [
        ({}, {"enabled": False}, {"door": {"enabled": False}}),
        ({"door": {"enabled": False}}, {"enabled": True}, {}),
        ({"door": {"enabled": False, "fps": 2}}, {"enabled": True}, {"door": {"fps": 2}}),
        ({"door": {"fps": 2}}, {"fps": 5, "rotate": 90}, {"door": {"rotate": 90}}),
        ({"door": {"added": True, "enabled": False}}, {"enabled": True}, {"door": {"added": True, "enabled": True}}),
        ({"hall": None}, {"fps": 5}, {"hall": None}),
    ],
)
def test_what_is_so_anyway_is_no_change(before, values, kept):
    alter(before, "door", values, {"enabled": True, "fps": 5})
    assert before == kept


def test_they_are_kept_for_this_user_alone_and_written_only_where_something_is_new(tmp_path):
    file = tmp_path / "cameras.json"
    with editing(file) as changes:
        changes["door"] = {"url": "rtsp://u:${P}@h/é"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read_changes(file) == {"door": {"url": "rtsp://u:${P}@h/é"}}
    before = file.stat().st_ino
    with editing(file) as changes:
        alter(changes, "door", {"url": "rtsp://u:${P}@h/é"}, {"url": "rtsp://h"})
    assert file.stat().st_ino == before
    with pytest.raises(KeyError), editing(file) as changes:
        changes["hall"] = changes["nobody"]
    assert "hall" not in read_changes(file)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_writes_is_the_services(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    os.chown(folder, 12345, 54321)
    with editing(folder / "cameras.json") as changes:
        changes["door"] = None
    owners = {(found.stat().st_uid, found.stat().st_gid) for found in folder.iterdir()}
    assert owners == {(12345, 54321)}


def test_a_disk_that_is_full_leaves_them_as_they_were(tmp_path, monkeypatch):
    file = tmp_path / "cameras.json"
    with editing(file) as changes:
        changes["door"] = None

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(whole_file.os, "fsync", full)
    with pytest.raises(DataFolderUnwritable, match="No space left"), editing(file) as changes:
        changes["hall"] = None
    assert read_changes(file) == {"door": None}
    assert sorted(found.name for found in tmp_path.iterdir()) == ["cameras.json", "cameras.json.lock"]


ADD = """
import sys
from pathlib import Path
from streamer.camera_changes import editing
for number in range(25):
    with editing(Path(sys.argv[1])) as changes:
        changes[f"{sys.argv[2]}{number}"] = {"added": True, "url": "a"}
"""


def test_commands_at_the_same_time_lose_nothing(tmp_path):
    file = tmp_path / "cameras.json"
    with subprocess.Popen([sys.executable, "-c", ADD, file, "a"], cwd=PROJECT) as other:
        subprocess.run([sys.executable, "-c", ADD, file, "b"], cwd=PROJECT, check=True)
    assert other.returncode == 0
    assert len(read_changes(file)) == 50


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (b"", ConfigUnreadable, "is damaged"),
        (b'{"format": 1, "cam', ConfigUnreadable, "is damaged"),
        (b"\xff\xfe\x00", ConfigUnreadable, "is damaged"),
        (b'{"format": 2, "cameras": {}}', ConfigUnreadable, "newer whosthere"),
        (b"[]", ConfigInvalid, "none of ours"),
        (b'{"cameras": {}}', ConfigInvalid, "none of ours"),
        (b'{"format": 1, "cameras": {"door": 3}}', ConfigInvalid, "none of ours"),
        (b'{"format": 1, "cameras": []}', ConfigInvalid, "none of ours"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_line_and_left_as_it_is(tmp_path, content, error, said):
    file = tmp_path / "cameras.json"
    file.write_bytes(content)
    with pytest.raises(error) as caught:
        read_changes(file)
    assert said in str(caught.value)
    assert str(file) in str(caught.value)
    with pytest.raises(error), editing(file) as changes:
        changes["door"] = None
    assert file.read_bytes() == content


def settings_of(tmp_path: Path, changes: dict[str, Any], *overrides: str) -> Settings:
    (tmp_path / "c.yaml").write_text(json.dumps({"paths": {"data": "var"}, "cameras": YAML}))
    (tmp_path / "var").mkdir(exist_ok=True)
    (tmp_path / "var" / "cameras.json").write_text(json.dumps({"format": 1, "cameras": changes}))
    return load(tmp_path / "c.yaml", overrides, {})


def test_every_command_sees_the_same_cameras(tmp_path):
    settings = settings_of(tmp_path, {"hall": None, "new": NEW, "door": {"enabled": False}}, "cameras.new.fps=3")
    assert list(settings.cameras) == ["door", "new"]
    assert (settings.cameras["door"].enabled, settings.cameras["door"].fps) == (False, 5)
    assert (settings.cameras["new"].url, settings.cameras["new"].fps) == ("usb:0", 3)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"door": {"fps": "fast"}}, ConfigInvalid, "cameras.door.fps: want a number, got 'fast'"),
        ({"door": {"fp": 3}}, ConfigUnknownKey, "cameras.door.fp: unknown key"),
        ({"Door": {**NEW}}, ConfigInvalid, "a camera's name is made of"),
        ({"new": {ADDED: True}}, ConfigInvalid, "cameras.new.url: is missing"),
    ],
)
def test_what_does_not_hold_is_refused_as_in_the_yaml_and_says_where_it_stands(tmp_path, change, error, said):
    with pytest.raises(error) as caught:
        settings_of(tmp_path, change)
    assert said in str(caught.value)
    assert str(tmp_path / "var" / "cameras.json") in str(caught.value)


def test_a_fault_of_the_yaml_is_still_the_yamls(tmp_path):
    with pytest.raises(ConfigError) as caught:
        settings_of(tmp_path, {"hall": {"fps": 3}}, "cameras.door.fps=x")
    assert str(caught.value) == "cameras.door.fps: want a number, got 'x' (--set cameras.door.fps)"
