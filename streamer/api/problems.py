"""Errors in, RFC 9457 problem documents with our stable `code` out.

Pure, apart from hanging the handlers on the application.
"""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.routing import Match

from gallery.errors import NoPhotoAccepted
from recognition.errors import CodedError
from streamer.access.errors import AccessRefused
from streamer.api.wording.http_means import over_http
from streamer.api.wording.request_faults import faults_of
from streamer.telemetry.logs import redacted_text

MEDIA_TYPE = "application/problem+json"
_LONGEST_PATH = 200  # of one that is shown to who asked for it

_MOST_FAULTS = 20  # of a body that are told; whoever sent it has not written more by hand
_RETRY_AFTER_S = "2"

# Where neither 503 (trying again may help) nor 400 (it won't) says it best.
_STATUS = {
    code: status
    for status, codes in {
        401: "session_over token_invalid token_missing",
        403: "csrf_refused proxy_bypassed role_too_low",
        404: """camera_not_published camera_unknown cluster_not_found kept_visits_missing model_not_found
            negative_not_found crop_gone person_not_found photo_not_found session_unknown snapshot_not_found
            visit_not_found webrtc_disabled""",
        # As things stand; the same request may do once they have changed.
        409: """already_running calibration_too_few calibration_too_rare calibration_unreachable camera_disabled
            camera_exists camera_variable_unset cameras_fixed confirmation_needed enrolled_already external_id_taken
            idempotency_key_busy merge_refused model_not_switched name_taken negative_refused people_not_covered
            names_alike person_ambiguous person_forgotten person_id_taken publisher_present repository_exists
            split_refused target_exists token_name_taken""",
        408: "request_timeout",
        412: "cluster_changed precondition_failed session_changed",
        413: "body_too_large image_too_large too_many_images",
        415: "media_type_unsupported",
        # The request is well formed, and what it holds can't be used.
        422: """archive_invalid camera_protocol_missing config_invalid config_unknown_key consent_invalid
            embedding_invalid embedding_space_mismatch enrolment_list_invalid enrolment_list_missing
            face_denied face_doubtful face_not_upright fpir_invalid ice_restart_unsupported idempotency_key_reused
            image_cut_short image_empty image_kind_unsupported image_missing image_unreadable name_invalid
            no_face no_photo_accepted offer_unsupported other_person person_differs person_file_invalid
            person_file_missing person_file_outdated person_file_too_new photo_misplaced quality_too_low
            rerank_input_invalid row_invalid several_faces threshold_invalid token_name_invalid""",
        428: "entity_tag_missing",
        429: "overloaded too_many_attempts too_many_requests",
        501: "webrtc_missing",
        # A camera, or another server, that was asked for this request.
        502: """camera_login_refused camera_not_found camera_unreachable discovery_failed download_failed
            download_refused stream_invalid stream_lost stream_no_video stream_stalled stream_unsupported""",
        # Something is wrong here, which whoever runs the service has to mend.
        503: """audit_broken backup_unreadable broker_certificate_expired broker_certificate_other_host
            broker_certificate_self_signed broker_certificate_untrusted broker_speaks_no_tls broker_tls_failed
            broker_wants_tls client_certificate_missing client_certificate_refused discovery_list_too_new
            discovery_list_unreadable mqtt_tls_file_invalid mqtt_tls_file_unreadable mqtt_tls_key_encrypted
            mqtt_tls_key_mismatch broker_id_taken broker_login_refused broker_topic_refused
            certificate_expired certificate_unusable checkpoint_invalid classifier_damaged classifier_missing
            classifier_outdated classifier_stale classifier_unavailable config_missing config_unreadable
            data_folder_unwritable embedding_unusable erasure_incomplete figures_unwritable gallery_in_use
            gallery_missing gallery_seal_broken gallery_too_new gallery_unreadable impostor_model_invalid
            inference_failed kept_visits_damaged kept_visits_too_new licence_not_accepted master_key_missing
            master_key_wrong measurement_failed network_forbidden outbox_damaged outbox_too_new output_unwritable
            rerank_failed rerank_library_unusable runner_dead self_test_failed spec_invalid target_unwritable
            tokens_unreadable tokens_unwritable triton_model_mismatch unsupported_engine unsupported_runtime
            weights_digest_mismatch weights_folder_unwritable weights_missing weights_unreadable""",
    }.items()
    for code in codes.split()
}


