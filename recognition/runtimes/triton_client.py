"""TritonClient: single calls about one model to one Triton Inference Server, each with a deadline, over gRPC.

Any thread may call; it is blocked until the answer is there, the deadline has passed or close() was called.
The only place that imports tritonclient.
"""

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import ModuleType
from typing import Protocol

from recognition.arrays import F32
from recognition.errors import RunnerDead, TritonModelMismatch, TritonUnavailable, UnsupportedRuntime
from recognition.runtimes.triton_address import check_address
from recognition.runtimes.triton_contract import Contract, TensorInfo, check_answer

# gRPC keeps the deadline; this is for the case that it fails to say so.
_GRACE_S = 5.0
_CHANNEL = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # gRPC's own pause between two attempts to connect grows to two minutes, and calls fail all the while.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A call that gRPC sends again by itself might reach a server that nobody has verified.
    ("grpc.enable_retries", 0),
    # A new channel is a new connection.
    ("grpc.use_local_subchannel_pool", 1),
    # Neither a proxy of the environment nor settings out of the DNS: this address, and no other.
    ("grpc.enable_http_proxy", 0),
    ("grpc.service_config_disable_resolution", 1),
]


@dataclass(frozen=True, slots=True)
class TritonEndpoint:
    """A model on a server. `url` is host:port of its gRPC service; `model` and `version` are the server's names.

    `deadline_s` holds for a run with all that belongs to it, up to `retries` more attempts among them.
    """

    url: str
    model: str
    version: str
    deadline_s: float = 5.0
    retries: int = 2

    def __post_init__(self) -> None:
        check_address(self.url)
        if not self.model or not re.fullmatch(r"[1-9]\d*", self.version, re.ASCII):
            raise ValueError("want the name of a model on the server, and its version, a number from 1 on")
        if not self.deadline_s > 0 or self.retries < 0:
            raise ValueError("want a deadline above 0 s, and no fewer than 0 retries")


class _Tensor(Protocol):
    name: str
    datatype: str
    shape: Sequence[int]


class _Metadata(Protocol):
    inputs: Sequence[_Tensor]
    outputs: Sequence[_Tensor]


class _Config(Protocol):
    max_batch_size: int


class _ConfigAnswer(Protocol):
    config: _Config


class _IndexEntry(Protocol):
    name: str
    version: str
    state: str
    reason: str


class _Index(Protocol):
    models: Sequence[_IndexEntry]


class _Answered(Protocol):
    model_version: str


class _Result(Protocol):
    def as_numpy(self, name: str) -> F32 | None: ...
    def get_response(self) -> _Answered: ...


class _Client(Protocol):
    """What is used of tritonclient.grpc.InferenceServerClient, which has no types of its own."""

    def is_server_live(self, *, client_timeout: float) -> bool: ...
    def is_model_ready(self, name: str, version: str, *, client_timeout: float) -> bool: ...
    def get_model_metadata(self, name: str, version: str, *, client_timeout: float) -> _Metadata: ...
    def get_model_config(self, name: str, version: str, *, client_timeout: float) -> _ConfigAnswer: ...
    def get_model_repository_index(self, *, client_timeout: float) -> _Index: ...
    def async_infer(
        self,
        name: str,
        inputs: Sequence[object],
        callback: Callable[[_Result | None, Exception | None], None],
        version: str,
        outputs: Sequence[object],
        *,
        client_timeout: float,
    ) -> object: ...
    def close(self) -> None: ...


