"""An application in; the same one out, closed: each request is held to what its route needs before anything runs.

Before FastAPI too, which would read a body first; a WebSocket is refused before it is one, by the same documents. What
is neither is not let in at all.
"""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from fastapi.dependencies.models import Dependant
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from streamer.access.errors import AccessRefused
from streamer.access.guard import Guard, Needs, mark
from streamer.api import body_limits, problems
from streamer.api.body_limits import Takes

T = TypeVar("T")


class Closed:
    """ASGI middleware. `routes` is the application's own list, so that a route which is added later counts."""

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute], guard: Guard) -> None:
        self._app = app
        self._routes = routes
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] not in ("http", "websocket"):
            raise RuntimeError(f"{scope['type']} is not served")
        needed, params = _asked_for(self._routes, scope)
        try:
            caller = self._guard.admit(HTTPConnection({**scope, "path_params": params}), needed)
        except AccessRefused as refused:
            await problems.of(refused)(scope, receive, send)
            return
        if needed is None and scope["type"] == "websocket":  # the router would close it, and say nothing
            await problems.of_http(HTTPConnection(scope), HTTPException(404))(scope, receive, send)
            return
        mark(scope, needed, caller)
        await self._app(scope, receive, send)


def _asked_for(routes: Sequence[BaseRoute], scope: Scope) -> tuple[tuple[Needs, ...] | None, dict[str, object]]:
    """What the route of this request needs (None: there is no such route), and the parameters in its path.

    Its body's own limit is left for BodyLimits.
    """
    for context in iter_route_contexts(routes):
        match, child = context.matches(scope)
        if match is Match.FULL:
            taken = next(_in(context, Takes), None)
            body_limits.mark(scope, taken, read_whole=bool(getattr(_dependant(context), "body_params", ())))
            return needs_of(context), child.get("path_params", {})
    return None, {}


def needs_of(context: RouteContext) -> tuple[Needs, ...]:
    """All that a route says it needs, and the routers above it; empty where it says nothing."""
    return tuple(_in(context, Needs))


def _in(context: RouteContext, kind: type[T]) -> Iterator[T]:
    """A route's dependencies of this kind, and those of the routers above it."""
    dependant = _dependant(context)
    return _below(dependant, kind) if dependant is not None else iter(())


def _dependant(context: RouteContext) -> Dependant | None:
    found: Dependant | None = getattr(context, "dependant", None)
    return found


def _below(dependant: Dependant, kind: type[T]) -> Iterator[T]:
    for one in dependant.dependencies:
        if isinstance(one.call, kind):
            yield one.call
        yield from _below(one, kind)
