"""The model layer's part of the benchmark: embedders by batch size and device, eight cameras, switches, the GPU.

Settings go in; the keys `models`, `eight_cameras`, `switches` and `gpu` of the machine-readable output come out. On
the benchmark's event loop; what can't be measured here has its row too, with the reason.
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from recognition.architectures import ARCHITECTURES, find_architecture
from recognition.checks.self_test import probe_tensors
from recognition.errors import CodedError
from recognition.models.manager import ModelManager
from recognition.models.model_runner import ModelRunner
from recognition.serving.batch_limits import BatchLimits
from recognition.serving.served_model import BatchPlan
from recognition.specs.devices import gpu_number
from recognition.specs.spec import EmbedderSpec
from recognition.zoo.random_model import write_random_model
from streamer.bench.calm import calmest
from streamer.bench.eight_cameras import EightCameras, eight_cameras
from streamer.bench.full_load import FullLoad, Pace, full_load
from streamer.bench.gpu import run_gpu, why_not
from streamer.bench.parts import Parts
from streamer.bench.switches import DETECTOR, EMBEDDER, SwitchUnderLoad, run_switches
from streamer.model_layer.setup import make_manager, recogniser_config
from streamer.settings import Settings

Say = Callable[[str], None]
Row = dict[str, Any]
Loaded = ModelRunner[EmbedderSpec]

# Of each family the smallest: large networks take minutes on a CPU.
SOME_ARCHITECTURES = ("adaface_ir18", "arcface_r18", "facenet_casia")
ALL_ARCHITECTURES = tuple(ARCHITECTURES)
# With which the cameras embed, and between which is switched: the first that is here, besides our own.
FAVOURITES = ("arcface_w600k_mbf", "mobileface_v2", "edgeface_xxs", "arcface_mobilefacenet_y1")
# TensorRT builds an engine for each batch size, minutes each: it is measured with one model.
TENSORRT_ON = "arcface_r18"
_NO_LIMIT = 1_000_000  # of a queue: nothing is refused here, what waits is what is measured


@dataclass(frozen=True, slots=True)
class ModelBenchOptions:
    """architectures: those measured with random weights. slice_s: how long each figure of a model is measured a dozen
    times; cameras_s: eight cameras, thrice each way; steady_s: before and after each switch."""

    architectures: Sequence[str] = SOME_ARCHITECTURES
    slice_s: float = 0.25
    cameras_s: float = 2.0
    steady_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Target:
    """A device, an engine (None: the spec's), and what speaks against measuring there."""

    device: str
    engine: str | None = None
    why_not: str | None = None


async def run_model_layer(settings: Settings, options: ModelBenchOptions, parts: Parts) -> dict[str, Any]:
    """Measure everything. What can't be loaded says so in its row; a table that fails is empty, `gpu` None."""
    bench = _ModelBench(settings, options, parts.say)
    models: list[Row] = []
    for name in parts.call("models", bench.embedders_here) or ():
        models += await parts.run(f"models, {name}", bench.real(name)) or ()
    sound = list(dict.fromkeys(row["name"] for row in models if row["ok"]))
    other = next((name for name in (*FAVOURITES, *sound) if name in sound and name != EMBEDDER), None)
    for name in options.architectures:
        models += await parts.run(f"models, {name}", bench.random(name)) or ()
    cameras: list[Row] = []
    for chosen in filter(None, (EMBEDDER, other)):
        cameras += await parts.run(f"eight cameras, {chosen}", bench.cameras(chosen)) or ()
    switches = [] if other is None else await parts.run("switches", bench.switches(other)) or []
    gpu = await parts.run("gpu", run_gpu(settings.recognition.device, Pace(options.slice_s, rounds=3)))
    return {"models": models, "eight_cameras": cameras, "switches": switches, "gpu": gpu}


class _ModelBench:
    """What all of it shares."""

    def __init__(self, settings: Settings, options: ModelBenchOptions, say: Say) -> None:
        self._settings = settings
        self._options = options
        self._say = say
        self._manager = make_manager(settings)

    def embedders_here(self) -> list[str]:
        """Those whose weights are found, and that run in this process; no ensembles, which are two of them."""
        return [
            name
            for name, spec in self._manager.specs.items()
            if isinstance(spec, EmbedderSpec)
            and spec.runtime == "inprocess"
            and not spec.members
            and self._manager.why_not(name) is None
        ]

    async def real(self, name: str) -> list[Row]:
        """The rows of a model with its own weights."""
        spec = self._manager.spec_of(name, EmbedderSpec)
        return [await self._model(spec, target, self._settings.paths.models, "real") for target in self._targets(name)]

    async def random(self, name: str) -> list[Row]:
        """The rows of an architecture with weights that know nobody."""
        with tempfile.TemporaryDirectory(prefix="whosthere-bench-") as scratch:
            self._say(f"{name}: drawing random weights")
            architecture = find_architecture(name)
            try:
                spec = await asyncio.to_thread(write_random_model, architecture, Path(scratch))
            except CodedError as error:
                head = {"name": name, "family": architecture.family, "weights": "random", "device": "cpu"}
                return [{**head, **_failed(f"{error} [{error.code}]"), "buckets": {}}]
            return [await self._model(spec, target, [Path(scratch)], "random") for target in self._targets(name)]

    async def _model(self, spec: EmbedderSpec, target: Target, folders: Sequence[Path], weights: str) -> Row:
        async def measure(runner: Loaded, threads: int) -> Row:
            buckets: Row = {}
            for bucket in runner.buckets:
                self._say(f"{spec.name} on {target.device}: batches of {bucket}")
                faces, pace = probe_tensors(spec), Pace(self._options.slice_s)
                buckets[str(bucket)] = _document(await full_load(runner, faces, _limits(runner, bucket), threads, pace))
            return {"buckets": buckets}

        head = {"name": spec.name, "family": spec.family, "weights": weights, "buckets": {}}
        return head | await self._tried(spec, target, folders, measure)

    async def cameras(self, name: str) -> list[Row]:
        """Eight cameras' faces, gathered and one by one, wherever this model can be had."""
        spec = self._manager.spec_of(name, EmbedderSpec)

        async def measure(runner: Loaded, threads: int) -> Row:
            self._say(f"{name} on {runner.device}: the faces of eight cameras")
            most = self._settings.recognition.max_batch if runner.on_cpu else runner.max_batch
            faces, limits, pace = probe_tensors(spec), _limits(runner, most), Pace(self._options.cameras_s, rounds=3)
            found = await eight_cameras(runner, faces, limits, threads, pace)
            gain = found.batched.faces_per_s / found.single.faces_per_s
            return _document(found) | {"most": limits.max_batch, "gain": round(gain, 3)}

        folders = self._settings.paths.models
        return [{"name": name} | await self._tried(spec, target, folders, measure) for target in self._targets(name)]

    async def switches(self, other: str) -> list[Row]:
        """From our own embedder to another one and back, while eight cameras embed."""
        config = recogniser_config(self._settings)
        config = replace(config, detector=DETECTOR, embedder=EMBEDDER, queue_limit=_NO_LIMIT)
        steady_s, say = self._options.steady_s, self._say
        found = await calmest(lambda: run_switches(config, other, steady_s, say), 1)
        others_share = round(found.others_share, 3)
        return [
            _document(one) | {"lost": sum(each.lost for each in tries), "others_share": others_share}
            for one, *tries in zip(found.results[0], *found.everything, strict=True)
        ]

    def _targets(self, name: str) -> list[Target]:
        device = self._settings.recognition.device
        gpu, why = "cuda:0" if device == "cpu" else f"cuda:{gpu_number(device)}", why_not(device)
        targets = [Target("cpu"), Target(gpu, why_not=why)]
        return [*targets, Target(gpu, "tensorrt", why)] if name == TENSORRT_ON else targets

    async def _tried(
        self,
        spec: EmbedderSpec,
        target: Target,
        folders: Sequence[Path],
        measure: Callable[[Loaded, int], Awaitable[Row]],
    ) -> Row:
        """Load the model there and nowhere else, and measure it; or what was in the way of that."""
        spec = spec if target.engine is None else spec.model_copy(update={"engine": target.engine})
        place: Row = {"device": target.device, "engine": spec.engine, "precision": spec.precision}
        if target.why_not is not None:
            return place | _failed(target.why_not)
        manager = ModelManager(folders, specs={spec.name: spec})
        try:
            runner = (await asyncio.to_thread(manager.lease, spec, target.device)).runner
            threads = BatchPlan(self._settings.recognition.runners).threads_for(runner.device)
            found = await measure(runner, threads)
            return place | {"ok": True, "why": None, "threads": threads, "notes": list(runner.notes)} | found
        except CodedError as error:
            return place | _failed(f"{error} [{error.code}]")
        finally:
            await asyncio.to_thread(manager.close)


def _limits(runner: Loaded, most: int) -> BatchLimits:
    """As a service cuts batches of this model."""
    sizes = tuple(size for size in runner.buckets if size <= most)
    return BatchLimits(sizes, pad=not runner.on_cpu, queue_limit=_NO_LIMIT)


def _failed(why: str) -> Row:
    return {"ok": False, "why": why, "threads": None, "notes": []}


def _document(found: FullLoad | EightCameras | SwitchUnderLoad) -> Row:
    """The figures by name, rounded."""
    return {key: _rounded(value) for key, value in asdict(found).items()}


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return round(value, 3) if isinstance(value, float) else value
