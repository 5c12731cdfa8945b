"""A running service in; its whole HTTP application out, closed to whoever has no token for what is asked.

Built once; which routes there are beside health's is the caller's (streamer/app.py).
"""

from collections.abc import Sequence
from typing import Any, Protocol

from fastapi import APIRouter, Depends, FastAPI
from fastapi.responses import HTMLResponse, JSONResponse

from streamer import __version__
from streamer.access.guard import Guard, needs
from streamer.api import health, problems
from streamer.api.body_limits import BodyLimits
from streamer.api.closed import Closed
from streamer.api.contract import reference
from streamer.api.contract.examples import with_whole_examples
from streamer.api.head_requests import HeadRequests
from streamer.api.idempotency import FirstAnswers, Idempotent, with_idempotency
from streamer.api.problem_answers import with_problems
from streamer.api.rate_limits import RateLimits
from streamer.api.security_headers import CrossOrigin
from streamer.settings import HttpSettings
from streamer.telemetry.request_metrics import RequestMetrics


class Service(health.Service, Protocol):
    """What the application looks at."""

    @property
    def guard(self) -> Guard: ...


def create_app(
    service: Service,
    routers: Sequence[APIRouter] = (),
    http: HttpSettings = HttpSettings(),  # noqa: B008 # frozen
    answers: FirstAnswers | None = None,
) -> FastAPI:
    """/healthz, /readyz, /metrics, /docs and /openapi.json over a service that is built, and what `routers` have.

    answers: to writes, which are repeated; None: its own.
    """
    # No pages of FastAPI's own: reference.py says why; and its /openapi.json would be for admins alone.
    app = FastAPI(title="whosthere", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    # A redirect has no word for who does not follow it, and curl, httpx and fetch with a stream do not.
    app.router.redirect_slashes = False
    problems.install(app)
    app.state.guard = service.guard  # for what goes on after an answer
    app.add_middleware(Idempotent, answers=FirstAnswers() if answers is None else answers)
    app.add_middleware(BodyLimits, http=http, metrics=service.metrics)
    app.add_middleware(RateLimits, limit=http.rate_limit, metrics=service.metrics)
    app.add_middleware(Closed, routes=app.router.routes, guard=service.guard)
    app.add_middleware(HeadRequests)
    app.add_middleware(CrossOrigin)  # around it: a refusal, too, is for the page that asked
    app.add_middleware(RequestMetrics, metrics=service.metrics)

    for router in (health.routes(service), _documentation(app), *routers):
        app.include_router(router)
    return app


def _documentation(app: FastAPI) -> APIRouter:
    routes = APIRouter(dependencies=[Depends(needs("viewer"))], include_in_schema=False)
    of_fastapi = app.openapi

    def document() -> dict[str, Any]:
        return app.openapi_schema or with_whole_examples(with_idempotency(with_problems(of_fastapi())))

    app.openapi = document  # type: ignore[method-assign] # FastAPI's own way to add to its document

    @routes.get("/docs")
    async def docs() -> HTMLResponse:
        return HTMLResponse(reference.page(app.openapi()), headers={"Content-Security-Policy": reference.POLICY})

    @routes.get("/openapi.json")
    async def openapi() -> JSONResponse:
        return JSONResponse(app.openapi())

    return routes
