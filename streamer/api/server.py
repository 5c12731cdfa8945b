"""An ASGI application and an address in; a listening HTTP server on the running event loop out.

uvicorn without its ways with a process: no signal handlers, no logging setup, no task.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from email.utils import formatdate

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamer.addresses import is_of_this_machine
from streamer.api.certificate import Certificate
from streamer.api.doorway import Doorway, Handshake, Visitor, WaitLimits
from streamer.api.proxies import BehindProxies
from streamer.api.security_headers import SecurityHeaders
from streamer.api.streaming.live_socket import HANG_UP, web_sockets
from streamer.api.under_way import UnderWay
from streamer.errors import HttpAddressInvalid, HttpUnprotected
from streamer.listen import BACKLOG, Place, listen, resolve
from streamer.settings import HttpSettings
from streamer.telemetry.metrics import Metrics

TAKE_S = 60.0  # a client that takes nothing of its answer for so long is cut off
FINISH_S = 1.0  # that requests under way get when the service stops
_LONGEST_GOODBYE_S = 3  # their clearing up included; then uvicorn cuts them off, with a traceback each


@asynccontextmanager
async def serve_http(
    app: ASGIApp,
    host: str,
    port: int,
    *,
    tls: ssl.SSLContext | None = None,
    hsts_days: int = 0,
    trusted_proxies: Sequence[str] = (),
    reuse_port: bool = False,
    metrics: Metrics | None = None,
    limits: WaitLimits = WaitLimits(),  # noqa: B008 # frozen
) -> AsyncIterator[int]:
    """Serves `app` while the context is open, and gives the port (the real one where 0 was asked for).

    reuse_port: beside other processes that serve there so. At the end requests that are under way get a second to
    finish, then 503. Raises PortInUse, HttpAddressInvalid and HttpUnprotected.
    """
    place = await resolve(host, port, "http", HttpAddressInvalid)
    _protected(place, tls is not None or bool(trusted_proxies))
    if trusted_proxies:
        app = BehindProxies(app, trusted_proxies, metrics)
    under_way = UnderWay(app)
    with listen(place, reuse_port=reuse_port) as listener:
        config = uvicorn.Config(
            _taken(SecurityHeaders(_dated(under_way), hsts_days)),
            http="h11",
            **web_sockets(),
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_LONGEST_GOODBYE_S,
        )
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        doorway = Doorway(limits, trusted_proxies, metrics)

        def visitor() -> asyncio.Protocol | asyncio.BufferedProtocol:
            made = Visitor(config, server.server_state, doorway)
            return made if tls is None else Handshake(made, tls, doorway)

        # Not serve(): that is a task, whose crash somebody would have to notice, and it ticks at 10 Hz. Nor startup():
        # that hears of a connection only when its TLS is there.
        loop = asyncio.get_running_loop()
        server.servers = [await loop.create_server(visitor, sock=listener, backlog=BACKLOG)]
        try:
            yield listener.getsockname()[1]
        finally:
            doorway.close()
            under_way.stop(FINISH_S)
            await server.shutdown(sockets=[listener])


async def check_address(settings: HttpSettings) -> None:
    """Whether HTTP may listen there as it is configured. Raises HttpAddressInvalid and HttpUnprotected."""
    place = await resolve(settings.host, settings.port, "http", HttpAddressInvalid)
    _protected(place, settings.tls is not None or bool(settings.trusted_proxies))


async def prepare_http(settings: HttpSettings) -> Certificate | None:
    """All that a start needs to know of HTTP before anything else is opened; None where there is no TLS.

    Raises HttpAddressInvalid, HttpUnprotected, CertificateUnusable and CertificateExpired.
    """
    if not settings.enabled:
        return None
    await check_address(settings)
    return None if settings.tls is None else await asyncio.to_thread(Certificate, settings.tls)


def _protected(place: Place, by_something: bool) -> None:
    """Tokens are sent as they are: beyond this machine they need TLS."""
    if not (by_something or is_of_this_machine(place.address[0])):
        raise HttpUnprotected(
            f"http.host {place.host} is open to the network, where tokens could be read: set http.tls (cert, key), or "
            "http.trusted_proxies where a proxy does TLS, or 127.0.0.1"
        )


def _taken(app: ASGIApp) -> ASGIApp:
    """`app`, none of whose answers waits for ever for a client that doesn't read; WebSockets have their pings."""

    async def taken(scope: Scope, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()

        async def send_taken(message: Message) -> None:
            deadline = loop.call_later(TAKE_S, scope[HANG_UP])
            try:
                await send(message)
            finally:
                deadline.cancel()

        await app(scope, receive, send_taken if scope["type"] == "http" else send)

    return taken


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
