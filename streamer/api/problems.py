"""Errors in, RFC 9457 problem documents with our stable `code` out.

Pure, apart from hanging the handlers on the application.
"""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from recognition.errors import CodedError
from streamer.access.errors import AccessRefused
from streamer.telemetry.logs import redacted_text

MEDIA_TYPE = "application/problem+json"
_LONGEST_PATH = 200  # of one that is shown to who asked for it

_RETRY_AFTER_S = "2"

# Where neither 503 (trying again may help) nor 400 (it won't) says it best.
_STATUS = {
    "body_too_large": 413,
    "camera_disabled": 409,
    "camera_not_published": 404,
    "camera_unknown": 404,
    "entity_tag_missing": 428,
    "gallery_missing": 503,
    "ice_restart_unsupported": 422,
    "media_type_unsupported": 415,
    "model_not_found": 404,
    "offer_unsupported": 422,
    "overloaded": 429,
    "person_ambiguous": 409,
    "person_not_found": 404,
    "precondition_failed": 412,
    "proxy_bypassed": 403,
    "publisher_present": 409,
    "role_too_low": 403,
    "session_changed": 412,
    "session_unknown": 404,
    "token_invalid": 401,
    "token_missing": 401,
    "too_many_attempts": 429,
    "webrtc_disabled": 404,
    "webrtc_missing": 501,
}


def problem(status: int, code: str, detail: str, **extensions: object) -> JSONResponse:
    """One problem document. `detail` is one line for people; logins in it are redacted."""
    phrase = HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": phrase, "status": status, "detail": redacted_text(detail), "code": code}
    return JSONResponse(body | extensions, status_code=status, media_type=MEDIA_TYPE)


def of(error: CodedError) -> JSONResponse:
    """The problem document of an error of ours."""
    response = problem(_STATUS.get(error.code, 503 if error.retryable else 400), error.code, str(error))
    if error.retryable:
        response.headers["Retry-After"] = _RETRY_AFTER_S
    if isinstance(error, AccessRefused):
        response.headers.update(error.headers)
    return response


def of_http(request: HTTPConnection, error: HTTPException) -> JSONResponse:
    """404 `not_found`, 405 `method_not_allowed`: the code is the status's phrase."""
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_").replace("-", "_")
    path = request.url.path
    shown = path if len(path) <= _LONGEST_PATH else f"{path[:_LONGEST_PATH]}…"
    detail = f"{request.scope.get('method', 'GET')} {shown}: {error.detail}; /docs lists what there is"
    response = problem(error.status_code, code, detail)
    response.headers.update(error.headers or {})
    return response


def install(app: FastAPI) -> None:
    """Every error that leaves the application leaves it as a problem document."""
    app.add_exception_handler(CodedError, _coded)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(WebSocketRequestValidationError, _invalid)
    app.add_exception_handler(Exception, _bug)


async def _coded(_: Request, error: Any) -> JSONResponse:  # noqa: ANN401 - Starlette's handlers are untyped
    return of(error)


async def _http(request: Request, error: Any) -> JSONResponse:  # noqa: ANN401
    return of_http(request, error)


async def _invalid(_: Request, error: Any) -> JSONResponse:  # noqa: ANN401
    """What was wrong with which field; never the value, which may be private."""
    faults = [
        {"field": ".".join(str(part) for part in fault["loc"]), "message": fault["msg"]} for fault in error.errors()
    ]
    detail = "; ".join(f"{fault['field']}: {fault['message']}" for fault in faults)
    return problem(422, "request_invalid", detail, errors=faults)


async def _bug(_: Request, __: Exception) -> JSONResponse:
    """Starlette raises the exception again after the answer, so that the server logs it."""
    return problem(500, "internal_error", "the service has a fault here; its log says more")
