import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from recognition.errors import (
    GpuFailed,
    InsufficientGpuMemory,
    InsufficientMemory,
    UnsupportedEngine,
    UnsupportedRuntime,
    WeightsUnreadable,
)
from recognition.reason import Reason
from recognition.runtimes.onnx_runner import OnnxRunner, open_unknown, run_bound
from recognition.specs.devices import count_gpus, usable_cores
from recognition.specs.files import load_specs
from recognition.specs.spec import EmbedderSpec
from recognition.specs.weights import read_weights
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
        assert runner.fallback == Reason("no_cuda_provider", "the installed ONNX Runtime has no CUDA provider")


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


def test_a_bound_run_is_the_run(data):
    """What GPUs are asked by; the session here is the CPU's."""
    session = open_unknown("nano_embed.onnx", data)
    batch = np.random.default_rng(0).uniform(0, 255, (3, 3, 112, 112)).astype(np.float32)
    name = session.get_inputs()[0].name
    for bound, plain in zip(run_bound(session, name, batch), session.run(None, {name: batch}), strict=True):
        np.testing.assert_array_equal(bound, plain)
    (turned,) = run_bound(session, name, batch[..., ::-1])
    assert np.abs(turned - run_bound(session, name, batch)[0]).max() > 1e-3, "the view is bound, not what lies under it"


@pytest.mark.parametrize(
    "said",
    [
        "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested buffer",
        "CUDA failure 2: out of memory ; GPU=0",
        "CUDNN_STATUS_ALLOC_FAILED",
        "std::bad_alloc",
    ],
)
def test_out_of_memory_in_a_run_is_told_from_other_failures(data, said):
    runner = OnnxRunner(SPEC, data, "cpu")
    failure = runner._errors[-2]

    class Failing:
        def run(self, *_: object) -> None:
            raise failure(said)

        io_binding = run

    runner._session = Failing()
    batch = np.zeros((2, 3, 112, 112), np.float32)
    with pytest.raises(InsufficientMemory, match="nano_embed: out of memory on cpu in a batch of 2") as refused:
        runner.run(batch)
    assert not isinstance(refused.value, InsufficientGpuMemory)
    runner.device = "cuda:0"
    with pytest.raises(InsufficientGpuMemory, match="out of memory on cuda:0 in a batch of 2"):
        runner.run(batch)


def test_a_gpu_that_fails_in_a_run_is_told_from_a_bug_on_the_cpu(data):
    runner = OnnxRunner(SPEC, data, "cpu")
    failure = runner._errors[-2]

    class Failing:
        def run(self, *_: object) -> None:
            raise failure("CUDA failure 700: an illegal memory access was encountered")

        io_binding = run

    runner._session = Failing()
    with pytest.raises(failure):
        runner.run(np.zeros((2, 3, 112, 112), np.float32))
    runner.device = "cuda:0"
    with pytest.raises(GpuFailed, match=r"nano_embed: a run failed on cuda:0 \(CUDA failure 700"):
        runner.run(np.zeros((2, 3, 112, 112), np.float32))


def test_tensorrt_has_no_cpu(data):
    spec = SPEC.model_copy(update={"engine": "tensorrt"})
    with pytest.raises(UnsupportedEngine, match="its engine is tensorrt, which has no CPU"):
        OnnxRunner(spec, data, "cpu")
    if not has_cuda():
        with pytest.raises(UnsupportedRuntime, match="no TensorRT provider"):
            OnnxRunner(spec, data, "auto")


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


def test_a_spec_of_another_input_size(data):
    wrong = SPEC.model_copy(update={"input": SPEC.input.model_copy(update={"size": (96, 112)})})
    with pytest.raises(WeightsUnreadable, match=r"takes inputs of \[3, 112, 112\], the spec says \[3, 112, 96\]"):
        OnnxRunner(wrong, data, "cpu")


def test_without_a_name_the_only_input_is_taken(data):
    nameless = SPEC.model_copy(update={"input": SPEC.input.model_copy(update={"name": None})})
    OnnxRunner(nameless, data, "cpu").run(np.zeros((1, 3, 112, 112), np.float32))


def test_there_is_a_core():
    assert usable_cores() >= 1


def test_onnx_runtime_is_imported_with_its_telemetry_off(tmp_path: Path):
    """Its uploader writes a session file into TMPDIR as soon as it starts: none may be there."""
    program = "from recognition.runtimes.onnx_session import onnxruntime_module as it; it().get_available_providers()"
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    environ.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run([sys.executable, "-c", program], env=environ, check=True, timeout=60, cwd=PROJECT)
    assert list(tmp_path.iterdir()) == []
