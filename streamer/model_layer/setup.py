"""What the configuration makes of models: the manager, the recogniser's plan, the ladder, and what enrolment needs.

Settings go in. make_manager() blocks for a few small files; open_for_enrolment() loads off the loop.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from recognition.errors import CodedError
from recognition.models.device_memory import JoinedReader, NvmlReader, RamReader
from recognition.models.manager import Lease, ModelManager
from recognition.models.providers import TritonServer
from recognition.recogniser import Recogniser, RecogniserConfig, open_recogniser
from recognition.selection.candidates import Placement
from recognition.specs.spec import DetectorSpec, EmbedderSpec
from recognition.specs.weights import verify_artifacts
from streamer.settings import Settings
from streamer.telemetry.metrics import Metrics
from streamer.variables import visible_gpus

log = logging.getLogger(__name__)

AnyLease = Lease[DetectorSpec] | Lease[EmbedderSpec]


def make_manager(settings: Settings, *, portraits: bool = True) -> ModelManager:
    """The manager as the configuration wants it: a model that fails on the bundled portraits serves nobody.

    Raises SpecInvalid, ModelNotFound.
    """
    section = settings.recognition
    server = section.triton
    return ModelManager(
        settings.paths.models,
        device=section.device,
        profiles=section.profiles,
        triton=TritonServer(server.url, server.deadline_s, server.retries) if server else None,
        reader=JoinedReader(RamReader(), NvmlReader(visible_gpus())),
        portraits=portraits,
    )


def recogniser_config(settings: Settings, metrics: Metrics | None = None) -> RecogniserConfig:
    """The settings' recognition and paths sections, as recognition wants them."""
    section = settings.recognition

    def count(model: str, size: int) -> None:
        if metrics is not None:
            metrics.batch_size.labels(model=model).observe(size)

    return RecogniserConfig(
        detector=section.detector,
        embedder=section.embedder,
        weights_folders=settings.paths.models,
        device=section.device,
        runners=section.runners,
        max_batch=section.max_batch,
        max_wait_ms=section.max_wait_ms,
        latency_goal_ms=section.latency_goal_ms,
        queue_limit=section.queue_limit,
        detection_threshold=section.detection_threshold,
        cpu_threads=settings.service.cpu_threads,
        trim_padding=section.trim_padding,
        on_batch=count,
    )


def ladder_of(settings: Settings, manager: ModelManager) -> tuple[str, ...]:
    """The embedders that may serve, the preferred one first, by their specs' own names. Raises ModelNotFound."""
    names = (settings.recognition.embedder, *settings.recognition.ladder)
    return tuple(dict.fromkeys(manager.spec_of(name, EmbedderSpec).name for name in names))


def verify_model(spec: DetectorSpec | EmbedderSpec, manager: ModelManager, folders: Sequence[Path]) -> str:
    """Hold a model's files, or its members', to their digests; a line about them.

    Raises WeightsMissing, WeightsDigestMismatch, ModelNotFound (a member).
    """
    if spec.triton is not None and spec.runtime == "triton":
        return f"its weights are the Triton server's, {spec.triton.model} version {spec.triton.version}; none are here"
    if isinstance(spec, EmbedderSpec) and spec.members:
        members = [manager.spec_of(name, EmbedderSpec) for name in spec.members]
        return ", ".join(f"{member.name} {verify_model(member, manager, folders)}" for member in members)
    verify_artifacts(spec, folders)
    return f"sha256 {spec.short_digest}… as in the spec"


def lease_at(manager: ModelManager, place: Placement) -> AnyLease:
    """The place's model, loaded there. Blocks. Raises what ModelManager.lease raises."""
    spec = manager.spec(place.model)
    if isinstance(spec, DetectorSpec):
        return manager.lease(spec, place.device, bucket=place.bucket)
    return manager.lease(spec, place.device, bucket=place.bucket)


@asynccontextmanager
async def open_for_enrolment(settings: Settings, manager: ModelManager | None = None) -> AsyncIterator[Recogniser]:
    """The configured models, and every other embedder of the ladder: templates are made in all of their spaces.

    One that can't be had is left out and told of: its templates are made once it can. `manager` None: the
    configuration's, made here.
    """
    manager = manager if manager is not None else await asyncio.to_thread(make_manager, settings)
    leases = []
    for name in ladder_of(settings, manager)[1:]:
        try:
            leases.append(await asyncio.to_thread(manager.get, name))
        except CodedError as error:
            log.warning("no templates for %s: %s", name, error, extra={"code": error.code})
    config = replace(recogniser_config(settings), in_every_space=tuple(lease.spec.name for lease in leases))
    try:
        async with open_recogniser(config, manager) as recogniser:
            yield recogniser
    finally:
        await asyncio.to_thread(manager.close)
