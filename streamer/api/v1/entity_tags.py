"""Entity tags of JSON answers (RFC 9110, 8.8.3), and what requests say with them. Pure."""

import hashlib
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from streamer.api.errors import PreconditionFailed

# `openapi_extra` of a route that calls hold_to().
IF_MATCH: dict[str, Any] = {
    "parameters": [
        {
            "name": "If-Match",
            "in": "header",
            "required": False,
            "description": "the ETag of what was read: refused where it has changed since",
            "schema": {"type": "string"},
        }
    ]
}


def etag_of(document: BaseModel) -> str:
    """Another one whenever the document is another one."""
    return f'"{hashlib.sha256(document.model_dump_json(by_alias=True).encode()).hexdigest()[:32]}"'


def tagged(request: Request, document: BaseModel, status: int = 200) -> Response:
    """The document with its tag; 304 without it where the request's If-None-Match has the same."""
    etag = etag_of(document)
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if status == 200 and _named(request, "if-none-match", etag):
        return Response(status_code=304, headers=headers)
    return JSONResponse(document.model_dump(mode="json", by_alias=True), status, headers)


def hold_to(request: Request, document: BaseModel) -> None:
    """Raises PreconditionFailed where If-Match is sent and the document is not (any more) what it was read as."""
    if "if-match" in request.headers and not _named(request, "if-match", etag_of(document)):
        raise changed_since()


def changed_since() -> PreconditionFailed:
    return PreconditionFailed("it was changed since it was read (If-Match); read it again, and decide anew")


def tagged_picture(request: Request, jpeg: bytes) -> Response:
    """A JPEG with its tag, which nobody but who asked keeps; 304 as of tagged()."""
    etag = f'"{hashlib.sha256(jpeg).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if _named(request, "if-none-match", etag):
        return Response(status_code=304, headers=headers)
    return Response(jpeg, headers=headers, media_type="image/jpeg")


def _named(request: Request, header: str, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in request.headers.get(header, "").split(",")]
    return etag in tags or "*" in tags
