"""An ASGI application and an address in; a listening HTTP server on the running event loop out.

uvicorn without its ways with a process: no signal handlers, no logging setup, no task.
"""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamer.api.certificate import Certificate
from streamer.api.proxies import BehindProxies, unmapped
from streamer.errors import HttpAddressInvalid, HttpUnprotected, PortInUse
from streamer.settings import HttpSettings
from streamer.telemetry.metrics import Metrics

_BACKLOG = 128
_LONGEST_GOODBYE_S = 2

_Address = tuple[int, int, tuple[Any, ...]]


@asynccontextmanager
async def serve_http(
    app: ASGIApp,
    host: str,
    port: int,
    *,
    tls: ssl.SSLContext | None = None,
    trusted_proxies: Sequence[str] = (),
    metrics: Metrics | None = None,
) -> AsyncIterator[int]:
    """Serves `app` while the context is open, and gives the port (the real one where 0 was asked for).

    At the end open connections get 2 s to finish. Raises PortInUse, HttpAddressInvalid and HttpUnprotected.
    """
    address = await _resolve(host, port)
    _protected(host, address, tls is not None or bool(trusted_proxies))
    if trusted_proxies:
        app = BehindProxies(app, trusted_proxies, metrics)
    with _listen(host, port, address) as listener:
        config = uvicorn.Config(
            _dated(app),
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            backlog=_BACKLOG,
            timeout_graceful_shutdown=_LONGEST_GOODBYE_S,
            ssl_context_factory=None if tls is None else lambda *_: tls,
        )
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        # Not serve(): that is a task, whose crash somebody would have to notice, and it ticks at 10 Hz.
        await server.startup(sockets=[listener])
        try:
            yield listener.getsockname()[1]
        finally:
            await server.shutdown(sockets=[listener])


async def check_address(settings: HttpSettings) -> None:
    """Whether HTTP may listen there as it is configured. Raises HttpAddressInvalid and HttpUnprotected."""
    address = await _resolve(settings.host, settings.port)
    _protected(settings.host, address, settings.tls is not None or bool(settings.trusted_proxies))


async def prepare_http(settings: HttpSettings) -> Certificate | None:
    """All that a start needs to know of HTTP before anything else is opened; None where there is no TLS.

    Raises HttpAddressInvalid, HttpUnprotected, CertificateUnusable and CertificateExpired.
    """
    if not settings.enabled:
        return None
    await check_address(settings)
    return None if settings.tls is None else await asyncio.to_thread(Certificate, settings.tls)


def _protected(host: str, address: _Address, by_something: bool) -> None:
    """Tokens are sent as they are: beyond this machine they need TLS."""
    found = unmapped(address[2][0])
    if not (by_something or (found is not None and found.is_loopback)):
        raise HttpUnprotected(
            f"http.host {host} is open to the network, where tokens could be read: set http.tls (cert, key), or "
            "http.trusted_proxies where a proxy does TLS, or 127.0.0.1"
        )


async def _resolve(host: str, port: int) -> _Address:
    """Where to listen: family, protocol, and the address of that family."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "no name of a host"
        raise HttpAddressInvalid(
            f"http.host {host}: {why}; 127.0.0.1 is for this machine alone, 0.0.0.0 for all"
        ) from None
    # "localhost" is ::1 and 127.0.0.1, and most who look there mean the latter.
    family, _, protocol, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    return family, protocol, address


def _listen(host: str, port: int, address: _Address) -> socket.socket:
    """A listening TCP socket."""
    family, protocol, bound_to = address
    listener = socket.socket(family, socket.SOCK_STREAM, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(bound_to)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"http.port {port} on {host} is in use by another program; end it, or set another port"
            ) from None
        why = os.strerror(error.errno or 0)
        raise HttpAddressInvalid(
            f"http: can't listen on {host} port {port} ({why}); set another http.host or http.port"
        ) from None
    return listener


def _dated(app: ASGIApp) -> ASGIApp:
    """`app` with a Date in each answer (RFC 9110, 6.6.1); uvicorn's own needs the ticking left out above."""

    async def dated(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = (b"date", formatdate(usegmt=True).encode())
                message = {**message, "headers": [*message.get("headers", ()), date]}
            await send(message)

        await app(scope, receive, send_dated)

    return dated