class TritonClient:
    """`who` begins each error's message. Times are of time.monotonic().

    Every call raises TritonUnavailable (down, hung, not ready), TritonModelMismatch (the server refuses what we
    ask), RunnerDead (close() cut it short).
    """

    def __init__(self, endpoint: TritonEndpoint, who: str) -> None:
        """Does not connect yet. Raises UnsupportedRuntime where tritonclient is not installed."""
        self._triton = need_tritonclient()
        self._endpoint = endpoint
        self._names = (endpoint.model, endpoint.version)
        self.who = who
        self._swapping = threading.Lock()
        self._closed = False
        self._client = self._connect()

    def describe(self, until_s: float) -> tuple[list[TensorInfo], list[TensorInfo], int]:
        """The inputs, the outputs and the largest batch (0: any) of a model that is ready."""
        with self._calling() as client:
            if not client.is_model_ready(*self._names, client_timeout=self._left_s(until_s)):
                raise self._why_not(client, until_s)
            metadata = client.get_model_metadata(*self._names, client_timeout=self._left_s(until_s))
            config = client.get_model_config(*self._names, client_timeout=self._left_s(until_s)).config
        return _infos(metadata.inputs), _infos(metadata.outputs), config.max_batch_size

    def _why_not(self, client: _Client, until_s: float) -> TritonUnavailable | TritonModelMismatch:
        """What the server has instead of our model, from the index of its repository.

        A model that is not there, or not ready, may come; one that is ready in other versions alone is another model.
        """
        if not client.is_server_live(client_timeout=self._left_s(until_s)):
            return TritonUnavailable(f"{self.who}: the server says that it is not live yet; look at its log")
        index = client.get_model_repository_index(client_timeout=self._left_s(until_s)).models
        name, version = self._names
        same = [entry for entry in index if entry.name == name]
        if not same:
            others = ", ".join(sorted({entry.name for entry in index})[:5]) or "no model at all"
            return TritonUnavailable(
                f"{self.who}: there is no model {name} there, but {others}; load it, or change triton.model in the spec"
            )
        states = "; ".join(_one_line(f"version {entry.version} {entry.state} {entry.reason}") for entry in same)
        ours_may_come = any(entry.version in (version, "") for entry in same)
        other_is_there = any(entry.state == "READY" for entry in same)
        kind = TritonModelMismatch if other_is_there and not ours_may_come else TritonUnavailable
        return kind(
            f"{self.who}: version {version} is not ready there, but {states}; load it, or change triton.version in "
            "the spec"
        )

    def infer(self, contract: Contract, batch: F32, until_s: float) -> list[F32]:
        """The model's answer to no more items than the contract allows at a time, of the contract's shape."""
        tensor = self._triton.InferInput(contract.input, list(batch.shape), "FP32")
        tensor.set_data_from_numpy(batch)
        wanted = [self._triton.InferRequestedOutput(name) for name in contract.outputs]
        answered: Future[_Result | None] = Future()

        def settle(result: _Result | None, error: Exception | None) -> None:
            if error is None:
                answered.set_result(result)
            else:
                answered.set_exception(error)

        # Its blocking twin could not be cut short by a close() from another thread before its deadline.
        with self._calling() as client:
            left_s = self._left_s(until_s)
            client.async_infer(
                self._endpoint.model, [tensor], settle, self._endpoint.version, wanted, client_timeout=left_s
            )
            result = answered.result(left_s + _GRACE_S)
        assert result is not None
        version = result.get_response().model_version
        if version != self._endpoint.version:
            raise TritonModelMismatch(f"{self.who}: version {version} answered; see what serves it")
        return check_answer(contract, len(batch), [result.as_numpy(name) for name in contract.outputs], self.who)

    def too_late(self) -> TritonUnavailable:
        """The error of a call whose deadline has passed."""
        return TritonUnavailable(
            f"{self.who}: no answer within {self._endpoint.deadline_s:g} s; see whether the server hangs or is "
            "overloaded, or raise recognition.triton.deadline_s"
        )

    def cut_short(self) -> RunnerDead:
        """The error of a call that close() ended."""
        return RunnerDead(f"{self.who}: the model was closed")

    def close(self) -> None:
        """Ends every call that is under way, and the connection."""
        with self._swapping:
            self._closed = True
            self._client.close()

    def _connect(self) -> _Client:
        client: _Client = self._triton.InferenceServerClient(self._endpoint.url, channel_args=_CHANNEL)
        return client

    def _left_s(self, until_s: float) -> float:
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            raise self.too_late()
        return left_s

    @contextlib.contextmanager
    def _calling(self) -> Iterator[_Client]:
        """Lends the client out, and makes errors of ours from what its calls raise."""
        client = self._client
        try:
            yield client
        except self._triton.InferenceServerException as error:
            status = str(error.status()).removeprefix("StatusCode.")
            words = _one_line(error.message() or status)
        except TimeoutError:
            status, words = "DEADLINE_EXCEEDED", ""
        except ValueError:  # what gRPC raises on a channel that is closed already
            status, words = "CANCELLED", "its connection was given up"
        else:
            return
        if self._closed:
            raise self.cut_short()
        if status == "DEADLINE_EXCEEDED":
            self._replace(client)
            raise self.too_late()
        if status == "INVALID_ARGUMENT":
            raise TritonModelMismatch(f"{self.who}: the call is refused ({words}); look at the model's config there")
        raise TritonUnavailable(f"{self.who}: {words}; see that it runs, and that recognition.triton.url is right")

    def _replace(self, client: _Client) -> None:
        """A silent connection may be dead without anybody having been told. Calls of others on it are ended."""
        with self._swapping:
            if self._client is client and not self._closed:
                self._client = self._connect()
                client.close()


def _infos(tensors: Iterable[_Tensor]) -> list[TensorInfo]:
    return [TensorInfo(tensor.name, tensor.datatype, tuple(tensor.shape)) for tensor in tensors]


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]


def need_tritonclient() -> ModuleType:
    try:
        import tritonclient.grpc
    except ImportError:
        raise UnsupportedRuntime(
            "Triton's client is not installed; pip install 'whosthere[triton]' beside the cpu or gpu extra"
        ) from None
    module: ModuleType = tritonclient.grpc
    return module
