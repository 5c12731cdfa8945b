"""`models pull|import|bundle` as a user types them, against a real HTTP server on loopback; nothing else is needed."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from recognition.specs.files import bundled
from recognition.zoo.catalogue import load_catalogue
from tests.command import assert_refused, whosthere
from tests.conftest import PROJECT
from tests.recognition.zoo.test_imports import PACK, packed
from tests.weights_server import WeightsServer, weights_server

TYPED = ("--catalogue", "catalogue.yaml")


@pytest.fixture
def server() -> Iterator[WeightsServer]:
    with weights_server() as served:
        yield served


@pytest.fixture
def home(tmp_path: Path, server: WeightsServer) -> Path:
    """A folder with a configuration, and a catalogue whose one pack the server has."""
    (tmp_path / "whosthere.yaml").write_text(yaml.safe_dump({"paths": {"models": ["weights"]}}))
    pack = packed(tmp_path, PACK).read_bytes()
    entry = load_catalogue()["buffalo_l"].model_dump(mode="json", exclude={"name"})
    entry |= {"url": server.serve("buffalo_l.zip", pack), "size": len(pack)}
    (tmp_path / "catalogue.yaml").write_text(yaml.safe_dump({"entries": {"buffalo_l": entry}}))
    return tmp_path


def test_the_catalogue_is_listed_without_asking_anybody(home, server):
    listed = whosthere("models", "pull", *TYPED, "--json", cwd=home)
    assert [(row["name"], row["here"]) for row in listed.document["catalogue"]] == [("buffalo_l", False)]
    table = whosthere("models", "pull", cwd=home)
    assert (table.code, table.err) == (0, "")
    assert "antelopev2" in table.out
    assert "InsightFace: non-commercial research only" in table.out
    assert server.asked == []


def test_a_licence_is_shown_first_and_must_be_accepted(home, server):
    ended = whosthere("models", "pull", "buffalo_l", *TYPED, cwd=home)
    assert (ended.code, ended.out) == (1, "")
    for shown in ("buffalo_l.zip (", "InsightFace: non-commercial research only", "python-package#license"):
        assert shown in ended.err
    assert "say so with --accept-licence [licence_not_accepted]" in ended.err
    assert server.asked == []
    assert not (home / "weights").exists()


def test_pull_then_use(home, server):
    pulled = whosthere("models", "pull", "buffalo_l", "--accept-licence", *TYPED, "--json", cwd=home)
    assert pulled.code == 0, pulled
    (document,) = pulled.document["pulled"]
    assert [(row["name"], row["spec_written"]) for row in document["models"]] == [
        ("det_10g", True),
        ("w600k_r50", True),
    ]
    assert [row["file"] for row in document["left_out"]] == ["genderage.onnx", "2d106det.onnx", "1k3d68.onnx"]
    assert "recorded for later pulls" in pulled.err

    again = whosthere("models", "pull", "buffalo_l", *TYPED, cwd=home)
    assert (again.code, len(server.asked)) == (0, 1)
    assert "is here already" in again.err
    assert "to use  recognition: {detector: det_10g, embedder: w600k_r50}" in again.out
    assert "w600k_r50: its thresholds are not measured" in again.out

    assert "w600k_r50" in whosthere("models", "list", cwd=home).out
    tested = whosthere("models", "selftest", "det_10g", "w600k_r50", "--json", cwd=home)
    assert only_the_portraits_refuse(tested, "det_10g", "w600k_r50")


def only_the_portraits_refuse(tested, *names):
    """Weights drawn at random load with the right shapes, batches and space; only faces tell that they are no model."""
    rows = tested.document["models"]
    known = [row["code"] == "self_test_failed" and ".jpg" in row["detail"] for row in rows]
    return [row["name"] for row in rows] == list(names) and all(known)


def test_an_entry_that_there_is_not(home, server):
    line = assert_refused(whosthere("models", "pull", "bufalo", *TYPED, cwd=home), "model_not_found")
    assert "did you mean buffalo_l?" in line


def test_ctrl_c_keeps_what_was_fetched(home, server):
    data = server.files["buffalo_l.zip"].data
    server.files["buffalo_l.zip"].hold_at = 2000
    typed = [sys.executable, "-m", "streamer", "models", "pull", "buffalo_l", "--accept-licence", *TYPED]
    with subprocess.Popen(
        typed, cwd=home, env=os.environ | {"PYTHONPATH": str(PROJECT)}, stderr=subprocess.PIPE, text=True
    ) as pull:
        assert server.holding.wait(60)
        part = home / "weights" / "buffalo_l.zip.part"
        deadline = time.monotonic() + 60
        while part.stat().st_size < 2000:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        pull.send_signal(signal.SIGINT)
        rest = pull.stderr.read()
        assert pull.wait(60) == 130
    assert "what was fetched stays" in rest
    assert "Traceback" not in rest
    server.release.set()
    assert part.stat().st_size == 2000

    ended = whosthere("models", "pull", "buffalo_l", "--accept-licence", *TYPED, cwd=home)
    assert ended.code == 0, ended
    assert [wanted for _, wanted in server.asked] == [None, "bytes=2000-"]
    assert len(data) > 2000


def test_a_pack_and_a_bundle_without_a_network(home, tmp_path):
    refused = whosthere("models", "import", "buffalo_l.zip", cwd=home)
    assert refused.code == 1
    assert "licence  InsightFace: non-commercial research only" in refused.err
    assert not (home / "weights").exists()

    taken = whosthere("models", "import", "buffalo_l.zip", "--accept-licence", cwd=home)
    assert taken.code == 0, taken
    assert "left    genderage.onnx: tells age and sex, which nothing here uses" in taken.out

    written = whosthere("models", "bundle", "w600k_r50", "det_10g", "--out", "both.zip", "--json", cwd=home)
    assert [row["name"] for row in written.document["models"]] == ["w600k_r50", "det_10g"]
    elsewhere = ("--set", "paths.models=[elsewhere]")
    asked = whosthere("models", "import", "both.zip", *elsewhere, cwd=home)
    assert asked.code == 1
    assert asked.err.count("InsightFace: non-commercial research only") == 2
    back = whosthere("models", "import", "both.zip", "--accept-licence", "--json", *elsewhere, cwd=home)
    assert {row["name"] for row in back.document["models"]} == {"w600k_r50", "det_10g"}
    tested = whosthere("models", "selftest", "w600k_r50", "--json", *elsewhere, cwd=home)
    assert only_the_portraits_refuse(tested, "w600k_r50")


@pytest.mark.parametrize(
    ("typed", "code", "complaint"),
    [
        ("none.zip", "weights_missing", "there is no such file"),
        ("none.onnx", "weights_missing", "there is no such file"),
        ("mine.zip", "model_not_found", "which pack is it\\? Say --as with one of antelopev2, buffalo_l"),
        ("mine.zip --as bufalo", "model_not_found", "did you mean buffalo_"),
        ("odd.onnx", "model_not_found", "no spec is known with its sha256 .* say --as SPEC"),
        ("odd.onnx --as yunet", "model_not_found", "did you mean yunet_n"),
        ("text.zip", "archive_invalid", "is no zip file"),
    ],
)
def test_what_can_t_be_imported(home, typed, code, complaint):
    packed(home, PACK, "mine.zip")
    (home / "odd.onnx").write_bytes(b"odd")
    (home / "text.zip").write_text("text")
    ended = whosthere("models", "import", *typed.split(), cwd=home)
    assert re.search(complaint, assert_refused(ended, code))


def test_a_spec_s_own_file(home):
    file = bundled("nano") / "nano_det.onnx"
    for name in ((), ("--as", "nano_det")):
        ended = whosthere("models", "import", file, *name, "--accept-licence", "--json", cwd=home)
        assert [row["name"] for row in ended.document["models"]] == ["nano_det"]
        assert "licence  Apache-2.0" in ended.err
    wrong = whosthere("models", "import", file, "--as", "edgeface_xxs", "--accept-licence", cwd=home)
    assert "[weights_digest_mismatch]" in wrong.err
    assert (home / "weights" / file.name).read_bytes() == file.read_bytes()


def test_a_bundle_of_what_is_not_here(home):
    ended = whosthere("models", "bundle", "yunet_n", "--out", "bundle.zip", cwd=home)
    assert_refused(ended, "weights_missing")
    assert not (home / "bundle.zip").exists()
