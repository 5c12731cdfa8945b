"""TritonRunner against a real Triton server, which is killed, hung and started again; with real faces."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import numpy as np
import pytest

from recognition import detect, embed
from recognition.align import aligned_crops
from recognition.checks.portraits import read_portraits
from recognition.errors import RunnerDead, TritonModelMismatch, TritonUnavailable
from recognition.runtimes.onnx_runner import OnnxRunner
from recognition.runtimes.triton_client import TritonClient, TritonEndpoint
from recognition.runtimes.triton_runner import TritonRunner
from recognition.specs.files import load_specs
from recognition.specs.weights import find_weights, read_weights
from tests.live.triton_server import (
    PATIENT_S,
    ServedModel,
    TritonServer,
    cosines,
    nano_detector,
    nano_embedder,
    need_triton,
    other_weights,
    served_again,
)

# A server starts in seconds, and in a minute where the machine is busy with something else.
pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

SPECS = load_specs()
EMBEDDER, DETECTOR = SPECS["nano_embed"], SPECS["nano_det"]


@pytest.fixture(scope="session")
def served() -> list[ServedModel]:
    """The embedder, as version 2 and as one that takes two at a time; the detector."""
    ours = find_weights(EMBEDDER, [])
    return [
        nano_embedder("nano_embed", ours, version=2),
        nano_embedder("nano_pairs", ours, max_batch=2),
        nano_detector(),
    ]


@pytest.fixture(scope="session")
def one_server(tmp_path_factory: pytest.TempPathFactory, served: list[ServedModel]) -> Iterator[TritonServer]:
    need_triton()
    with TritonServer(tmp_path_factory.mktemp("triton"), served) as running:
        yield running


@pytest.fixture
def server(one_server: TritonServer) -> TritonServer:
    """It runs, whatever became of it in the test before."""
    one_server.ensure()
    return one_server


@pytest.fixture(scope="session")
def in_process() -> OnnxRunner:
    return OnnxRunner(EMBEDDER, read_weights(EMBEDDER, []), "cpu")


@pytest.fixture(scope="session")
def faces() -> np.ndarray:
    """(6, 3, 112, 112): everybody of model/faces."""
    crops = [aligned_crops(face.image(), face.landmarks[None])[0] for face in read_portraits()]
    return embed.prepare(EMBEDDER, np.stack(crops))


def endpoint_of(server: TritonServer, **changes: object) -> TritonEndpoint:
    return replace(TritonEndpoint(server.url, "nano_embed", "2", PATIENT_S), **changes)


@pytest.fixture
def runner(server: TritonServer) -> Iterator[TritonRunner]:
    opened = TritonRunner(EMBEDDER, endpoint_of(server))
    yield opened
    opened.close()


def test_a_batch_is_its_faces_one_by_one_and_what_onnx_runtime_says_here(runner, in_process, faces):
    (together,) = runner.run(faces)
    alone = np.concatenate([runner.run(face[None])[0] for face in faces])
    (here,) = in_process.run(faces)

    assert (runner.device, runner.notes) == (
        "triton",
        ("its server takes 8 at a time: larger batches are sent in parts",),
    )
    assert together.shape == (6, 256)
    assert cosines(together, alone).min() > 0.9999
    assert cosines(together, here).min() > 0.9999
    assert cosines(together[:1], together[1:]).max() < 0.9


def test_its_metadata_are_asked_for_now_and_again_and_its_weights_are_held_to_after_each_pause(
    runner, faces, monkeypatch
):
    """On one connection."""
    asked: Counter[str] = Counter()

    def count(call: str) -> None:
        real = getattr(TritonClient, call)

        def counted(self, *given):
            asked[call] += 1
            return real(self, *given)

        monkeypatch.setattr(TritonClient, call, counted)

    for call in ("describe", "infer", "_connect"):
        count(call)
    for _ in range(3):
        runner.run(faces)
    at_once = asked["infer"]
    monkeypatch.setattr("recognition.runtimes.triton_runner._TRUST_S", -1.0)
    for _ in range(5):
        runner.run(faces)
    assert asked["infer"] == at_once + 10, "a pattern before each"
    assert asked["describe"] == 0
    monkeypatch.setattr("recognition.runtimes.triton_runner._VERIFY_EVERY_S", -1.0)
    for _ in range(2):
        runner.run(faces)
    assert (asked["describe"], asked["_connect"]) == (2, 0)


def test_a_batch_that_is_too_large_for_the_server_goes_in_parts(server, in_process, faces):
    runner = TritonRunner(EMBEDDER, endpoint_of(server, model="nano_pairs", version="1"))
    (together,) = runner.run(faces[:5])
    runner.close()

    assert runner.notes == ("its server takes 2 at a time: larger batches are sent in parts",)
    assert cosines(together, in_process.run(faces[:5])[0]).min() > 0.9999


def test_a_detector_gives_what_onnx_runtime_gives_here(server):
    image = read_portraits()[0].image()
    tensors = [detect.prepare(DETECTOR, image, trim=trim).tensor[None] for trim in (False, True)]
    here = OnnxRunner(DETECTOR, read_weights(DETECTOR, []), "cpu")
    runner = TritonRunner(DETECTOR, endpoint_of(server, model="nano_det", version="1"))

    for tensor in tensors:
        for ours, theirs in zip(runner.run(tensor), here.run(tensor), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    runner.close()


def test_calls_of_many_threads_are_not_mixed_up(runner, in_process, faces):
    (here,) = in_process.run(faces)
    order = [number % len(faces) for number in range(30)]
    with ThreadPoolExecutor(5) as threads:
        answers = list(threads.map(lambda number: runner.run(faces[number][None])[0], order))

    assert cosines(np.concatenate(answers), here[order]).min() > 0.9999


def test_a_killed_server_is_unavailable_and_the_same_runner_works_when_it_is_back(server, runner, in_process, faces):
    (here,) = in_process.run(faces)
    patient = TritonRunner(EMBEDDER, endpoint_of(server, deadline_s=300.0, retries=1000))
    server.kill()
    try:
        with pytest.raises(TritonUnavailable, match=r"nano_embed version 2 on Triton at 127\.0\.0\.1:\d+: ") as told:
            runner.run(faces)
        assert (told.value.code, told.value.retryable) == ("triton_unavailable", True)
        with pytest.raises(TritonUnavailable, match=r"Connection refused; see that it runs"):
            TritonRunner(EMBEDDER, endpoint_of(server, retries=1))
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(patient.run, faces)
            server.start()
            (late,) = waiting.result()
    finally:
        server.ensure()

    assert cosines(late, here).min() > 0.9999
    assert cosines(served_again(server, runner, faces), here).min() > 0.9999
    patient.close()


def test_a_server_that_comes_back_with_other_weights_is_not_believed(server, runner, in_process, faces, tmp_path):
    runner.run(faces)
    server.kill()
    try:
        server.start([nano_embedder("nano_embed", other_weights(tmp_path / "other.onnx"), version=2)])
        for _ in range(2):
            with pytest.raises(TritonModelMismatch, match="it has other weights now; bring the old ones back"):
                runner.run(faces)
        server.kill()
        server.start()
    finally:
        server.ensure()

    assert cosines(served_again(server, runner, faces), in_process.run(faces)[0]).min() > 0.9999


def test_a_hung_server_is_given_up_at_the_deadline_and_used_again_when_it_goes_on(server, in_process, faces):
    runner = TritonRunner(EMBEDDER, endpoint_of(server, deadline_s=8.0))
    server.hang()
    try:
        with pytest.raises(TritonUnavailable, match="no answer within 8 s; see whether the server hangs"):
            runner.run(faces)
    finally:
        server.go_on()

    assert cosines(served_again(server, runner, faces), in_process.run(faces)[0]).min() > 0.9999
    runner.close()


def test_a_model_that_hangs_in_a_healthy_server_is_given_up_too(server, in_process, faces):
    runner = TritonRunner(EMBEDDER, endpoint_of(server, deadline_s=8.0))
    with server.held(), pytest.raises(TritonUnavailable, match="no answer within 8 s"):
        runner.run(faces)

    assert cosines(served_again(server, runner, faces), in_process.run(faces)[0]).min() > 0.9999
    runner.close()


def test_a_run_that_waits_is_cut_short_by_close(server, faces):
    runner = TritonRunner(EMBEDDER, endpoint_of(server))
    with server.held() as somebody_waits, ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(runner.run, faces)
        somebody_waits()
        runner.close()
        with pytest.raises(RunnerDead, match="the model was closed"):
            waiting.result()
    with pytest.raises(RuntimeError, match="run after close"):
        runner.run(faces)


async def test_a_connection_that_dies_without_a_word_is_replaced(server, in_process, faces):
    async with dull_line(server.port) as (port, fall_silent):
        endpoint = endpoint_of(server, url=f"127.0.0.1:{port}", deadline_s=8.0)
        runner = await asyncio.to_thread(TritonRunner, EMBEDDER, endpoint)
        fall_silent()
        with pytest.raises(TritonUnavailable, match="no answer within 8 s"):
            await asyncio.to_thread(runner.run, faces)
        answer = await asyncio.to_thread(served_again, server, runner, faces)
        await asyncio.to_thread(runner.close)

    assert cosines(answer, in_process.run(faces)[0]).min() > 0.9999


@asynccontextmanager
async def dull_line(port: int) -> AsyncIterator[tuple[int, Callable[[], None]]]:
    """A port that leads to the server's, and what makes its connections of now carry nothing any more."""
    silent: set[asyncio.StreamWriter] = set()
    writers: set[asyncio.StreamWriter] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                if writer not in silent:
                    writer.write(data)
                    await writer.drain()
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", port)
        writers.update((writer, to_server))
        await asyncio.gather(carry(reader, to_server), carry(from_server, writer))

    listener = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1], lambda: silent.update(writers)
    finally:
        listener.close()
        for writer in writers:
            writer.transport.abort()


