"""TritonRunner: a float32 batch in, the raw outputs of a model on a Triton server out. On the batcher's threads.

run() blocks until the answer is there, its deadline has passed or close() was called; it keeps to one deadline
with everything that it takes: verifying the server, retries and the pauses between them.
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from recognition.arrays import F32
from recognition.errors import CodedError, TritonModelMismatch
from recognition.runtimes.triton_client import TritonClient, TritonEndpoint
from recognition.runtimes.triton_contract import Contract, agree, check_order, probe_tensor, same_answers
from recognition.specs.spec import ModelSpec

T = TypeVar("T")

# A server needs longer than this to start again: one that has answered so lately is the one that was verified.
_TRUST_S = 0.1
# A server may load other weights without starting again, and nothing tells us.
_VERIFY_EVERY_S = 30.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0


@dataclass(frozen=True, slots=True)
class _Verified:
    """A server whose metadata are the spec's model's, and since when."""

    contract: Contract
    at_s: float


class TritonRunner:
    """One model on one server. May be called from many threads; their calls are under way side by side.

    What may pass (server down, hung, without the model) raises TritonUnavailable, and the next run tries again:
    no new runner is needed. Before a server is trusted with faces, at first and whenever it failed or nobody
    asked it for a while, its answer to a fixed pattern is held against the one that it gave at first: what came up
    again may be another model. Its metadata are held against the spec at first, after a failure and now and again.
    """

    device = "triton"

    def __init__(self, spec: ModelSpec, endpoint: TritonEndpoint) -> None:
        """Raises UnsupportedRuntime (no tritonclient), TritonUnavailable, TritonModelMismatch."""
        who = f"model {spec.name}: {endpoint.model} version {endpoint.version} on Triton at {endpoint.url}"
        self._spec = spec
        self._endpoint = endpoint
        self._client = TritonClient(endpoint, who)
        self._closed = threading.Event()
        self._verifying = threading.Lock()
        self._verified: _Verified | None = None
        self._answered_s = 0.0
        self._probe = probe_tensor(spec)
        self._first_answer: list[F32] | None = None
        try:
            contract = self._retried(self._trusted).contract
        except CodedError:
            self.close()
            raise
        most = contract.max_batch
        self.notes: tuple[str, ...] = ()
        if most is not None and most < max(spec.batch_buckets.cuda):
            self.notes = (f"its server takes {most} at a time: larger batches are sent in parts",)

    def run(self, batch: F32) -> list[F32]:
        """(n, 3, h, w) float32 -> the raw outputs. Raises TritonUnavailable, TritonModelMismatch.

        RunnerDead where close() cut it short.
        """
        if self._closed.is_set():
            raise RuntimeError("run after close")
        return self._retried(lambda until_s: self._attempt(batch, until_s))

    def close(self) -> None:
        """Ends every run that is under way, and the connection."""
        self._closed.set()
        self._client.close()

    def _retried(self, attempt: Callable[[float], T]) -> T:
        """The attempt's result; one that failed for a reason that may pass is made again, while there is time."""
        until_s = time.monotonic() + self._endpoint.deadline_s
        retries, pause_s = self._endpoint.retries, _FIRST_PAUSE_S
        while True:
            try:
                return attempt(until_s)
            except CodedError as error:
                self._verified = None
                wait_s = random.uniform(pause_s / 2, pause_s)
                if not error.retryable or not retries or time.monotonic() + wait_s >= until_s:
                    raise
            if self._closed.wait(wait_s):
                raise self._client.cut_short()
            retries, pause_s = retries - 1, min(2 * pause_s, _LONGEST_PAUSE_S)

    def _attempt(self, batch: F32, until_s: float) -> list[F32]:
        verified = self._trusted(until_s)
        most = verified.contract.max_batch or len(batch)
        parts = [batch[start : start + most] for start in range(0, len(batch), most)]
        answers = [self._client.infer(verified.contract, part, until_s) for part in parts]
        if self._verified is verified:
            self._answered_s = time.monotonic()
        return answers[0] if len(answers) == 1 else [np.concatenate(rows) for rows in zip(*answers, strict=True)]

    def _trusted(self, until_s: float) -> _Verified:
        """The server as it was verified; verifies it again, on one thread, where it may be another by now."""
        if not self._verifying.acquire(timeout=max(0.0, until_s - time.monotonic())):
            raise self._client.too_late()
        try:
            verified, now_s = self._verified, time.monotonic()
            is_fresh = verified is not None and now_s - verified.at_s <= _VERIFY_EVERY_S
            if verified is None or not is_fresh:
                verified = _Verified(agree(self._spec, *self._client.describe(until_s), self._client.who), now_s)
            if not is_fresh or now_s - self._answered_s > _TRUST_S:
                self._hold_to_first_answer(verified.contract, until_s)
                self._verified, self._answered_s = verified, time.monotonic()
            return verified
        finally:
            self._verifying.release()

    def _hold_to_first_answer(self, contract: Contract, until_s: float) -> None:
        who = self._client.who
        answer = self._client.infer(contract, self._probe, until_s)
        if self._first_answer is None:
            check_order(self._spec, contract, answer, who)
            self._first_answer = answer
        elif not same_answers(self._first_answer, answer):
            raise TritonModelMismatch(
                f"{who}: does not answer as it did at first: it has other weights now; bring the old ones back, or "
                "restart the service"
            )
