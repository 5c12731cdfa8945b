"""ArcFace R100 in PyTorch on an NVIDIA GPU: faces a second, as a share of what the card multiplies; and its memory.

Random weights. On the benchmark's event loop, what blocks on threads; for minutes, as networks are compiled. Without
a GPU nothing is measured, and why is said.
"""

import asyncio
import tempfile
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from recognition.architectures import find_architecture
from recognition.checks.self_test import probe_tensors
from recognition.errors import CodedError
from recognition.models.manager import ModelManager
from recognition.runtimes.tensor_runner import TensorRunner
from recognition.runtimes.torch_runner import TorchRunner
from recognition.selection.measure import MemoryBefore
from recognition.selection.measurements import hardware_of
from recognition.specs.devices import count_gpus, gpu_number, missing_gpu
from recognition.specs.profile import BatchBuckets
from recognition.specs.spec import EmbedderSpec
from recognition.zoo.random_model import write_random_model
from streamer.bench.full_load import Pace, rate, run_bare

ARCHITECTURE = "arcface_r100"
GFLOP_A_FACE = 24.2
MATRIX_SIDE = 8192
BUCKETS = (1, 32, 64, 128, 256, 512)
PRECISIONS = ("bf16", "fp16")
_WARM_UPS = 5
PUBLISHED = {"faces_per_s": 1170, "what": "InsightFace-REST, ArcFace R100 on an RTX 2080 Super, batch 64, as published"}


@dataclass(frozen=True, slots=True)
class GpuRate:
    """Faces a second in one bucket; share: of the card's matrix rate. None where `why` says what was in the way."""

    precision: str
    compiled: bool
    bucket: int
    faces_per_s: float | None
    share: float | None
    why: str | None = None


def why_not(device: str) -> str | None:
    """Why nothing can be measured on this device (`auto`: the first GPU); None where it can be tried."""
    if device == "cpu":
        return "recognition.device is cpu"
    count = count_gpus()
    return "no GPU here" if not count else missing_gpu(gpu_number(device), count)


async def run_gpu(device: str, pace: Pace) -> dict[str, Any]:
    """The part `gpu` of the document; `device`: as recognition.device. Raises nothing that the world does."""
    why = why_not(device)
    if why is not None:
        return {"measured": False, "why": why}
    try:
        return await _measured(f"cuda:{gpu_number(device)}", pace)
    except CodedError as error:
        return {"measured": False, "why": f"{error} [{error.code}]"}


async def _measured(place: str, pace: Pace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="whosthere-bench-") as scratch:
        architecture = find_architecture(ARCHITECTURE)
        spec = await asyncio.to_thread(write_random_model, architecture, Path(scratch), engine="torch")
        card = Card(place, spec, Path(scratch), pace)
        memory = await card.memory()
        tflops = await asyncio.to_thread(_matrix_tflops, place)
        rates = [one for precision in PRECISIONS for one in await card.rates(precision, tflops)]
    best = max((one for one in rates if one.faces_per_s), key=lambda one: one.faces_per_s or 0.0, default=None)
    return {
        "measured": True,
        "card": hardware_of(place),
        "architecture": ARCHITECTURE,
        "weights": "random",
        "matrix_tflops": round(tflops, 1),
        "gflop_a_face": GFLOP_A_FACE,
        "rates": [asdict(one) for one in rates],
        "best": None if best is None else asdict(best),
        "memory": memory,
        "published": PUBLISHED,
    }


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU, and the model in `folder` that is measured on it."""

    device: str
    spec: EmbedderSpec
    folder: Path
    pace: Pace
    buckets: tuple[int, ...] = BUCKETS

    async def memory(self) -> dict[str, float | None]:
        """What the ledger has it down for once it is loaded, and what NVML says was taken after every bucket ran.

        In fp16, which takes what bf16 takes: of random weights bf16 makes too little to pass a load's tests.
        """
        spec = self._spec("fp16", self.buckets)
        before = await asyncio.to_thread(MemoryBefore)
        manager = ModelManager([self.folder], specs={spec.name: spec})
        try:
            lease = await asyncio.to_thread(manager.lease, spec, self.device)
            for bucket in self.buckets:
                await self._faces_per_s(lease.runner, bucket)
            held_mib = sum(one.held_mib for one in manager.ledger.holdings() if one.device == self.device)
            nvml_mib = await asyncio.to_thread(before.taken_mib, self.device)
        finally:
            await asyncio.to_thread(manager.close)
        return {"ledger_mib": round(held_mib, 1), "nvml_mib": None if nvml_mib is None else round(nvml_mib, 1)}

    async def rates(self, precision: str, tflops: float) -> list[GpuRate]:
        """Every bucket as it is, then the best one compiled; each with its share of this matrix rate."""
        rates = await self._opened(precision, self.buckets, tflops, compiled=False)
        best = max(rates, key=lambda one: one.faces_per_s or 0.0)
        # 1 is compiled too, as every set of buckets begins with it.
        compiled = await self._opened(precision, tuple(sorted({1, best.bucket})), tflops, compiled=True)
        return [*rates, *compiled]

    async def _opened(
        self, precision: str, buckets: tuple[int, ...], tflops: float, *, compiled: bool
    ) -> list[GpuRate]:
        spec, runner = self._spec(precision, buckets), None
        try:
            open_it = partial(TorchRunner, spec, self.folder / spec.file, self.device, compile=compiled)
            runner = await asyncio.to_thread(open_it)
            faces = [await self._faces_per_s(runner, bucket) for bucket in buckets]
        except CodedError as error:
            return [GpuRate(precision, compiled, bucket, None, None, str(error)) for bucket in buckets]
        finally:
            if runner is not None:
                await asyncio.to_thread(runner.close)
        return [
            GpuRate(precision, compiled, bucket, round(faces_per_s, 1), round(share_of(tflops, faces_per_s), 4))
            for bucket, faces_per_s in zip(buckets, faces, strict=True)
        ]

    def _spec(self, precision: str, buckets: tuple[int, ...]) -> EmbedderSpec:
        return self.spec.model_copy(update={"precision": precision, "batch_buckets": BatchBuckets(cuda=buckets)})

    async def _faces_per_s(self, runner: TensorRunner, bucket: int) -> float:
        """The best round's."""
        faces = probe_tensors(self.spec)
        batch = np.resize(faces, (bucket, *faces.shape[1:]))
        return max([rate(await run_bare(runner, batch, 1, self.pace.slice_s)) for _ in range(self.pace.rounds)])


def share_of(tflops: float, faces_per_s: float) -> float:
    """What part of a card's matrix rate so many faces take."""
    return faces_per_s * GFLOP_A_FACE / (tflops * 1e3)


def _matrix_tflops(device: str, runs: int = 50) -> float:
    """Two bfloat16 matrices multiplied: TFLOP a second."""
    import torch

    with torch.cuda.device(device):
        one, other = (torch.randn(MATRIX_SIDE, MATRIX_SIDE, device=device, dtype=torch.bfloat16) for _ in range(2))
        began, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        for run in range(runs + _WARM_UPS):
            if run == _WARM_UPS:
                began.record()
            torch.mm(one, other)
        ended.record()
        ended.synchronize()
        seconds = began.elapsed_time(ended) / 1e3
    return float(2 * MATRIX_SIDE**3 * runs / seconds / 1e12)
