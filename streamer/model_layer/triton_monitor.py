"""Models on a Triton server: how fast it answers, whether it has been away for too long, and whether it still is.

On the event loop; the server is asked on threads, each time within its deadline.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from functools import partial

from recognition.checks.self_test import probe_tensors
from recognition.errors import CodedError, TritonModelMismatch, TritonUnavailable
from recognition.models.manager import AnyRunner, ModelManager
from recognition.reason import Reason
from recognition.serving.served_model import ServedModel
from recognition.specs.spec import DetectorSpec, EmbedderSpec
from streamer.model_layer.switcher import SHORTLY_S, Switcher

log = logging.getLogger(__name__)

AnyServed = ServedModel[DetectorSpec] | ServedModel[EmbedderSpec]

# For so long runs may fail before another model takes over: a server that starts again needs less.
AWAY_S = 10.0
# So often a server is asked whom nobody else asks: else /readyz would say of an idle one what was true at its last run.
LOOK_S = 3.0
_AWAY = (TritonUnavailable.code, TritonModelMismatch.code)


class TritonMonitor:
    """Watches the models of one switcher that run on a server; without any it does nothing."""

    def __init__(
        self, manager: ModelManager, switcher: Switcher, max_batch: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._manager = manager
        self._switcher = switcher
        self._max_batch = max_batch
        self._clock = clock
        self._away: tuple[str, float] | None = None
        self._asked_s: dict[str, float] = {}
        self._runs: dict[AnyRunner, int] = {}  # at the last look

    async def ask(self, names: Iterable[str]) -> None:
        """Find out how fast those of these models are of which nobody knows it yet: the selector goes by that.

        One that can't be had now is held back, and asked again shortly.
        """
        for name in names:
            spec = self._manager.spec_of(name, EmbedderSpec)
            now_s = self._clock()
            if (
                spec.runtime != "triton"
                or name in self._switcher.weighed.server_ms
                or now_s < self._asked_s.get(name, now_s)
            ):
                continue
            if self._manager.why_not(name) is not None:
                continue
            try:
                lease = await asyncio.to_thread(partial(self._manager.lease, spec, bucket=self._max_batch))
            except CodedError as error:
                self._asked_s[name] = self._clock() + SHORTLY_S
                log.warning("%s", error, extra={"code": error.code})
                self._switcher.hold_back(name, Reason.of(error), "triton", SHORTLY_S)
            else:
                self._switcher.weighed.server_ms[name] = dict(lease.runner.run_ms)
                # Not kept: whoever loads it anew finds out whether the server is there.
                await asyncio.to_thread(partial(lease.release, unload=True))

    def watch(self, model: str, device: str, trouble: Reason | None) -> None:
        """`trouble`: what the last run of the model that serves met. Without a good one for a while it is done without.

        Where no other model may serve, it goes on; else it is tried again shortly.
        """
        if trouble is None or trouble.code not in _AWAY:
            self._away = None
            return
        if self._away is None or self._away[0] != model:
            self._away = (model, self._clock())
        if self._clock() - self._away[1] >= AWAY_S:
            self._switcher.hold_back(model, trouble, device, SHORTLY_S)

    async def keep_looking(self, serving: Callable[[], Sequence[AnyServed]]) -> None:
        """Whatever serves on a server and was not run since the last look runs a drawn picture, for ever: a run of long
        ago says little about now."""
        while True:
            await asyncio.sleep(LOOK_S)
            remote = [served for served in serving() if served.device == "triton"]
            with ExitStack() as in_use:
                for served in remote:
                    in_use.enter_context(served.in_use())
                await asyncio.gather(*map(self._look, remote))
            self._runs = {served.runner: served.runner.runs for served in remote}

    async def _look(self, served: AnyServed) -> None:
        if served.runner.runs == self._runs.get(served.runner, 0):
            with suppress(CodedError):
                await asyncio.to_thread(served.runner.run, probe_tensors(served.spec)[:1])
