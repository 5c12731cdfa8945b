"""A running service in; the HTTP application that tells whether it lives, is ready, and how it fares.

Built once; every route runs on the event loop and answers from memory.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Protocol

from fastapi import APIRouter, Depends, FastAPI, Response
from fastapi.responses import HTMLResponse, JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from streamer import __version__
from streamer.access.guard import Guard, needs, open_to_all
from streamer.api import problems, reference
from streamer.api.closed import Closed
from streamer.api.server import serve_http as serve_http
from streamer.api.webrtc import CrossOrigin
from streamer.readiness import Readiness
from streamer.telemetry.logs import redacted_text
from streamer.telemetry.metrics import Metrics


class Service(Protocol):
    """What the routes look at."""

    @property
    def metrics(self) -> Metrics: ...

    @property
    def guard(self) -> Guard: ...

    def readiness(self) -> Readiness: ...


def create_app(service: Service, routers: Sequence[APIRouter] = ()) -> FastAPI:
    """/healthz, /readyz, /metrics, /docs and /openapi.json over a service that is built, and what `routers` have."""
    # No pages of FastAPI's own: reference.py says why; and its /openapi.json would be for admins alone.
    app = FastAPI(title="whosthere", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    problems.install(app)
    app.state.guard = service.guard  # for what goes on after an answer
    app.add_middleware(Closed, routes=app.router.routes, guard=service.guard)
    app.add_middleware(CrossOrigin)  # around it: a refusal, too, is for the page that asked
    for_all, for_viewers = [Depends(open_to_all)], [Depends(needs("viewer"))]

    @app.get("/healthz", response_description="It lives.", dependencies=for_all)
    async def healthz() -> dict[str, str]:
        """Whether the process lives and its event loop turns."""
        return {"status": "alive"}

    @app.get(
        "/readyz",
        response_description="Every part is ok.",
        responses={503: {"description": _NOT_READY}},
        dependencies=for_all,
    )
    async def readyz() -> JSONResponse:
        """Whether everything that the service needs is there: models, broker, outbox, each camera."""
        return _readiness(service.readiness())

    @app.get("/metrics", response_class=Response, response_description="Prometheus text.", dependencies=for_all)
    async def metrics() -> Response:
        """Counters, gauges and histograms; docs/metrics.md explains each."""
        return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/docs", include_in_schema=False, dependencies=for_viewers)
    async def docs() -> HTMLResponse:
        return HTMLResponse(reference.page(app.openapi()))

    @app.get("/openapi.json", include_in_schema=False, dependencies=for_viewers)
    async def openapi() -> JSONResponse:
        return JSONResponse(app.openapi())

    for router in routers:
        app.include_router(router)
    return app


_NOT_READY = "A part is not ok; `detail` says which and why, `parts` lists all."


def _readiness(found: Readiness) -> JSONResponse:
    parts: dict[str, Any] = {
        part.name: {"ok": part.ok, "reason": redacted_text(part.reason) or None} for part in found.parts
    }
    models = [asdict(model) | {"reason": redacted_text(model.reason)} for model in found.models]
    if found.ready:
        return JSONResponse({"ready": True, "parts": parts, "models": models})
    detail = "; ".join(f"{part.name}: {part.reason or 'not ok'}" for part in found.parts if not part.ok)
    return problems.problem(503, "not_ready", detail, ready=False, parts=parts, models=models)
