"""What is written and logged of the models as they change: the manifest, who had to go to the CPU, first figures.

On the event loop; files are written on threads. A file that can't be written stops nothing: it is tried again.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from recognition.errors import FiguresUnwritable
from recognition.models.manager import AnyRunner, ModelManager
from recognition.selection.measurements import BatchFigures, LocalMeasurements, device_figures
from streamer.errors import DataFolderUnwritable
from streamer.model_layer.manual_choice import replace_json
from streamer.model_layer.report import Seated
from streamer.telemetry.metrics import Metrics
from streamer.telemetry.once_log import OnceLog

log = logging.getLogger(__name__)


class Manifest:
    """The newest document, in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._unwritten: dict[str, object] | None = None
        self._once = OnceLog(log)

    def put(self, document: dict[str, object]) -> None:
        """It is to be written."""
        self._unwritten = document

    async def write(self) -> None:
        """Write what is not written yet."""
        document, self._unwritten = self._unwritten, None
        if document is None:
            return
        try:
            await asyncio.to_thread(replace_json, self.path, document)
        except DataFolderUnwritable as error:
            self._unwritten = self._unwritten or document  # the next time, unless there is a newer one
            self._once.say("manifest", str(error), logging.WARNING, "%s", error, code=error.code)
        else:
            self._once.over("manifest")


class Fallbacks:
    """Which models had to go to the CPU: a metric for each, and a line in the log once for each reason."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._known: set[tuple[str, str]] = set()
        self._notes = OnceLog(log)

    def tell(self, seated: Sequence[Seated]) -> None:
        """Compare with what was told before."""
        before, self._known = self._known, set()
        for switcher, served in seated:
            fallback = served.fallback or switcher.fallback
            # A GPU that does not work is a fault; a machine that was set up without one is not.
            level = logging.WARNING if fallback and fallback.code in ("cuda_failed", "gpu_failed") else logging.INFO
            for text in served.notes:
                self._notes.say((served.name, text), True, level, "model %s: %s", served.name, text)
            if fallback is None:
                continue
            self._known.add((served.name, fallback.code))
            if served.fallback is None and (served.name, fallback.code) not in before:
                log.log(level, "model %s: on the CPU: %s", served.name, fallback.why)
        for model, reason in before | self._known:
            on = (model, reason) in self._known
            self._metrics.model_fallback.labels(model=model, reason=reason).set(1 if on else 0)


class FirstFigures:
    """What a load showed of a model that nobody measured, here or for its spec: the next choice goes by it."""

    def __init__(self, manager: ModelManager, local: LocalMeasurements) -> None:
        self._manager = manager
        self._local = local
        self._seen: set[tuple[str, str]] = set()

    async def keep(self, runner: AnyRunner) -> None:
        """Once for each model and device."""
        spec, device = runner.spec, runner.device
        if (spec.name, device) in self._seen or device == "triton" or spec.weights_digest is None:
            return
        self._seen.add((spec.name, device))
        known = device_figures(spec, device, self._local).costs.values()
        if any(cost.run_ms is not None for cost in known) or not runner.run_ms:
            return
        held = (h.held_mib for h in self._manager.ledger.holdings() if (h.owner, h.device) == (spec.name, device))
        largest, memory_mib = max(runner.run_ms), next(held, None)
        figures = {
            size: BatchFigures(memory_mib if size == largest else None, ms) for size, ms in runner.run_ms.items()
        }
        keep = partial(self._local.keep, measured_at=time.time(), command="its first load")
        try:
            await asyncio.to_thread(keep, spec, device, figures)
        except FiguresUnwritable as error:
            log.warning("%s", error, extra={"code": error.code})
