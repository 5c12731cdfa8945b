"""Embedders on a Triton server: how fast it answers, whether it has been away for too long, and whether it still is.

On the event loop; the server is asked on threads, each time within its deadline.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial

from recognition.checks.self_test import probe_tensors
from recognition.errors import CodedError, TritonModelMismatch, TritonUnavailable
from recognition.models.manager import ModelManager
from recognition.reason import Reason
from recognition.serving.served_model import ServedModel
from recognition.specs.spec import EmbedderSpec
from streamer.model_layer.switcher import SHORTLY_S, Switcher

log = logging.getLogger(__name__)

# For so long runs may fail before another model takes over: a server that starts again needs less.
AWAY_S = 10.0
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
        self._failed: tuple[Reason, float] | None = None

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

    async def ask_again(self, served: ServedModel[EmbedderSpec]) -> None:
        """A run that failed says little about now: where no face has come for a while since, a drawn one is run."""
        last, now_s = served.runner.why_not(), self._clock()
        if last is None:
            self._failed = None
        elif self._failed is None or self._failed[0] is not last:
            self._failed = (last, now_s)
        elif now_s - self._failed[1] >= SHORTLY_S:
            with served.in_use(), suppress(CodedError):
                await asyncio.to_thread(served.runner.run, probe_tensors(served.spec)[:1])
