"""Edits of cameras over a configuration: what is written, what it makes of them, and what leaves all as it was."""

import pytest
import yaml

from streamer.camera_changes import read_changes
from streamer.cameras import edits
from streamer.errors import CameraExists, CameraUnknown, ConfigInvalid
from streamer.settings import CameraSettings
from streamer.settings_reading import read_layers

DOOR = {"url": "rtsp://me:secret@192.0.2.9/h264", "fps": 5}


@pytest.fixture
def home(tmp_path):
    """The configuration's layers, and where changes are kept."""
    file = tmp_path / "home" / "whosthere.yaml"
    file.parent.mkdir()
    file.write_text(yaml.safe_dump({"cameras": {"door": DOOR}, "paths": {"data": "."}}))
    return read_layers(file, (), {}), file.parent / "cameras.json"


def test_what_is_left_out_of_a_whole_camera_has_its_default(home):
    layers, path = home
    edited = edits.apply(edits.replaced("door", {"url": DOOR["url"], "loop": True}), layers, path)
    assert edited.settings.cameras["door"] == CameraSettings(url=DOOR["url"], loop=True)
    assert read_changes(path)["door"] == {"fps": 10.0, "loop": True}
    same = edits.apply(edits.replaced("door", DOOR), layers, path)
    assert same.settings.cameras["door"] == CameraSettings(**DOOR)
    assert read_changes(path) == {}
    assert edits.whence("door", layers, same.changes) == "yaml"


def test_one_that_is_not_there_is_added_and_its_file_is_of_the_configurations_folder(home):
    layers, path = home
    edited = edits.apply(edits.replaced("yard", {"url": "yard.mp4"}), layers, path)
    assert edited.done == "added"
    assert edited.settings.cameras["yard"].url == str(path.parent / "yard.mp4")
    assert edits.whence("yard", layers, edited.changes) == "added"
    again = edits.apply(edits.replaced("yard", {"url": "yard.mp4", "fps": 2}), layers, path)
    assert again.settings.cameras["yard"].fps == 2.0


@pytest.mark.parametrize(
    ("edit", "error"),
    [
        (edits.added("door", {"url": "x.mp4"}), CameraExists),
        (edits.altered("nobody", {"fps": 1}, "changed"), CameraUnknown),
        (edits.removed("nobody"), CameraUnknown),
        (edits.as_configured("nobody"), CameraUnknown),
        (edits.altered("door", {"fps": -1}, "changed"), ConfigInvalid),
        (edits.replaced("Not A Name", {"url": "x.mp4"}), ConfigInvalid),
        (edits.replaced("new", {"fps": 1}), ConfigInvalid),
    ],
)
def test_what_does_not_hold_is_not_written(home, edit, error):
    layers, path = home
    with pytest.raises(error):
        edits.apply(edit, layers, path)
    assert read_changes(path) == {}


def test_one_that_was_taken_away_is_not_added_in_its_place(home):
    layers, path = home
    assert "hidden" in edits.apply(edits.removed("door"), layers, path).done
    with pytest.raises(CameraExists, match="reset"):
        edits.apply(edits.replaced("door", {"url": "x.mp4"}), layers, path)
    assert edits.apply(edits.as_configured("door"), layers, path).settings.cameras["door"] == CameraSettings(**DOOR)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://me:secret@192.0.2.9/h264", "rtsp://***@192.0.2.9/h264"),
        ("rtsp://${USER}:${PASSWORD}@192.0.2.9/", "rtsp://***@192.0.2.9/"),
        ("clips/hall.mp4", "clips/hall.mp4"),
    ],
)
def test_a_url_that_is_but_shown_is_the_one_that_there_is(url, shown):
    camera = CameraSettings(url=url)
    assert edits.as_shown({"url": shown, "fps": 1}, camera) == {"url": url, "fps": 1}
    other = {"url": "rtsp://other/"}
    assert edits.as_shown(other, camera) == other
    assert edits.as_shown({"fps": 1}, camera) == {"fps": 1}
