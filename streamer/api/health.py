"""A running service in; routes that tell whether it lives, is ready, and how it fares.

Every route runs on the event loop and answers from memory; the metrics' text is made on a thread.
"""

import asyncio
import gzip
from dataclasses import asdict
from typing import Any, Literal, Protocol, Self

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from streamer.access.guard import open_to_all
from streamer.api import problems
from streamer.readiness import ModelState, Part, Readiness
from streamer.telemetry.exposition import CONTENT_TYPE
from streamer.telemetry.logs import redacted_text
from streamer.telemetry.metrics import Metrics
from streamer.web.encoding import takes_gzip

_NOT_READY = "A part is not ok; `detail` says which and why, `parts` lists all."
_READY: dict[str, Any] = {
    "ready": True,
    "parts": {"models": {"ok": True, "reason": None}, "camera door": {"ok": True, "reason": None}},
    "models": [
        {
            "name": "nano_embed",
            "role": "face_embedding",
            "ready": True,
            "serving": True,
            "device": "cpu",
            "code": None,
            "reason": "",
        }
    ],
}


class Service(Protocol):
    """What the routes look at."""

    @property
    def metrics(self) -> Metrics: ...

    def readiness(self) -> Readiness: ...


class PartView(BaseModel):
    """One thing that the service needs; why, if it is not ok."""

    ok: bool
    reason: str | None

    @classmethod
    def of(cls, part: Part) -> Self:
        return cls(ok=part.ok, reason=redacted_text(part.reason) or None)


class Alive(BaseModel):
    """`triton`: null where no model that serves is on a Triton server. What is not ok there fails /readyz alone."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"status": "alive", "triton": None, "rerank": {"ok": True, "reason": None}}}
    )

    status: Literal["alive"]
    triton: PartView | None
    rerank: PartView | None


class Ready(BaseModel):
    """`models`: those of the configured set; one that is missing makes nothing unready by itself."""

    model_config = ConfigDict(json_schema_extra={"example": _READY})

    ready: bool
    parts: dict[str, PartView]
    models: list[ModelState]


def routes(service: Service) -> APIRouter:
    """/healthz, /readyz and /metrics, open to all: no name is in them."""
    health = APIRouter(tags=["health"], dependencies=[Depends(open_to_all)])

    @health.get("/healthz", response_model=Alive, response_description="It lives.")
    async def healthz() -> Alive:
        """Whether the process lives and its event loop turns; how what it asks of others is, by the way."""
        parts = service.readiness().parts
        told = {part.name: PartView.of(part) for part in parts if part.name in ("triton", "rerank")}
        return Alive(status="alive", triton=told.get("triton"), rerank=told.get("rerank"))

    @health.get(
        "/readyz",
        response_model=Ready,
        response_description="Every part is ok.",
        responses={503: {"description": _NOT_READY}},
    )
    async def readyz() -> JSONResponse:
        """Whether everything that the service needs is there: models, broker, outbox, each camera."""
        return _readiness(service.readiness())

    @health.get("/metrics", response_class=Response, response_description="Prometheus text.")
    async def metrics(request: Request) -> Response:
        """Counters, gauges and histograms; docs/metrics.md explains each."""
        return await asyncio.to_thread(_exposed, service.metrics, packed=takes_gzip(request.headers))

    return health


def _exposed(metrics: Metrics, *, packed: bool) -> Response:
    """The text; packed, as Prometheus always asks for it, less than a tenth of it is sent."""
    text, headers = metrics.text(), {"Vary": "Accept-Encoding"}
    if packed:
        text, headers = gzip.compress(text, 1, mtime=0), headers | {"Content-Encoding": "gzip"}
    return Response(text, headers=headers, media_type=CONTENT_TYPE)


def _readiness(found: Readiness) -> JSONResponse:
    parts: dict[str, Any] = {part.name: PartView.of(part).model_dump() for part in found.parts}
    models = [asdict(model) | {"reason": redacted_text(model.reason)} for model in found.models]
    if found.ready:
        return JSONResponse({"ready": True, "parts": parts, "models": models})
    detail = "; ".join(f"{part.name}: {part.reason or 'not ok'}" for part in found.parts if not part.ok)
    return problems.problem(503, "not_ready", detail, ready=False, parts=parts, models=models)
