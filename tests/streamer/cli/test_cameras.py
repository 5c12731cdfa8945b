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
