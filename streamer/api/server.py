"""An ASGI application and an address in; a listening HTTP server on the running event loop out.

uvicorn without its ways with a process: no signal handlers, no logging setup, no task.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamer.errors import HttpAddressInvalid
from streamer.listen import BACKLOG, listen

_LONGEST_GOODBYE_S = 2


@asynccontextmanager
async def serve_http(app: ASGIApp, host: str, port: int) -> AsyncIterator[int]:
    """Serves `app` while the context is open, and gives the port (the real one where 0 was asked for).

    At the end open connections get 2 s to finish. Raises PortInUse and HttpAddressInvalid.
    """
    with await listen(host, port, "http", HttpAddressInvalid) as listener:
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
            backlog=BACKLOG,
            timeout_graceful_shutdown=_LONGEST_GOODBYE_S,
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
