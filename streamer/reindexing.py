"""Templates for embedders that came later: kept chips are embedded in the background while the service goes on.

Runs on the event loop; the network runs on a thread, one face at a time, on the CPU where there is a GPU to spare and
its policy allows: the GPU is for faces that are waited for.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from gallery.reindex import ReindexReport, reindex
from gallery.store import PersonStore
from recognition import embed
from recognition.image import Image
from recognition.models.local_figures import LocalFigures, device_figures
from recognition.models.manager import ModelManager
from recognition.models.model_runner import ModelRunner
from recognition.models.spec import EmbedderSpec
from recognition.recogniser import F32

log = logging.getLogger(__name__)


class RunnerEmbedder:
    """A loaded embedder as gallery.reindex wants it."""

    def __init__(self, runner: ModelRunner[EmbedderSpec], signature: str) -> None:
        self.space = runner.spec.space
        self.signature = signature
        self._runner = runner

    async def embed_chip(self, image: Image, landmarks: F32) -> F32:
        return await asyncio.to_thread(self._embed, image, landmarks)

    def _embed(self, image: Image, landmarks: F32) -> F32:
        crops = embed.crops(self._runner.spec, image, landmarks[None])
        embedding: F32 = self._runner.predict_embeddings(crops)[0]
        return embedding


async def reindex_for(
    name: str,
    gallery: Path,
    manager: ModelManager,
    signature_with: Callable[[EmbedderSpec], str],
    progress: Callable[[int, int], None],
    local: LocalFigures | None = None,
) -> ReindexReport:
    """Make the templates that people lack in this embedder's space. Raises what loading and the gallery raise.

    `local`: where figures of this machine are; where these or the spec's say that RAM is too short, it is not tried.
    """
    spec = manager.spec_of(name, EmbedderSpec)
    # Without a GPU it is asked for as whoever serves it would: so it is loaded once for both.
    has_gpu = any(device.startswith("cuda") for device in manager.reader.read())
    device = "cpu" if has_gpu and spec.device_policy == "auto" and spec.engine != "tensorrt" else None
    need_mib = None
    if device == "cpu" or not has_gpu:
        memory = device_figures(spec, "cpu", local).costs[1].memory_mib
        need_mib = memory.value if memory is not None else None
    lease = await asyncio.to_thread(partial(manager.lease, spec, device, bucket=1, need_mib=need_mib))
    try:
        store = await asyncio.to_thread(PersonStore, gallery)
        try:
            report = await reindex(store, RunnerEmbedder(lease.runner, signature_with(spec)), progress)
        finally:
            await asyncio.to_thread(store.close)
    finally:
        await asyncio.to_thread(lease.release, unload=True)
    log.info("model %s: %d templates made of kept photos", spec.name, report.added)
    for photo in report.unusable:
        log.warning(
            "model %s: no template of photo %d of %s: %s", spec.name, photo.photo_id, photo.person_id, photo.why
        )
    return report