def test_a_model_that_is_not_there_may_come_and_is_answered_with_what_is_there(server):
    complaint = "no model arcface_r100 there, but nano_det, nano_embed, nano_pairs; load it"
    with pytest.raises(TritonUnavailable, match=complaint):
        TritonRunner(EMBEDDER, endpoint_of(server, retries=0, model="arcface_r100"))


def test_a_model_that_is_there_in_another_version_is_another_model(server):
    complaint = "version 1 is not ready there, but version 2 READY; load it, or change triton.version"
    with pytest.raises(TritonModelMismatch, match=complaint) as told:
        TritonRunner(EMBEDDER, endpoint_of(server, version="1"))
    assert (told.value.code, told.value.retryable) == ("triton_model_mismatch", False)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"embedding_size": 512}, r"gives embedding FP32 \[-1, 256\], the spec wants FP32 outputs \[512\]"),
        ({"input": EMBEDDER.input.model_copy(update={"name": "data"})}, r"takes input FP32 .*, the spec wants data"),
        ({"input": EMBEDDER.input.model_copy(update={"size": (160, 160)})}, r"wants input FP32 \[-1, 3, 160, 160\]"),
    ],
)
def test_a_model_that_is_not_the_specs_is_refused_at_once(server, changes, complaint):
    with pytest.raises(TritonModelMismatch, match=complaint) as told:
        TritonRunner(EMBEDDER.model_copy(update=changes), endpoint_of(server))
    assert not told.value.retryable


def test_nobody_listens_at_the_start(free_port):
    need_triton()
    with pytest.raises(TritonUnavailable, match=rf"127\.0\.0\.1:{free_port}: .*refused; see that it runs"):
        TritonRunner(EMBEDDER, TritonEndpoint(f"127.0.0.1:{free_port}", "nano_embed", "2"))


def test_a_host_that_has_no_address():
    need_triton()
    with pytest.raises(TritonUnavailable, match=r"nobody\.invalid:8001: "):
        TritonRunner(EMBEDDER, TritonEndpoint("nobody.invalid:8001", "nano_embed", "2"))


def test_somebody_listens_who_says_nothing():
    need_triton()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(TritonUnavailable, match=rf"{address}: "):
            TritonRunner(EMBEDDER, TritonEndpoint(address, "nano_embed", "2", deadline_s=1.0))
