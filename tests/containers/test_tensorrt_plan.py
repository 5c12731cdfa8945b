"""scripts/make-tensorrt-plan.py up to TensorRT itself, which needs a GPU: what trtexec is told, and what is done with
what it leaves. Its place is taken by a program that writes down how it was called."""

import runpy
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from recognition.runtimes.onnx_session import open_session
from recognition.zoo.imports import spec_text
from tests.conftest import PROJECT
from tests.ensembles import tiny_model

SCRIPT = PROJECT / "scripts" / "make-tensorrt-plan.py"


@dataclass(frozen=True)
class Ended:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """The script in `tmp_path`, in this process: importing all that it needs takes a second."""
    monkeypatch.chdir(tmp_path)
    main = runpy.run_path(str(SCRIPT))["main"]

    def run_script(*words: object) -> Ended:
        code = main([str(word) for word in words])
        told = capfd.readouterr()
        return Ended(code, told.out, told.err)

    return run_script


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A weights folder with a small float32 embedder, `tiny`, and its spec."""
    folder = tmp_path / "weights"
    spec = tiny_model(folder, "tiny", dim=64, seed=1, threshold=0.4).model_copy(update={"precision": "fp32"})
    file = folder / "specs" / spec.role / "tiny.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(spec_text(spec, "a test"))
    return folder


def trtexec(folder: Path, lines: str) -> Path:
    program = folder / "trtexec"
    program.write_text(f"#!/bin/sh\n{lines}\n")
    program.chmod(0o755)
    return program


def test_the_profile_is_that_of_the_spec(run, weights, tmp_path):
    ended = run("tiny", "--models", weights, "--fp16", "--dry-run")

    assert ended.returncode == 0, ended.stderr
    assert shlex.split(ended.stdout)[1:] == [
        "--onnx=plans/tiny.onnx",
        "--saveEngine=plans/tiny.part",
        "--skipInference",
        "--minShapes=input.1:1x3x112x112",
        "--optShapes=input.1:8x3x112x112",
        "--maxShapes=input.1:32x3x112x112",
        "--fp16",
    ]
    assert not (tmp_path / "plans").exists()


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("scrfd_500m", ["input.1:1x3x32x32", "input.1:4x3x640x640", "input.1:8x3x640x640"]),
        ("scrfd_2.5g", ["images:1x3x640x640", "images:4x3x640x640", "images:8x3x640x640"]),
    ],
)
def test_a_detector_s_pictures_may_be_cut_where_its_spec_says_so(run, shared, name, shapes):
    ended = run(name, "--models", shared / "models", "--dry-run")

    told = [word.split("=")[1] for word in shlex.split(ended.stdout) if "Shapes=" in word]
    assert (ended.returncode, told) == (0, shapes)
    assert "--fp16" not in ended.stdout


def test_a_plan_is_left_whole_with_what_to_do_next(run, weights, tmp_path):
    program = trtexec(tmp_path, 'for word; do case "$word" in --saveEngine=*) printf plan >"${word#*=}";; esac; done')
    ended = run("tiny", "--models", weights, "--out", "made", "--trtexec", program)

    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "made/tiny.plan").read_text() == "plan"
    assert open_session((tmp_path / "made/tiny.onnx").read_bytes()).get_inputs()[0].name == "input.1"
    assert "whosthere models triton-repo tiny --plans made" in ended.stdout
    assert "whosthere models selftest tiny" in ended.stdout


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("exit 1", "trtexec gave no plan (exit code 1)"),
        ("exit 0", "trtexec gave no plan (exit code 0)"),
        ('for word; do case "$word" in --saveEngine=*) printf pl >"${word#*=}";; esac; done; exit 3', "exit code 3"),
    ],
)
def test_trtexec_that_fails_leaves_no_plan(run, weights, tmp_path, lines, says):
    ended = run("tiny", "--models", weights, "--trtexec", trtexec(tmp_path, lines))

    assert ended.returncode == 1
    assert says in ended.stderr
    assert [file.name for file in (tmp_path / "plans").iterdir()] == ["tiny.onnx"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("nano_embed",), "TensorRT has none; serve its ONNX file [unsupported_engine]"),
        (("edgeface_xxs",), "[weights_missing]"),
        (("nobody",), "[model_not_found]"),
        (("tiny", "--models", "weights", "--trtexec", "nowhere/trtexec"), "check the folder and trtexec"),
    ],
)
def test_what_can_t_be_made_is_said_in_a_line(run, weights, words, says):
    ended = run(*words)

    assert (ended.returncode, len(ended.stderr.splitlines())) == (1, 1), ended.stderr
    assert says in ended.stderr
