"""`cameras probe` as a user calls it: what a camera sends, and how the faces in it stand."""

from pathlib import Path

import numpy as np
import pytest

from tests.command import whosthere
from tests.faces import KNOWN, STRANGERS, picture_of
from tests.streamer.ingest.writers import by_ffmpeg


def clip(path: Path, picture: np.ndarray) -> Path:
    return by_ffmpeg(path, [picture] * 5, 5, "-c:v", "libx264", "-crf", "10")


@pytest.mark.parametrize(("quarters", "rotate"), [(0, None), (1, 270), (2, 180), (3, 90)])
def test_faces_that_stand_upright_only_in_the_turned_picture(quarters, rotate, tmp_path):
    people = np.ascontiguousarray(np.rot90(picture_of([KNOWN, STRANGERS[0]]), -quarters))
    ended = whosthere("cameras", "probe", clip(tmp_path / "clip.mp4", people), "--json", cwd=tmp_path)
    assert ended.code == 0
    assert ended.document["faces"] == 2
    assert ended.document["notes"] == (
        [] if rotate is None else [f"faces stand upright only in the turned picture: rotate: {rotate}"]
    )


def test_a_turn_that_is_configured_counts(tmp_path):
    people = np.ascontiguousarray(np.rot90(picture_of([KNOWN]), -1))
    file = clip(tmp_path / "clip.mp4", people)
    (tmp_path / "whosthere.yaml").write_text(f"cameras: {{hall: {{url: {file}, rotate: 270}}}}")
    told = whosthere("cameras", "probe", "hall", "--json", cwd=tmp_path).document
    assert told["faces"] == 1
    assert not [note for note in told["notes"] if note.startswith("faces")]


def test_nobody_is_there_and_no_detector(tmp_path):
    file = clip(tmp_path / "clip.mp4", np.full((192, 320, 3), 96, np.uint8))
    assert whosthere("cameras", "probe", file, "--json", cwd=tmp_path).document["faces"] == 0
    missing = whosthere("cameras", "probe", file, "--json", "--set", "recognition.detector=scrfd_500m", cwd=tmp_path)
    assert missing.code == 0
    assert missing.document["faces"] is None
    assert missing.document["notes"][0].startswith("faces were not looked for: ")


PUBLISHED = """
paths: {data: data}
ingest: {rtsp: {port: %d}}
cameras:
  door: {url: "publish://", user: ada, password: "${DOOR_PASSWORD}"}
  hall: {url: clip.mp4}
"""


def test_a_camera_that_pushes_is_listed_with_where_it_pushes_to(tmp_path):
    (tmp_path / "whosthere.yaml").write_text(PUBLISHED % 8554)
    listed = whosthere("cameras", "list", "--json", cwd=tmp_path).document["cameras"]
    assert [camera["publish_to"] for camera in listed] == ["rtsp://USER:PASSWORD@127.0.0.1:8554/door", None]
    assert "rtsp://USER:PASSWORD@127.0.0.1:8554/door" in whosthere("cameras", "list", cwd=tmp_path).out


def test_a_camera_that_pushes_can_not_be_opened(tmp_path):
    (tmp_path / "whosthere.yaml").write_text(PUBLISHED % 8554)
    ended = whosthere("cameras", "probe", "door", cwd=tmp_path)
    assert ended.code == 1
    assert "camera door: it is published to" in ended.complaints[0]
