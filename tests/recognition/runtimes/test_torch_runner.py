"""The published families in PyTorch: as ONNX Runtime, in each precision, on one thread, and refused in words."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra train is not installed: pip install -e '.[train]'")
pytest.importorskip("onnx")

from recognition.architectures import ARCHITECTURES  # noqa: E402
from recognition.architectures.mobilefacenet import MobileFaceNet  # noqa: E402
from recognition.errors import (  # noqa: E402
    CheckpointInvalid,
    InsufficientGpuMemory,
    ModelNotFound,
    UnsupportedEngine,
    UnsupportedRuntime,
    WeightsMissing,
)
from recognition.runtimes.onnx_runner import OnnxRunner  # noqa: E402
from recognition.runtimes.torch_memory import within_memory  # noqa: E402
from recognition.runtimes.torch_networks import DTYPES, CpuNetwork  # noqa: E402
from recognition.runtimes.torch_runner import TorchRunner, need_torch  # noqa: E402
from recognition.specs.files import load_specs  # noqa: E402
from recognition.zoo.convert import OUTPUTS  # noqa: E402
from recognition.zoo.onnx_export import to_onnx  # noqa: E402
from tests.conftest import PROJECT  # noqa: E402
from tests.recognition.architectures.test_mobilefacenet import Steps, load_w600k, load_y1  # noqa: E402
from tests.recognition.random_networks import draft, least_cosine, network, saved, tensors  # noqa: E402

# Large networks on busy machines.
pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("one_thread")]

SMALL = "arcface_mbf"
FAMILIES = [SMALL, "arcface_r18", "adaface_ir18", "facenet_casia"]
no_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("checkpoints")


def opened(name, folder, precision="fp32", device="cpu"):
    spec = draft(ARCHITECTURES[name], "torch", precision)
    return spec, TorchRunner(spec, saved(name, folder), device)


@pytest.mark.parametrize(
    "name", [SMALL, *(pytest.param(name, marks=pytest.mark.thorough) for name in FAMILIES if name != SMALL)]
)
def test_a_face_in_a_batch_is_the_face_alone(name, folder):
    spec, runner = opened(name, folder)
    faces = tensors(spec)
    together = runner.run(faces)
    alone = [np.concatenate(parts) for parts in zip(*(runner.run(face[None]) for face in faces), strict=True)]
    assert [part.shape for part in together] == [part.shape for part in alone]
    assert all(part.dtype == np.float32 for part in together)
    assert least_cosine(spec, together, alone) >= 0.9999
    for one, other in zip(together[1:], alone[1:], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_it_answers_as_onnx_runtime(name, folder, tmp_path):
    architecture = ARCHITECTURES[name]
    spec, runner = opened(name, folder)
    to_onnx(network(name), (3, *spec.input.size), OUTPUTS[architecture.family], (0,), tmp_path / "net.onnx")
    onnx = OnnxRunner(draft(architecture), (tmp_path / "net.onnx").read_bytes(), "cpu")
    faces = tensors(spec)
    ours, theirs = runner.run(faces), onnx.run(faces)
    assert [part.shape for part in ours] == [part.shape for part in theirs]
    assert least_cosine(spec, ours, theirs) >= 0.9999
    swapped = runner.run(np.ascontiguousarray(faces[:, ::-1]))
    assert least_cosine(spec, swapped, theirs) < 0.9, "the faces could not tell two networks apart"
    for one, other in zip(ours[1:], theirs[1:], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("name", ["arcface_r18", "adaface_ir18"])
def test_half_precision_on_the_cpu_is_computed_in_and_near_enough(name, precision, folder):
    spec, runner = opened(name, folder, precision)
    faces = tensors(spec)[:6]
    full = opened(name, folder)[1].run(faces)
    half = runner.run(faces)
    assert all(part.dtype == np.float32 for part in half)
    assert least_cosine(spec, half, full) > 0.999
    coarse = half[0].astype(np.float16) if precision == "fp16" else torch.from_numpy(half[0]).bfloat16().float().numpy()
    np.testing.assert_array_equal(half[0], coarse, "it was computed in another precision")
    alone = runner.run(faces[:1])
    assert least_cosine(spec, alone, [part[:1] for part in half]) >= 0.9999


@pytest.mark.parametrize(
    ("name", "net", "load"),
    [
        ("arcface_mobilefacenet_y1", lambda: MobileFaceNet(128, scale=1), load_y1),
        ("arcface_w600k_mbf", lambda: MobileFaceNet(512, scale=2, head="dense"), load_w600k),
    ],
)
def test_real_weights_answer_as_in_onnx_runtime_in_each_precision(shared, runners, name, net, load):
    spec = load_specs()[name]
    faces = tensors(spec)[:9]
    expected = runners(name).run(faces)
    fed = (faces - 127.5) / 128 if spec.input.mean == 0 else faces  # which the graph of y1 does itself
    for precision, bound in (("fp32", 0.9999), ("fp16", 0.9999), ("bf16", 0.999)):
        ours = net().eval()
        load(ours, Steps(shared / "models" / spec.file))
        answers = CpuNetwork(ours, DTYPES[precision]).run(fed)
        assert least_cosine(spec, answers, expected) > bound, precision


def test_threads_that_share_it_get_their_own_answers(folder):
    spec, runner = opened(SMALL, folder)
    faces = tensors(spec)
    expected = [runner.run(face[None])[0] for face in faces]
    begin = threading.Barrier(3)

    def embeddings(_):
        begin.wait()
        return [runner.run(face[None])[0] for face in faces]

    with ThreadPoolExecutor(3) as pool:
        for got in pool.map(embeddings, range(3)):
            np.testing.assert_allclose(np.concatenate(got), np.concatenate(expected), rtol=1e-4, atol=1e-5)


def test_it_computes_in_the_calling_thread_alone_and_leaves_that_as_it_was(folder):
    """On a thread that is new, whose helpers PyTorch would have to start first."""
    spec, runner = opened(SMALL, folder)
    faces = tensors(spec)
    told = {}

    def work():
        torch.set_num_threads(3)
        before = os.listdir("/proc/self/task")
        runner.run(faces)
        told["begun"] = set(os.listdir("/proc/self/task")) - set(before)
        told["threads"] = torch.get_num_threads()
        torch.set_num_threads(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert told == {"begun": set(), "threads": 3}


def test_the_cpu_asked_for_is_no_fallback(folder):
    _, runner = opened(SMALL, folder)
    assert (runner.device, runner.fallback) == ("cpu", None)


@no_cuda
def test_auto_says_why_it_took_the_cpu(folder):
    spec, runner = opened(SMALL, folder, device="auto")
    assert runner.device == "cpu"
    assert runner.fallback.code in ("no_cuda_provider", "no_gpu", "cuda_failed")
    if torch.version.cuda is None:
        assert runner.fallback.why == "the installed PyTorch is not built for CUDA"
    assert runner.run(tensors(spec)[:1])[0].shape == (1, 512)


@no_cuda
@pytest.mark.parametrize("device", ["cuda", "cuda:7"])
def test_a_gpu_that_is_not_there_is_refused(device, folder):
    with pytest.raises(UnsupportedRuntime, match=rf"^model arcface_mbf: device {device} was asked for, but .*or set"):
        opened(SMALL, folder, device=device)


def test_without_pytorch_the_extra_is_named(folder, monkeypatch):
    spec = draft(ARCHITECTURES[SMALL], "torch")
    need_torch(spec)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UnsupportedRuntime, match=r"^model arcface_mbf: needs PyTorch.*install 'whosthere\[train\]'"):
        TorchRunner(spec, folder / "none.pt")


def test_int8_is_refused(folder):
    spec = draft(ARCHITECTURES[SMALL], "torch").model_copy(update={"precision": "int8"})
    with pytest.raises(UnsupportedEngine, match="fp32, fp16 or bf16, not in int8"):
        TorchRunner(spec, saved(SMALL, folder), "cpu")


def test_weights_that_are_not_the_specs_are_refused(folder):
    other = draft(ARCHITECTURES["arcface_r18"], "torch")
    with pytest.raises(CheckpointInvalid, match="it fits arcface_mbf"):
        TorchRunner(other, saved(SMALL, folder), "cpu")
    with pytest.raises(WeightsMissing, match="no such file"):
        TorchRunner(other, folder / "nowhere.pt", "cpu")
    with pytest.raises(ModelNotFound, match="did you mean arcface_r18"):
        TorchRunner(other.model_copy(update={"architecture": "arcface_r19"}), saved(SMALL, folder), "cpu")


def test_a_batch_in_any_layout_of_memory_is_taken_and_left_as_it_is(folder):
    spec, runner = opened(SMALL, folder)
    faces = tensors(spec)[:4]
    faces.setflags(write=False)
    before = faces.copy()
    expected = runner.run(faces)
    backwards = runner.run(faces[::-1])
    np.testing.assert_array_equal(faces, before)
    assert least_cosine(spec, [backwards[0][::-1]], expected) >= 0.9999


def test_nothing_runs_after_close(folder):
    spec, runner = opened(SMALL, folder)
    runner.close()
    with pytest.raises(RuntimeError, match="run after close"):
        runner.run(tensors(spec)[:1])
    runner.close()


# In a process of its own: what others left free would be room in this one.
IN_LITTLE_MEMORY = """
import resource
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from recognition.errors import InsufficientMemory
from recognition.architectures import ARCHITECTURES
from recognition.runtimes.torch_runner import TorchRunner
from tests.recognition.random_networks import draft

