"""`cameras add|set|enable|disable|remove|reset` as a user calls them: what they change, and what they refuse."""

import json
from pathlib import Path

import pytest
import typer

from streamer.cli.cameras import edits
from streamer.cli.cameras.listing import list_cameras
from streamer.errors import CameraExists, CameraUnknown, ConfigError, ConfigInvalid, ConfigUnknownKey
from tests.command import assert_refused, whosthere

YAML = """
paths: {data: var}
cameras:
  door: {url: "rtsp://ada:hunter2@192.0.2.9/h264", fps: 5}
  hall: {url: "clips/hall.mp4"}
"""


@pytest.fixture
def site(tmp_path, monkeypatch) -> Path:
    (tmp_path / "whosthere.yaml").write_text(YAML)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listed(capsys) -> dict[str, dict[str, object]]:
    capsys.readouterr()
    list_cameras(json=True)
    return {row["name"]: row for row in json.loads(capsys.readouterr().out)["cameras"]}


def test_a_camera_from_its_birth_to_its_end_as_a_user_types_it(tmp_path):
    (tmp_path / "whosthere.yaml").write_text(YAML)
    url = "rtsp://${CAM_USER}:${CAM_PASSWORD}@192.0.2.7/h264"
    added = whosthere("cameras", "add", "yard", url, "rotate=90", "--fps", "3", "--json", cwd=tmp_path)
    assert added.document == {
        "camera": "yard",
        "result": "added",
        "url": "rtsp://***@192.0.2.7/h264",
        "enabled": True,
        "from": "added",
    }
    kept = json.loads((tmp_path / "var" / "cameras.json").read_text())
    assert kept["cameras"]["yard"] == {"added": True, "url": url, "fps": 3.0, "rotate": 90}
    told = whosthere("cameras", "list", cwd=tmp_path)
    assert "hunter2" not in told.everything
    line = assert_refused(whosthere("cameras", "add", "yard", "x", cwd=tmp_path), "camera_exists")
    assert "cameras set yard url=" in line
    assert whosthere("cameras", "remove", "yard", cwd=tmp_path).out == "camera yard: removed\n"
    assert (tmp_path / "whosthere.yaml").read_text() == YAML


def test_where_each_comes_from_is_listed(site, capsys):
    edits.add("yard", "clips/yard.mp4")
    edits.set_values("door", ["fps=7", "aspect=4:3"])
    found = listed(capsys)
    assert {name: row["from"] for name, row in found.items()} == {"door": "changed", "hall": "yaml", "yard": "added"}
    assert found["yard"]["url"] == str(site / "clips/yard.mp4")
    assert (found["door"]["fps"], found["door"]["url"]) == (7.0, "rtsp://***@192.0.2.9/h264")


def test_a_camera_of_the_yaml_is_hidden_and_comes_back(site, capsys):
    edits.remove("door")
    assert "it still stands in whosthere.yaml and is hidden" in capsys.readouterr().out
    assert list(listed(capsys)) == ["hall"]
    with pytest.raises(CameraExists, match="cameras reset door"):
        edits.add("door", "x")
    with pytest.raises(CameraUnknown, match="there are: hall"):
        edits.disable("door")
    edits.reset("door")
    assert listed(capsys)["door"]["from"] == "yaml"


def test_disabled_and_enabled(site, capsys):
    edits.disable("hall")
    edits.disable("hall")
    assert not listed(capsys)["hall"]["enabled"]
    edits.enable("hall")
    assert listed(capsys)["hall"]["enabled"]


def test_a_login_is_taken_as_it_is_typed_and_shown_nowhere(site, capsys):
    edits.add("push", "publish://", ["user=007", "password=12345"])
    edits.set_values("push", ["password=[x]: ${P}"])
    kept = json.loads((site / "var" / "cameras.json").read_text())["cameras"]["push"]
    assert (kept["user"], kept["password"]) == ("007", "[x]: ${P}")
    listed(capsys)
    assert "[x]" not in capsys.readouterr().out


