"""Every promised code of a model's errors, raised by the manager in the case that it is meant for."""

import contextlib
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recognition.errors import CodedError
from recognition.models.manager import ModelManager
from recognition.models.providers import TritonServer
from recognition.specs.devices import count_gpus
from recognition.specs.files import bundled, load_specs
from recognition.specs.profile import SpecProfile, TritonModel
from recognition.specs.spec import EmbedderSpec
from tests.recognition.scripted_provider import (
    CountedMemory,
    ScriptedProvider,
    ScriptedTensors,
    scripted_spec,
    write_space,
)

NANO = load_specs()["nano_embed"]
assert isinstance(NANO, EmbedderSpec)
SERVED = SpecProfile(runtime="triton", triton=TritonModel(model="nano_embed", version="1"))

# What ../shared/INTERFACES.md promises, besides what is ours.
PROMISED = {
    *("model_not_found", "weights_missing", "weights_digest_mismatch", "triton_unavailable"),
    *("insufficient_gpu_memory", "unsupported_runtime", "unsupported_engine", "network_forbidden"),
    *("self_test_failed", "embedding_space_mismatch"),
}


class Case:
    """What cases need: an empty folder, a scripted provider on a GPU of 1000 MiB, a port that is free."""

    def __init__(self, folder: Path, free_port: int) -> None:
        self.folder = folder
        self.free_port = free_port
        self.memory = CountedMemory(cpu=8000, cuda_0=1000)
        self.provider = ScriptedProvider(self.memory)

    def real(self, *folders: Path, device: str = "cpu", **changes: object) -> ModelManager:
        """The manager of nano_embed, whose spec says otherwise."""
        spec = NANO.model_copy(update=changes)
        return ModelManager(folders, device=device, specs={spec.name: spec})

    def scripted(self, spoil: Callable[[ScriptedTensors], None] = lambda tensors: None) -> ModelManager:
        self.provider.spoil = spoil
        spec = scripted_spec("nano_embed")
        spaces = write_space(self.folder)
        return ModelManager(
            [], device="cuda:0", specs={spec.name: spec}, spaces=spaces, providers=[self.provider], reader=self.memory
        )


def connects(tensors: ScriptedTensors) -> None:
    with socket.socket() as plain:
        plain.connect(("127.0.0.1", 9))


def connects_in_silence(tensors: ScriptedTensors) -> None:
    """As a library does that would take its cache instead."""
    with contextlib.suppress(CodedError):
        connects(tensors)


def gives_nan(tensors: ScriptedTensors) -> None:
    tensors.answer = lambda batch: np.full((len(batch), 8), np.nan, np.float32)


def is_another(tensors: ScriptedTensors) -> None:
    tensors.answer = lambda batch: batch.mean(axis=(2, 3)) @ np.ones((3, 8), np.float32)


def cut_short(case: Case) -> ModelManager:
    content = (bundled("nano") / NANO.file).read_bytes()
    (case.folder / NANO.file).write_bytes(content[: len(content) // 2])
    return case.real(case.folder)


def no_server(case: Case) -> ModelManager:
    pytest.importorskip("tritonclient.grpc", reason="the extra triton is not installed")
    server = TritonServer(f"127.0.0.1:{case.free_port}", deadline_s=20.0, retries=0)
    return ModelManager([], specs={NANO.name: NANO}, profiles={NANO.name: SERVED}, triton=server)


def no_gpu(case: Case) -> ModelManager:
    if count_gpus():
        pytest.skip("this machine has a GPU")
    return case.real(device="cuda:0")


CASES: dict[str, list[tuple[Callable[[Case], ModelManager], str]]] = {
    "model_not_found": [
        (lambda case: ModelManager([], specs={}), "there is no spec of this name"),
        (lambda case: ModelManager([], specs={"nano_embed": load_specs()["nano_det"]}), "is a detector"),
    ],
    "weights_missing": [
        (lambda case: case.real(case.folder, local_artifacts=("gone.onnx",)), "weights gone.onnx not found in"),
        (lambda case: case.real(case.folder, weights_digest=None), "have to be made here first"),
    ],
    "weights_digest_mismatch": [(cut_short, r"\(\d+ bytes\) have sha256")],
    "triton_unavailable": [(no_server, r"on Triton at 127\.0\.0\.1:\d+: ")],
    "insufficient_gpu_memory": [(lambda case: case.scripted(), r"needs 1001 MiB on cuda:0, 1000 MiB can be had")],
    "unsupported_runtime": [
        (no_gpu, "device cuda:0 was asked for, but"),
        (
            lambda case: ModelManager([], specs={NANO.name: NANO}, profiles={NANO.name: SERVED}),
            r"no server is configured; set recognition\.triton\.url|pip install 'whosthere\[triton\]'",
        ),
    ],
    "unsupported_engine": [
        (lambda case: case.real(engine="tensorrt"), "its engine is tensorrt, which has no CPU"),
        (lambda case: ModelManager([], specs={NANO.name: NANO}, providers=[]), "nothing here runs engine onnx"),
    ],
    "network_forbidden": [
        (lambda case: case.scripted(connects), r"tried to reach 127\.0\.0\.1:9 while"),
        (lambda case: case.scripted(connects_in_silence), r"tried to reach 127\.0\.0\.1:9 while"),
    ],
    "self_test_failed": [
        (lambda case: case.scripted(gives_nan), "not all outputs are finite"),
        (lambda case: case.real(embedding_size=128), "the spec's family or embedding_size is wrong"),
    ],
    "embedding_space_mismatch": [
        (lambda case: case.scripted(is_another), r"not those of space scripted\.1"),
        (lambda case: case.real(space="mobileface_v2.1"), r"not those of space mobileface_v2\.1"),
    ],
}


def test_every_promised_code_has_its_case():
    assert CASES.keys() == PROMISED


@pytest.mark.parametrize(
    ("code", "make", "complaint"),
    [(code, make, complaint) for code, cases in CASES.items() for make, complaint in cases],
    ids=[f"{code} {number}" for code, cases in CASES.items() for number in range(1, len(cases) + 1)],
)
def test_the_manager_raises_it_and_nothing_stays_behind(tmp_path, free_port, code, make, complaint):
    case = Case(tmp_path, free_port)
    manager = make(case)
    with pytest.raises(CodedError, match=complaint) as raised:
        manager.lease(manager.spec_of("nano_embed", EmbedderSpec), need_mib=1001 if "memory" in code else None)
    assert raised.value.code == code
    assert "nano_embed" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert (manager.loaded(), manager.ledger.holdings()) == ([], [])
    assert (case.provider.open, case.memory.ours["cuda:0"]) == ([], 0)
    assert not manager._cache._entries