def problem(status: int, code: str, detail: str, **extensions: object) -> JSONResponse:
    """One problem document. `detail` is one line for people; logins in it are redacted."""
    phrase = HTTPStatus(status).phrase
    line = "".join(letter if letter.isprintable() else "?" for letter in redacted_text(detail))
    body = {"type": "about:blank", "title": phrase, "status": status, "detail": line, "code": code}
    return JSONResponse(body | extensions, status_code=status, media_type=MEDIA_TYPE)


def status_of(error: CodedError | type[CodedError]) -> int:
    """What an error is answered with."""
    return _STATUS.get(error.code, 503 if error.retryable else 400)


def of(error: CodedError) -> JSONResponse:
    """The problem document of an error of ours."""
    more = (
        {"refused": [{"image": str(image), "code": code, "why": over_http(why)} for image, code, why in error.refused]}
        if isinstance(error, NoPhotoAccepted)
        else {}
    )
    response = problem(status_of(error), error.code, over_http(str(error)), **more)
    if error.retryable:
        response.headers["Retry-After"] = _RETRY_AFTER_S
    if isinstance(error, AccessRefused):
        response.headers.update(error.headers)
    return response


def of_http(request: HTTPConnection, error: HTTPException, allowed: str = "") -> JSONResponse:
    """404 `not_found`, 405 `method_not_allowed`: the code is the status's phrase. `allowed`: the methods there are."""
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_").replace("-", "_")
    path = request.url.path
    shown = path if len(path) <= _LONGEST_PATH else f"{path[:_LONGEST_PATH]}…"
    hint = f"it takes {allowed}; " if allowed else ""
    if error.status_code == HTTPStatus.NOT_FOUND and path != "/" and path.endswith("/"):
        hint = "no path here has a slash at its end; "
    detail = f"{request.scope.get('method', 'GET')} {shown}: {error.detail}; {hint}/docs lists what there is"
    response = problem(error.status_code, code, detail)
    response.headers.update(error.headers or {})
    if allowed:
        response.headers["Allow"] = allowed
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
    return of_http(request, error, _allowed(request) if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED else "")


def _allowed(request: Request) -> str:
    """All methods of this path: Starlette tells of its first route alone, and each method has one of its own.

    Empty where the answer is a route's own, which knows better.
    """
    by_path: dict[str, set[str]] = {}
    for context in iter_route_contexts(request.app.router.routes):
        match, _ = context.matches(request.scope)
        if match is Match.FULL:  # the route's own answer, which knows better
            return ""
        if match is Match.PARTIAL and getattr(context, "include_in_schema", True):
            by_path.setdefault(context.path or "", set()).update(context.methods or ())
    if not by_path:
        return ""
    nearest = min(by_path, key=lambda path: path.count("{"))
    return ", ".join(sorted(by_path[nearest]))


async def _invalid(request: HTTPConnection, error: Any) -> JSONResponse:  # noqa: ANN401
    """What was wrong with which field; never the value, which may be private."""
    faults = faults_of(request, error.errors()[:_MOST_FAULTS])
    detail = "; ".join(f"{fault['field']}: {fault['message']}" for fault in faults)
    if (more := len(error.errors()) - len(faults)) > 0:
        detail += f"; and {more} more"
    return problem(422, "request_invalid", detail, errors=faults)


async def _bug(_: Request, __: Exception) -> JSONResponse:
    """Starlette raises the exception again after the answer, so that the server logs it."""
    return problem(500, "internal_error", "the service has a fault here; its log says more")
