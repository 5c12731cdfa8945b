"""HTTP connections that ask for nothing: until a whole request head is there they have little time and few places.

From accepting on, so that an idle TLS handshake counts as well. On the loop.
"""

import asyncio
import logging
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import cast

import h11
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from streamer.addresses import neighbourhood_of, unmapped, who_has_to_go
from streamer.api.streaming.live_socket import HANG_UP, KEEP_LITTLE, is_handshake, keep_little, reachable
from streamer.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

_LONGEST_TLS_GOODBYE_S = 2.0
_SILENT, _TOO_MANY = "connection_silent", "too_many_connections"


@dataclass(frozen=True, slots=True)
class WaitLimits:
    """Of connections that have no request under way. head_s: from one answer, or the beginning, to a whole head."""

    head_s: float = 10.0
    most: int = 256
    most_of_one: int = 64  # address, or IPv6 /64; a trusted proxy may have all the places


@dataclass(eq=False, slots=True)
class _Waiting:
    neighbourhood: str
    hang_up: Callable[[], None]
    deadline: asyncio.TimerHandle


class Doorway:
    """All connections that wait, the longest first."""

    def __init__(self, limits: WaitLimits, trusted_proxies: Sequence[str], metrics: Metrics | None) -> None:
        self._limits = limits
        self._proxies = [ip_network(one) for one in trusted_proxies]
        self._metrics = metrics
        self._waiting: dict[asyncio.BaseTransport, _Waiting] = {}  # by the socket's own transport

    def __len__(self) -> int:
        return len(self._waiting)

    def waits(self, transport: asyncio.Transport) -> None:
        """It asks for nothing from now on; where too many do, the one that has longest goes."""
        if transport in self._waiting:
            return
        address = str((transport.get_extra_info("peername") or ("",))[0])
        deadline = asyncio.get_running_loop().call_later(self._limits.head_s, self._close, transport, _SILENT)
        one = _Waiting(neighbourhood_of(address), transport.abort, deadline)
        most_of_one = None if self._is_proxy(address) else self._limits.most_of_one
        gone = who_has_to_go(list(self._waiting.values()), one, most=self._limits.most, most_of_one=most_of_one)
        if gone is not None:
            self._close(next(key for key, value in self._waiting.items() if value is gone), _TOO_MANY)
        self._waiting[transport] = one

    def asks(self, transport: asyncio.BaseTransport) -> None:
        """It waits no more: it has asked, or is gone."""
        if (one := self._waiting.pop(transport, None)) is not None:
            one.deadline.cancel()

    def close(self) -> None:
        """Nobody waits any more."""
        for transport, one in list(self._waiting.items()):
            self.asks(transport)
            one.hang_up()

    def _close(self, transport: asyncio.BaseTransport, code: str) -> None:
        one = self._waiting[transport]
        self.asks(transport)
        one.hang_up()
        if self._metrics is not None:
            self._metrics.http_refused.labels(code=code).inc()
        log.debug("http: %s is closed before it asked for anything", one.neighbourhood, extra={"code": code})

    def _is_proxy(self, address: str) -> bool:
        found = unmapped(address)
        return found is not None and any(found in network for network in self._proxies)


class Visitor(H11Protocol):
    """uvicorn's protocol, which tells the doorway when a request is under way and when none is."""

    def __init__(self, config: Config, state: ServerState, doorway: Doorway) -> None:
        super().__init__(config, state, {})
        self._doorway = doorway
        self.socket: asyncio.Transport | None = None  # what is below TLS
        by = {HANG_UP: lambda: self.transport.abort(), KEEP_LITTLE: lambda: keep_little(self.transport)}
        self.app = reachable(self.app, by)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(transport)
        self.socket = self.socket or transport
        self._doorway.waits(self.socket)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.socket is not None:
            self._doorway.asks(self.socket)
            self.socket = None

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._tell()

    def on_response_complete(self) -> None:
        super().on_response_complete()  # a next request that is there already is under way now
        self._tell()

    def _should_upgrade(self) -> bool:
        """Any other wish to upgrade is not heard (RFC 9110, 7.8): a request like all others."""
        if self._get_upgrade() != b"websocket":
            return False
        return is_handshake(self.scope["method"], self.scope["http_version"], self.headers)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        super().handle_websocket_upgrade(event)
        if self.socket is not None:  # it has asked, and is another protocol's now
            self._doorway.asks(self.socket)
            self.socket = None

    def _tell(self) -> None:
        if self.socket is None:
            return
        if self.cycle is None or self.cycle.response_complete:
            self._doorway.waits(self.socket)
        else:
            self._doorway.asks(self.socket)


class Handshake(SSLProtocol):
    """asyncio's TLS, set up here, for the loop's own shows nobody a connection before the handshake is over."""

    def __init__(self, visitor: Visitor, tls: ssl.SSLContext, doorway: Doorway) -> None:
        super().__init__(
            asyncio.get_running_loop(),
            visitor,
            tls,
            None,  # type: ignore[arg-type] # typeshed: a Future; nobody waits for one here
            server_side=True,
            ssl_shutdown_timeout=_LONGEST_TLS_GOODBYE_S,
        )
        self._visitor = visitor
        self._doorway = doorway

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._visitor.socket = cast(asyncio.Transport, transport)
        self._doorway.waits(self._visitor.socket)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._visitor.socket is not None:
            self._doorway.asks(self._visitor.socket)
        super().connection_lost(exc)
