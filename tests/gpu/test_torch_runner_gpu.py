"""The published families in PyTorch on a GPU, held against the CPU: in each precision, by bucket, out of memory."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra train is not installed: pip install -e '.[train]'")

from recognition.architectures import ARCHITECTURES  # noqa: E402
from recognition.errors import InsufficientGpuMemory, UnsupportedRuntime  # noqa: E402  # behind the skip
from recognition.runtimes.torch_runner import TorchRunner  # noqa: E402
from recognition.specs.profile import BatchBuckets  # noqa: E402
from tests.recognition.random_networks import draft, least_cosine, saved, tensors  # noqa: E402

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU, and a PyTorch that is built for CUDA"),
]

BUCKETS = (1, 2, 4, 8)
KEPT = 40 << 20  # bytes that cuBLAS keeps to work in, for each stream it ever saw


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture
def opened(folder):
    """A runner, by architecture, device and precision; all are closed at the end."""
    runners = []

    def runner(name, device, precision="fp32", **options):
        spec = draft(ARCHITECTURES[name], "torch", precision)
        spec = spec.model_copy(update={"batch_buckets": BatchBuckets(cuda=BUCKETS)})
        runners.append(TorchRunner(spec, saved(name, folder), device, **options))
        return spec, runners[-1]

    yield runner
    for one in runners:
        one.close()


def alone(runner, faces):
    """The faces' outputs, run one by one."""
    return [np.concatenate(parts) for parts in zip(*(runner.run(face[None]) for face in faces), strict=True)]


# In bfloat16 random weights of InceptionResnet are near nothing, not even themselves in float32 (cosine .997).
@pytest.mark.parametrize(
    ("name", "precision", "bound"),
    [
        *((name, "fp32", 0.9999) for name in ("arcface_r18", "adaface_ir18", "facenet_casia")),
        *((name, "fp16", 0.999) for name in ("arcface_r18", "adaface_ir18", "facenet_casia")),
        *((name, "bf16", 0.999) for name in ("arcface_r18", "adaface_ir18")),
    ],
)
def test_the_gpu_answers_as_the_cpu(name, precision, bound, opened):
    spec, runner = opened(name, "cuda", precision)
    assert (runner.device, runner.fallback) == ("cuda:0", None)
    faces = tensors(spec)
    ours, expected = runner.run(faces[:8]), opened(name, "cpu", precision)[1].run(faces[:8])
    assert [part.shape for part in ours] == [part.shape for part in expected]
    assert all(part.dtype == np.float32 for part in ours)
    assert least_cosine(spec, ours, expected) > bound
    assert least_cosine(spec, runner.run(np.ascontiguousarray(faces[:8, ::-1])), expected) < 0.9
    for one, other in zip(ours[1:], expected[1:], strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-2)


def test_every_bucket_and_every_size_beside_them_gives_each_face_its_own_answer(opened):
    """3 lies between two buckets, 13 above all."""
    spec, runner = opened("arcface_r18", "cuda")
    faces = tensors(spec)
    expected = alone(runner, faces)
    for size in (*BUCKETS, 3, 13, 1):
        assert least_cosine(spec, runner.run(faces[:size]), [part[:size] for part in expected]) > 0.9999, size
        assert least_cosine(spec, runner.run(faces[-size:]), [part[-size:] for part in expected]) > 0.9999, size


def test_an_answer_stays_what_it_was_when_the_next_batch_is_run(opened):
    spec, runner = opened("arcface_r18", "cuda")
    faces = tensors(spec)
    first = runner.run(faces[:4])
    kept = [part.copy() for part in first]
    runner.run(faces[4:8])
    for part, copy in zip(first, kept, strict=True):
        np.testing.assert_array_equal(part, copy)


def test_threads_that_share_it_get_their_own_answers(opened):
    spec, runner = opened("adaface_ir18", "cuda")
    faces = tensors(spec)
    expected = alone(runner, faces)

    def work(places):
        return [(place, runner.run(faces[place : place + 2])) for _ in range(20) for place in places]

    with ThreadPoolExecutor(2) as pool:
        for answers in pool.map(work, ((0, 4, 8), (2, 6, 10))):
            for place, got in answers:
                assert least_cosine(spec, got, [part[place : place + 2] for part in expected]) > 0.9999
                np.testing.assert_allclose(got[1], expected[1][place : place + 2], rtol=1e-2)


@pytest.mark.filterwarnings("ignore")  # the compiler's own, of deprecated parts of PyTorch
def test_compiled_it_answers_the_same(opened):
    spec, runner = opened("arcface_r18", "cuda", "fp16", compile=True)
    faces = tensors(spec)
    expected = opened("arcface_r18", "cpu", "fp16")[1].run(faces)
    for size in (*BUCKETS, 13):
        assert least_cosine(spec, runner.run(faces[:size]), [part[:size] for part in expected]) > 0.999, size


@contextmanager
def little_memory(spare_mib):
    """PyTorch may take so much more of the GPU than it holds."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + (spare_mib << 20)) / total)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_a_batch_that_does_not_fit_may_be_followed_by_a_smaller_one(opened):
    spec, runner = opened("arcface_r18", "cuda")
    face = tensors(spec)[:1]
    expected = runner.run(face)
    many = np.repeat(face, 200, axis=0)
    with little_memory(64), pytest.raises(InsufficientGpuMemory, match=r"cuda:0 has too little memory left for a ba"):
        runner.run(many)
    assert least_cosine(spec, runner.run(face), expected) > 0.9999
    assert least_cosine(spec, runner.run(many)[:1], [part.repeat(200, axis=0) for part in expected]) > 0.9999


@pytest.mark.parametrize("device", ["cuda", "auto"])
@pytest.mark.parametrize("spare_mib", [16, 128])
def test_a_model_that_does_not_fit_is_no_reason_for_the_cpu_and_leaves_nothing_behind(spare_mib, device, opened):
    """16 MiB do not hold the weights, 128 do, but not the buckets."""
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved()
    with little_memory(spare_mib), pytest.raises(InsufficientGpuMemory, match="for its weights and batches of 8"):
        opened("arcface_r18", device)
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() <= before + KEPT
    opened("arcface_r18", device)


def test_closed_it_gives_its_memory_back(opened):
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved()
    _, runner = opened("arcface_r18", "cuda")
    assert torch.cuda.memory_reserved() > before + (90 << 20)
    runner.close()
    assert torch.cuda.memory_reserved() <= before + KEPT


def test_a_gpu_by_a_number_that_there_is_not(opened):
    with pytest.raises(UnsupportedRuntime, match=r"device cuda:99 was asked for, but there is no GPU 99: CUDA sees"):
        opened("arcface_r18", "cuda:99")
