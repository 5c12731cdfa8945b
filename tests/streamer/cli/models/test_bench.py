"""`models bench` as a user types it: real processes, our own small models, and one with random weights."""

from pathlib import Path

import pytest
import yaml

from recognition.selection.measurements import LocalMeasurements
from recognition.specs.files import load_specs
from tests.command import assert_refused, whosthere

OURS = ["nano_det", "nano_embed"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a configuration; of larger models, one has a file that is none of its weights."""
    profiles = {"nano_embed": {"batch_buckets": {"cpu": [1, 4], "cuda": [1]}}}
    recognition = {"device": "cpu", "profiles": profiles}
    (tmp_path / "whosthere.yaml").write_text(
        yaml.safe_dump({"paths": {"models": ["weights"]}, "recognition": recognition})
    )
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / load_specs()["yunet_n"].file).write_text("no weights\n")
    return tmp_path


def figures(home: Path) -> LocalMeasurements:
    return LocalMeasurements(home / "var" / "model-figures.json")


def test_all_that_are_here_are_measured_and_what_fails_is_said(home):
    ended = whosthere("models", "bench", "--json", cwd=home)
    rows = {row["name"]: row for row in ended.document["models"]}
    assert ended.code == 0, "yunet_n was not asked for"
    assert sorted(rows) == [*OURS, "yunet_n"]
    assert rows["yunet_n"]["code"] == "weights_digest_mismatch"
    assert "[weights_digest_mismatch]" in ended.err
    assert "measuring: 3 of 3" in ended.err
    row = rows["nano_embed"]
    assert (row["ok"], row["random"], row["device"], row["engine"]) == (True, False, "cpu", "onnx")
    assert list(row["buckets"]) == ["1", "4"], "as the configuration's profile has it"
    four = row["buckets"]["4"]
    assert four["memory_mib"] > 0
    assert four["item_ms"] == pytest.approx(four["run_ms"] / 4, abs=1e-3)
    assert four["items_per_s"] == pytest.approx(4e3 / four["run_ms"], rel=1e-3)
    assert ended.document["file"] == str(home / "var" / "model-figures.json")


def test_the_figures_of_named_models_are_kept_and_the_others_go_on_where_one_fails(home):
    ended = whosthere("models", "bench", "scrfd_500m", "nano_embed", cwd=home)
    assert ended.code == 1
    assert [line for line in ended.complaints if "[weights_missing]" in line and "scrfd_500m" in line]
    rows = [line.split() for line in ended.out.splitlines() if line.startswith("nano_embed ")]
    assert [row[4] for row in rows] == ["1", "4"]
    assert str(home / "var" / "model-figures.json") in ended.out
    found = figures(home).find(load_specs()["nano_embed"], "cpu")
    assert [f"{figure.run_ms:.2f}" for figure in found.buckets.values()] == [row[5] for row in rows]
    assert found.command == "whosthere models bench scrfd_500m nano_embed"
    assert figures(home).find(load_specs()["nano_det"], "cpu") is None


@pytest.mark.parametrize(
    ("typed", "code"), [("nano_embde", "model_not_found"), ("--random nano_embed", "model_not_found")]
)
def test_what_is_not_known_is_refused_before_anything_is_measured(home, typed, code):
    ended = whosthere("models", "bench", "nano_det", *typed.split(), cwd=home)
    assert_refused(ended, code)
    assert not (home / "var").exists()


def test_a_device_that_is_none(home):
    ended = whosthere("models", "bench", "--device", "gpu", cwd=home)
    assert ended.code == 2
    assert "want auto, cpu, cuda or cuda:N" in " ".join(ended.err.replace("│", " ").split())


def test_a_device_that_is_not_here_is_said_for_each_model(home):
    ended = whosthere("models", "bench", *OURS, "--device", "cuda:99", "--json", cwd=home)
    assert ended.code == 1
    assert [row["code"] for row in ended.document["models"]] == ["unsupported_runtime"] * 2


def test_a_data_folder_that_can_not_be_written_is_said_before_the_long_run(home):
    (home / "var").write_text("a file\n")
    assert_refused(whosthere("models", "bench", cwd=home), "data_folder_unwritable")


@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_random_weights_are_called_so_and_their_figures_are_not_kept(home):
    pytest.importorskip("torch", reason="the extra train is not installed: pip install -e '.[train]'")
    ended = whosthere("models", "bench", "--random", "arcface_mbf", cwd=home, limit_s=600)
    assert ended.code == 0, ended.err
    rows = [line for line in ended.out.splitlines() if line.startswith("arcface_mbf (random weights) ")]
    assert len(rows) == 4
    assert "kept in" not in ended.out
    assert not (home / "var" / "model-figures.json").exists()
