import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from recognition.errors import UnsupportedRuntime, WeightsUnreadable
from recognition.models.devices import count_gpus
from recognition.models.runner import Fallback, OnnxRunner, usable_cores
from recognition.models.spec import EmbedderSpec, load_specs
from recognition.models.weights import read_weights
from tests.conftest import PROJECT

SPEC = load_specs()["nano_embed"]
assert isinstance(SPEC, EmbedderSpec)


@pytest.fixture(scope="module")
def data():
    return read_weights(SPEC, [])


def has_cuda() -> bool:
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def test_auto_says_where_it_runs(data):
    runner = OnnxRunner(SPEC, data, "auto")
    if has_cuda():
        assert runner.device == "cuda:0" or runner.fallback.code in ("no_gpu", "cuda_failed")
    else:
        assert runner.device == "cpu"
        assert runner.fallback == Fallback("no_cuda_provider", "the installed ONNX Runtime has no CUDA provider")


def test_the_cpu_asked_for_is_no_fallback(data):
    runner = OnnxRunner(SPEC, data, "cpu")
    assert (runner.device, runner.fallback) == ("cpu", None)
    (embedding,) = runner.run(np.zeros((2, 3, 112, 112), np.float32))
    assert embedding.shape == (2, SPEC.embedding_size)
    runner.close()


def test_cuda_that_is_not_there_is_refused(data):
    if has_cuda():
        pytest.skip("this ONNX Runtime has a CUDA provider")
    with pytest.raises(UnsupportedRuntime, match=r"nano_embed: device cuda was asked for.*whosthere\[gpu\]"):
        OnnxRunner(SPEC, data, "cuda")


def test_a_gpu_by_its_number_is_refused_without_cuda(data):
    if has_cuda():
        pytest.skip("this ONNX Runtime has a CUDA provider")
    with pytest.raises(UnsupportedRuntime, match=r"device cuda:7 was asked for, but .* no CUDA provider"):
        OnnxRunner(SPEC, data, "cuda:7")


def test_a_gpu_that_is_not_there_is_refused(data, capfd):
    """Needs a GPU. ONNX Runtime by itself would print to stdout and go on on the CPU."""
    if not has_cuda() or not count_gpus():
        pytest.skip("needs a GPU and onnxruntime-gpu")
    with pytest.raises(UnsupportedRuntime, match=r"device cuda:99 was asked for, but there is no GPU 99: CUDA sees"):
        OnnxRunner(SPEC, data, "cuda:99")
    assert capfd.readouterr().out == ""


def test_weights_that_are_broken_are_so_on_every_device(capfd):
    for device in ("auto", "cpu"):
        with pytest.raises(WeightsUnreadable):
            OnnxRunner(SPEC, b"junk", device)
    assert capfd.readouterr().out == ""


def test_no_onnx_runtime_says_what_to_install(data, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UnsupportedRuntime, match=r"pip install 'whosthere\[cpu\]'.*'whosthere\[gpu\]'"):
        OnnxRunner(SPEC, data)


def test_a_spec_that_names_another_input(data):
    wrong = SPEC.model_copy(update={"input": SPEC.input.model_copy(update={"name": "images"})})
    with pytest.raises(WeightsUnreadable, match=r"its graph wants inputs \['input'\]|says images"):
        OnnxRunner(wrong, data, "cpu")


def test_without_a_name_the_only_input_is_taken(data):
    nameless = SPEC.model_copy(update={"input": SPEC.input.model_copy(update={"name": None})})
    OnnxRunner(nameless, data, "cpu").run(np.zeros((1, 3, 112, 112), np.float32))


def test_there_is_a_core():
    assert usable_cores() >= 1


def test_onnx_runtime_is_imported_with_its_telemetry_off(tmp_path: Path):
    """Its uploader writes a session file into TMPDIR as soon as it starts: none may be there."""
    program = "from recognition.models.runner import _onnxruntime; _onnxruntime().get_available_providers()"
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    environ.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run([sys.executable, "-c", program], env=environ, check=True, timeout=60, cwd=PROJECT)
    assert list(tmp_path.iterdir()) == []
