"""`models eval --against` as a user types it. The other models are twins of our own under another name, so that all
figures but the times are known beforehand: the twins' are equal.
"""

import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner, Result

from recognition.checks.portraits import read_portraits
from recognition.errors import CodedError
from recognition.specs.files import bundled
from streamer.commands import app
from tests.command import patched

NO_TRAINING = "import sys; sys.modules |= dict.fromkeys(('torch', 'matplotlib'))"
TEXT = "This is no clip."


def write_clip(path: Path, picture: np.ndarray, frames: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = picture.shape[1], picture.shape[0], "yuv420p"
        for _ in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photos of each bundled portrait, a clip of one of them, one of nobody, and the twins' specs."""
    folder = tmp_path_factory.mktemp("home")
    for number, portrait in enumerate(read_portraits()):
        pixels = portrait.image().bgr()
        person = folder / "photos" / f"P{number}"
        person.mkdir(parents=True)
        cv2.imwrite(str(person / "1.jpg"), pixels)
        cv2.imwrite(str(person / "2.jpg"), pixels[:, ::-1])
        if number == 0:
            write_clip(
                folder / "face.mp4", cv2.resize(pixels, (320, 320 * pixels.shape[0] // pixels.shape[1] // 2 * 2)), 4
            )
    write_clip(folder / "nobody.mp4", np.full((192, 320, 3), 96, np.uint8), 3)
    (folder / "bad.mp4").write_text(TEXT)
    (folder / "other").mkdir()
    (folder / "other" / "face.mp4").write_bytes((folder / "face.mp4").read_bytes())
    for role, name in (("face_detection", "nano_det"), ("face_embedding", "nano_embed")):
        spec = yaml.safe_load((bundled("specs") / role / f"{name}.yaml").read_text())
        twin = folder / "weights" / "specs" / role / f"twin_of_{name}.yaml"
        twin.parent.mkdir(parents=True)
        twin.write_text(yaml.safe_dump(spec | {"name": f"twin_of_{name}"}))
    (folder / "whosthere.yaml").write_text("paths: {models: [weights]}")
    return folder


def run(home: Path, typed: str, monkeypatch: pytest.MonkeyPatch) -> Result:
    monkeypatch.chdir(home)
    return CliRunner().invoke(app, ["models", "eval", *typed.split()])


def test_a_detector_alone_as_json_without_anything_of_training_installed(home: Path) -> None:
    before = sorted(home.iterdir())
    typed = (
        "models eval nano_det --images photos --against twin_of_nano_det --scenes 4 --clip face.mp4 "
        "--clip-truth twin_of_nano_det --empty-clip nobody.mp4 --json"
    )
    ended = patched(NO_TRAINING, *typed.split(), cwd=home)
    assert ended.code == 0, ended.err
    assert (ended.document["name"], ended.document["detector"]) == ("nano_det", "nano_det")
    figures = ended.document["detector_figures"]
    other, own = figures["detectors"].values()
    assert list(figures["detectors"]) == ["twin_of_nano_det", "nano_det"]
    assert own["scenes"] == other["scenes"]
    assert own["scenes"]["faces"] > 0
    assert (own["face"]["faces"], own["face"]["recall"]) == (4, 1.0)
    assert (own["nobody"]["pictures"], own["nobody"]["boxes_at_own_threshold"]) == (3, 0)
    assert (own["landmarks"]["photos"], own["landmarks"]["missed"]) == (12, 0)
    assert own["landmarks"]["mean_error"] == 0
    ratios = figures["ratios"]["nano_det"]
    assert (ratios["scenes"], ratios["face"]) == (1.0, 1.0)
    assert own["ms"] > 0
    assert figures["options"]["scenes"] == 4
    assert "clip face.mp4" in ended.err
    assert sorted(home.iterdir()) == before


def test_a_packs_figures_go_before_those_of_its_models_beside_others(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # no curves
    others = "--against twin_of_nano_det --against-embedder twin_of_nano_embed"
    ended = run(home, f"nano --images photos {others} --scenes 2", monkeypatch)
    assert ended.exit_code == 0, ended.exception
    people, *_, embedders, detectors = ended.stdout.split("\n\n")
    assert "true-match rate at FMR 1e-2" in people
    heading, _, row = embedders.splitlines()
    assert [cell.strip() for cell in heading.split("|")[1:-1]] == ["", "twin_of_nano_embed", "nano_embed"]
    assert "(100%)" in row
    assert detectors.startswith("2 scenes of photos, labelled by twin_of_nano_det\n")
    assert "recall at 0.1 false alarms, scenes" in detectors
    assert "| landmark error / eye distance" in detectors


@pytest.mark.parametrize(
    ("typed", "code", "says"),
    [
        ("nano_det", "model_not_found", "or give --against, a detector to measure it beside"),
        ("nano --against nan_det", "model_not_found", "no spec of this name; did you mean nano_det"),
        (
            "nano --against nano_embed",
            "model_not_found",
            "nano_embed (--against): is of role embedder; name a detector",
        ),
        ("nano --against yunet_n", "weights_missing", "yunet_n"),
        ("nano --against-embedder twin_of_nano_det", "model_not_found", "(--against-embedder): is of role detector"),
        ("nano --against-embedder mobileface_v2", "weights_missing", "mobileface_v2"),
        ("nano --against twin_of_nano_det --clip gone.mp4", "weights_missing", "scrfd_2.5g"),
        ("nano --against twin_of_nano_det --empty-clip gone.mp4", "clip_unreadable", "gone.mp4 can't be read (No such"),
        ("nano --against twin_of_nano_det --empty-clip bad.mp4", "clip_unreadable", "bad.mp4 can't be read (Invalid"),
        (
            "nano --against twin_of_nano_det --clip face.mp4 --clip-truth nano_embed",
            "model_not_found",
            "(--clip-truth)",
        ),
    ],
)
def test_refused_before_the_long_run(
    home: Path, monkeypatch: pytest.MonkeyPatch, typed: str, code: str, says: str
) -> None:
    ended = run(home, f"{typed} --images photos", monkeypatch)
    assert isinstance(ended.exception, CodedError), ended.exception
    assert ended.exception.code == code
    assert says in str(ended.exception)
    assert (ended.stdout, ended.stderr) == ("", "")


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("nano --clip face.mp4", "needs --against"),
        ("nano --empty-clip face.mp4", "needs --against"),
        ("nano --against nano_det", "nano_det is what is measured"),
        ("nano --against-embedder nano_embed", "nano_embed is what is measured"),
        ("nano_det --against twin_of_nano_det --pairs pairs.csv", "nano_det is a detector, which knows nobody"),
        ("nano --against twin_of_nano_det --clip face.mp4 --empty-clip other/face.mp4", "two clips are called face"),
        ("nano --against twin_of_nano_det --scenes 0", "--scenes"),
    ],
)
def test_options_that_make_no_sense_together(
    home: Path, monkeypatch: pytest.MonkeyPatch, typed: str, says: str
) -> None:
    ended = run(home, f"{typed} --images photos", monkeypatch)
    assert ended.exit_code == 2
    assert says in ended.stderr
    assert ended.stdout == ""