def test_what_is_set_for_this_run_goes_first_and_that_is_said(site, monkeypatch, capsys):
    monkeypatch.setenv("WHOSTHERE_CAMERAS__DOOR__FPS", "3")
    edits.set_values("door", ["fps=7"])
    assert "fps is set by a variable or --set, which goes first" in capsys.readouterr().out
    assert listed(capsys)["door"]["fps"] == 3.0


@pytest.mark.parametrize(
    ("name", "values", "error", "said"),
    [
        ("door", ["fps=0"], ConfigInvalid, "cameras.door.fps: .*got 0 [(]as given[)]"),
        ("door", ["rotat=90"], ConfigUnknownKey, "did you mean rotate?"),
        ("door", ["added=true"], ConfigUnknownKey, "added: unknown key"),
        ("door", ["enabled=perhaps"], ConfigInvalid, "want true or false"),
        ("door", ["fps={"], ConfigInvalid, "fps: the value is no YAML"),
        ("nix", ["fps=3"], CameraUnknown, "there are: door, hall"),
    ],
)
def test_what_does_not_hold_is_refused_as_in_the_yaml_and_writes_nothing(site, name, values, error, said):
    with pytest.raises(error, match=said):
        edits.set_values(name, values)
    assert not (site / "var" / "cameras.json").exists()


@pytest.mark.parametrize("name", ["Door", "a b", "a/b", "x" * 65, "é"])
def test_names_that_are_no_topic_are_refused(site, name):
    with pytest.raises(ConfigInvalid, match="a camera's name is made of"):
        edits.add(name, "a.mp4")


@pytest.mark.parametrize("values", [["fps"], []])
def test_a_word_that_sets_nothing_is_bad_usage(site, values):
    with pytest.raises(typer.BadParameter):
        edits.set_values("door", values)


def test_a_damaged_file_is_refused_by_every_command(site):
    (site / "var").mkdir()
    (site / "var" / "cameras.json").write_text("{")
    for command in (lambda: list_cameras(), lambda: edits.disable("door"), lambda: edits.add("new", "a.mp4")):
        with pytest.raises(ConfigError, match="is damaged"):
            command()
    assert (site / "var" / "cameras.json").read_text() == "{"


def test_a_camera_that_left_the_yaml_is_left_out_and_can_be_cleared_away(site, capsys, caplog):
    edits.set_values("hall", ["fps=2"])
    (site / "whosthere.yaml").write_text("paths: {data: var}\n")
    assert listed(capsys) == {}
    assert "the configuration has it no more" in caplog.text
    edits.remove("hall")
    assert json.loads((site / "var" / "cameras.json").read_text())["cameras"] == {}


WALL = [[0, 0], [0.5, 0], [0.5, 0.5]]


def test_masks_and_regions_as_a_user_types_them(tmp_path):
    (tmp_path / "whosthere.yaml").write_text(YAML)
    kept = tmp_path / "var" / "cameras.json"
    url = "rtsp://192.0.2.7/h264"
    crossing = "[[[0,0],[1,1],[1,0],[0,1]]]"
    line = assert_refused(whosthere("cameras", "add", "yard", url, f"masks={crossing}", cwd=tmp_path), "config_invalid")
    assert "cameras.yard.masks: polygon 1 crosses itself: " in line
    assert not kept.exists(), "nothing of a camera that is refused"
    assert whosthere("cameras", "add", "yard", url, "masks=[[[0,0],[0.5,0],[0.5,0.5]]]", cwd=tmp_path).code == 0
    assert json.loads(kept.read_text())["cameras"]["yard"]["masks"] == [WALL]


def test_polygons_are_set_and_taken_away(site):
    kept = site / "var" / "cameras.json"
    edits.set_values("door", ["masks=[[[0,0],[0.5,0],[0.5,0.5]]]", "regions=[[[0,0],[1,0],[1,1]]]"])
    before = kept.read_text()
    for wrong in ("masks=[[0,0],[0.5,0],[0.5,0.5]]", "regions=[[[0,0],[640,0],[640,480]]]", "masks=null", "masks=[[[0"):
        with pytest.raises(ConfigInvalid):
            edits.set_values("door", [wrong])
    assert kept.read_text() == before
    edits.set_values("door", ["masks=[]", "regions=[]"])
    assert json.loads(kept.read_text())["cameras"] == {}, "as the YAML has it"
