"""An application in; the same one behind reverse proxies out, which alone may ask and whose X-Forwarded-* is believed.

This machine's own requests are let in directly: a health check, a command.
"""

from collections.abc import Sequence
from ipaddress import ip_network

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from streamer.access.errors import ProxyBypassed
from streamer.addresses import unmapped
from streamer.api import problems
from streamer.telemetry.metrics import Metrics


class BehindProxies:
    """ASGI middleware, the outermost. `trusted`: addresses and networks, one at least."""

    def __init__(self, app: ASGIApp, trusted: Sequence[str], metrics: Metrics | None = None) -> None:
        self._app = app
        self._proxied = ProxyHeadersMiddleware(app, list(trusted))  # type: ignore[arg-type] # its own names for the same
        self._trusted = [ip_network(one) for one in trusted]
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer = unmapped((scope.get("client") or ("", 0))[0])
        here = unmapped((scope.get("server") or ("", 0))[0])
        if peer is not None and any(peer in network for network in self._trusted):
            scope = {**scope, "client": (str(peer), scope["client"][1])}
            await self._proxied(scope, receive, send)  # type: ignore[arg-type]
        elif peer is not None and (peer.is_loopback or peer == here):
            await self._app(scope, receive, send)
        else:
            refused = ProxyBypassed(
                "this address may not ask directly; go through the proxy, or add it to http.trusted_proxies"
            )
            if self._metrics is not None:
                self._metrics.http_refused.labels(code=refused.code).inc()
            await problems.of(refused)(scope, receive, send)