@contextmanager
def little_memory(spare_mib):
    held_pages = int(Path("/proc/self/statm").read_text().split()[0])
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (held_pages * resource.getpagesize() + (spare_mib << 20), hard))
    try:
        yield
    except InsufficientMemory as error:
        print(error)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))

torch.set_num_threads(1)
spec, file = draft(ARCHITECTURES["arcface_r18"], "torch"), Path(sys.argv[1])
runner = TorchRunner(spec, file, "cpu")
"""


def in_little_memory(program, file):
    """The lines that a program prints, which has the above before it."""
    command = [sys.executable, "-c", IN_LITTLE_MEMORY + program, str(file)]
    done = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True, timeout=120)
    return done.stdout.splitlines()


def test_a_batch_that_does_not_fit_may_be_followed_by_a_smaller_one(folder):
    program = """
faces = np.zeros((200, 3, 112, 112), np.float32)
runner.run(faces[:1])
with little_memory(60):
    runner.run(faces)
print(runner.run(faces[:1])[0].shape)
"""
    told, smaller = in_little_memory(program, saved("arcface_r18", folder))
    assert told.startswith("model arcface_r18: there is too little RAM left for a batch of 200; ")
    assert smaller == "(1, 512)"


def test_weights_that_do_not_fit_are_no_broken_checkpoint(folder):
    """Wherever on the way the memory ends: 90 MB are read, and looked through."""
    program = """
del runner
for spare_mib in (5, 30, 60, 90):
    with little_memory(spare_mib):
        runner = TorchRunner(spec, file, "cpu")
        print("it fitted")
TorchRunner(spec, file, "cpu")
"""
    told = in_little_memory(program, saved("arcface_r18", folder))
    assert len(told) == 4
    assert all("too little RAM left for its weights" in line for line in told)


def test_what_a_gpu_says_of_too_little_memory():
    """The words of CUDA, cuBLAS and PyTorch; a graph's capture wraps them in an error of its own."""

    def wrapped():
        try:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        finally:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")

    def said(words):
        raise RuntimeError(words)

    for work in (
        wrapped,
        lambda: said("CUDA error: out of memory"),
        lambda: said("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ):
        with pytest.raises(InsufficientGpuMemory, match=r"^model m: cuda:1 has too little memory left for a batch"):
            within_memory(work, "m", "cuda:1", "a batch of 8")
    with pytest.raises(RuntimeError, match="illegal"):
        within_memory(lambda: said("CUDA error: an illegal memory access"), "m", "cuda:1", "a batch of 8")
