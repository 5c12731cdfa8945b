"""`models convert` as a user types it."""

import pytest
import yaml

from tests.command import assert_refused, patched, whosthere

ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # several wait for each other where other tests have the cores
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


def test_two_precisions_at_once_are_bad_usage(home):
    command = ("models", "convert", "words.pt", "--as", "arcface_r18", "--fp16")
    assert whosthere(*command, "--engine", "torch", "--precision", "bf16", cwd=home).code == 2
    assert whosthere(*command, "--engine", "tensorrt", cwd=home).code == 2


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """MobileFaceNet with random weights."""
    torch = pytest.importorskip("torch", reason="the extra train is not installed: pip install -e '.[train]'")
    from tests.recognition.random_networks import network

    file = tmp_path_factory.mktemp("checkpoint") / "mbf.pt"
    torch.save(network("arcface_mbf").state_dict(), file)
    return str(file)


def row_of(name, home):
    """What `models list` says of a model."""
    listed = whosthere("models", "list", "--json", cwd=home).document["models"]
    return next(row for row in listed if row["name"] == name)


@pytest.mark.timeout(900)
def test_a_checkpoint_becomes_a_model_that_is_listed(home, checkpoint):
    command = ("models", "convert", checkpoint, "--as", "arcface_mbf", "--name", "mine", "--json")
    ended = whosthere(*command, cwd=home, environ=ONE_THREAD, limit_s=600)
    assert ended.code == 0, ended.err
    assert ended.document["parity"]["least_cosine"] >= 0.9999
    assert ended.document["layers_from"].startswith("deepinsight/insightface ")
    assert row_of("mine", home)["weights"] == ended.document["file"] == str(home / "weights" / "mine.onnx")
    command = ("models", "convert", "words.pt", "--as", "arcface_mbf")
    told = whosthere(*command, cwd=home, environ=ONE_THREAD, limit_s=600)
    assert told.code == 1
    assert "no PyTorch checkpoint" in told.err
    assert told.err.endswith("[checkpoint_invalid]\n")


@pytest.mark.timeout(900)
def test_for_pytorch_it_is_listed_too(home, checkpoint):
    command = ("models", "convert", checkpoint, "--as", "arcface_mbf", "--engine", "torch", "--precision", "fp16")
    ended = whosthere(*command, "--json", cwd=home, environ=ONE_THREAD, limit_s=600)
    assert ended.code == 0, ended.err
    document = ended.document
    assert (document["name"], document["engine"], document["precision"]) == ("arcface_mbf_torch_fp16", "torch", "fp16")
    assert document["space"] == str(home / "weights" / "spaces" / "arcface_mbf.1.yaml")
    row = row_of("arcface_mbf_torch_fp16", home)
    assert row["weights"] == document["file"] == str(home / "weights" / "arcface_mbf_torch_fp16.pt")


def test_for_pytorch_no_onnx_is_needed(home):
    pytest.importorskip("torch", reason="the extra train is not installed: pip install -e '.[train]'")
    without_onnx = WITHOUT_TORCH.replace('"torch"', '"onnx"')
    command = ("models", "convert", "words.pt", "--as", "arcface_mbf")
    assert "converting needs onnx" in assert_refused(patched(without_onnx, *command, cwd=home), "training_unavailable")
    assert patched(without_onnx, *command, "--engine", "torch", cwd=home).err.endswith("[checkpoint_invalid]\n")
