"""What --source and --enrol may be, and the line that tells when they are not."""

import pytest

from recognition.errors import WeightsMissing
from streamer.demo.stage import albums_in, prepare, source_camera
from streamer.errors import CameraNotFound, CameraVariableUnset, DemoFailed
from streamer.settings import Settings
from tests.conftest import LARGER


@pytest.fixture
def settings(tmp_path):
    cameras = {"door": {"url": "rtsp://192.0.2.9/h264", "enabled": False}}
    return Settings.model_validate({"cameras": cameras, "paths": {"models": [str(tmp_path)]}})


def test_a_configured_camera_is_played_under_its_name_even_where_it_is_disabled(settings):
    camera = source_camera(settings, "door")["door"]
    assert camera.enabled
    assert camera.url == "rtsp://192.0.2.9/h264"


def test_a_file_is_looped_in_real_time(settings, tmp_path):
    clip = tmp_path / "hall.mp4"
    clip.touch()
    camera = source_camera(settings, str(clip))["demo"]
    assert (camera.url, camera.loop, camera.pace) == (str(clip), True, "realtime")


@pytest.mark.parametrize("source", ["rtsp://192.0.2.1/a", "http://192.0.2.1/a.mp4", "/dev/video0", "usb:0"])
def test_a_stream_is_not_looped(settings, source):
    assert not source_camera(settings, source)["demo"].loop


@pytest.mark.parametrize("source", ["hall", "missing.mp4", "", "gopher://192.0.2.1/a"])
def test_a_source_that_is_not_there(settings, source):
    with pytest.raises(CameraNotFound):
        source_camera(settings, source)


def test_a_source_that_is_not_there_names_the_cameras_that_are(settings):
    with pytest.raises(CameraNotFound, match="there are: door"):
        source_camera(settings, "dor")


def test_a_source_with_a_variable_that_is_not_set(settings, monkeypatch):
    monkeypatch.delenv("NO_SUCH_LOGIN", raising=False)
    with pytest.raises(CameraVariableUnset):
        source_camera(settings, "rtsp://${NO_SUCH_LOGIN}@192.0.2.1/a")


def test_one_album_for_each_folder_with_photos(tmp_path):
    for file in ("Bob/2.PNG", "Bob/1.jpg", "Bob/notes.txt", "Ada/a.webp", "Nobody/notes.txt", "loose.jpg"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    assert [(a.name, [p.name for p in a.photos]) for a in albums_in(tmp_path)] == [
        ("Ada", ["a.webp"]),
        ("Bob", ["1.jpg", "2.PNG"]),
    ]


@pytest.mark.parametrize(("folder", "line"), [("", "holds no photos"), ("missing", "can't be read")])
def test_a_folder_without_people(tmp_path, folder, line):
    with pytest.raises(DemoFailed, match=line):
        albums_in(tmp_path / folder)


async def test_weights_that_are_missing_end_it_at_once_and_leave_no_thread_drawing(settings, tmp_path):
    larger = settings.recognition.model_copy(update=LARGER)
    settings = settings.model_copy(update={"recognition": larger})
    folder = tmp_path / "stage"
    folder.mkdir()
    with pytest.raises(WeightsMissing):
        await prepare(settings, folder, None, None, lambda _: None)
    size = (folder / "scene.mp4").stat().st_size if (folder / "scene.mp4").exists() else 0
    assert size < 2_000_000  # the whole scene has four times as much


async def test_people_who_could_not_be_enrolled(settings, tmp_path):
    photos = tmp_path / "photos" / "Nobody"
    photos.mkdir(parents=True)
    (photos / "a.jpg").write_text("no photo")
    (tmp_path / "stage").mkdir()
    notes = []
    with pytest.raises(DemoFailed, match="nobody could be enrolled"):
        await prepare(settings, tmp_path / "stage", source_camera(settings, "door"), photos.parent, notes.append)
    assert any("Nobody is not enrolled" in note and "no_photo_accepted" in note for note in notes)
