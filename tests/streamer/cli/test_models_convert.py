"""`models convert` as a user types it."""

import pytest
import yaml

from tests.command import assert_refused, patched, whosthere

WITHOUT_TORCH = """
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "torch" else real(name, *rest)
"""


@pytest.fixture
def home(tmp_path):
    (tmp_path / "whosthere.yaml").write_text(yaml.safe_dump({"paths": {"models": ["weights"]}}))
    (tmp_path / "words.pt").write_text("no weights\n")
    return tmp_path


def test_without_pytorch_the_extra_is_named(home):
    ended = patched(WITHOUT_TORCH, "models", "convert", "words.pt", "--as", "arcface_r18", cwd=home)
    assert "pip install 'whosthere[cpu,train]'" in assert_refused(ended, "training_unavailable")


def test_an_architecture_that_is_not_known(home):
    ended = whosthere("models", "convert", "words.pt", "--as", "adaface_ir100", cwd=home)
    assert "did you mean adaface_ir101?" in assert_refused(ended, "model_not_found")


def test_help_names_every_architecture_and_an_example(home):
    shown = whosthere("models", "convert", "--help", cwd=home).out
    assert "facenet_casia" in shown
    assert "Example: whosthere models convert adaface.ckpt --as adaface_ir101" in " ".join(shown.split())


@pytest.mark.timeout(900)
def test_a_checkpoint_becomes_a_model_that_is_listed(home):
    torch = pytest.importorskip("torch", reason="the extra train is not installed: pip install -e '.[train]'")
    from recognition.models.architectures import ARCHITECTURES
    from recognition.models.architectures.random_weights import random_network
    from recognition.models.convert import spec_for
    from recognition.models.parity import authors_input, face_crops

    architecture = ARCHITECTURES["arcface_mbf"]
    crops = face_crops(spec_for(architecture, "mine", "mine.1", "0" * 64, "a test"))
    torch.save(random_network(architecture, authors_input(architecture, crops)).state_dict(), home / "mbf.pt")
    ended = whosthere(
        "models", "convert", "mbf.pt", "--as", "arcface_mbf", "--name", "mine", "--json", cwd=home, limit_s=600
    )
    assert ended.code == 0, ended.err
    assert ended.document["parity"]["least_cosine"] >= 0.9999
    assert ended.document["layers_from"].startswith("deepinsight/insightface ")
    (row,) = [
        row for row in whosthere("models", "list", "--json", cwd=home).document["models"] if row["name"] == "mine"
    ]
    assert row["weights"] == ended.document["file"] == str(home / "weights" / "mine.onnx")
    told = whosthere("models", "convert", "words.pt", "--as", "arcface_mbf", cwd=home, limit_s=600)
    assert told.code == 1
    assert "no PyTorch checkpoint" in told.err
    assert told.err.endswith("[checkpoint_invalid]\n")
