"""What a route may refuse, for the OpenAPI document: `responses=problem_answers(PersonNotFound, NameTaken)`. Pure.

What every request may meet (tokens, limits, a stop) is added to each operation of the document by with_problems().
"""

import inspect
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any

from gallery.errors import (
    GalleryInUse,
    GalleryMissing,
    GallerySealBroken,
    GalleryTooNew,
    GalleryUnreadable,
    GalleryUnwritable,
    MasterKeyError,
)
from recognition.errors import CodedError, Overloaded
from streamer.access.errors import (
    CsrfRefused,
    ProxyBypassed,
    RoleTooLow,
    SessionOver,
    TokenInvalid,
    TokenMissing,
    TooManyAttempts,
)
from streamer.api.problems import MEDIA_TYPE, status_of
from streamer.errors import BodyTooLarge, RequestTimeout, ServiceStopping

Answers = dict[int | str, dict[str, Any]]

# What whoever opens the gallery may meet: `problem_answers(*OF_GALLERY, PersonNotFound)`.
OF_GALLERY: tuple[type[CodedError], ...] = (
    GalleryMissing,
    GalleryInUse,
    GallerySealBroken,
    GalleryTooNew,
    GalleryUnreadable,
    GalleryUnwritable,
    MasterKeyError,
    Overloaded,
)

_SCHEMA = {
    "title": "Problem",
    "description": "RFC 9457; `code` is stable, `detail` is one line for people.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string", "const": "about:blank"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "code": {"type": "string", "pattern": "^[a-z][a-z0-9_]*$"},
    },
}
_REFERENCE = {"$ref": "#/components/schemas/Problem"}


def problem_answers(*errors: type[CodedError]) -> Answers:
    """By status, what these errors are answered with; of a family all its leaves."""
    answers: Answers = {}
    for error in _codes(errors):
        _add(answers, status_of(error), error.code, (inspect.cleandoc(error.__doc__ or "")).partition("\n")[0])
    return answers


def add_problems(operation: dict[str, Any], *errors: type[CodedError]) -> None:
    """To an operation of the document that with_problems() gave."""
    for error in errors:
        _add(operation["responses"], str(status_of(error)), error.code, inspect.cleandoc(error.__doc__ or ""))


def with_problems(document: dict[str, Any]) -> dict[str, Any]:
    """The same document, in which each operation tells of what every request may meet. FastAPI's 422 is not ours."""
    for path in document["paths"].values():
        for method, operation in path.items():
            answers = operation["responses"]
            if "application/json" in answers.get("422", {}).get("content", {}):
                del answers["422"]
            _tell_common(method, operation, answers)
            operation["responses"] = dict(sorted(answers.items(), key=lambda one: str(one[0])))
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = _SCHEMA
    return document


def _tell_common(method: str, operation: dict[str, Any], answers: Answers) -> None:
    if operation.get("security"):
        of_cookies = (SessionOver,) if method in ("get", "head", "options") else (SessionOver, CsrfRefused)
        door = (TokenMissing, TokenInvalid, RoleTooLow, TooManyAttempts, *of_cookies)
        for status, told in problem_answers(*door).items():
            for code, example in told["content"][MEDIA_TYPE]["examples"].items():
                _add(answers, str(status), code, example["summary"])
    for error in (ProxyBypassed, ServiceStopping):
        _add(answers, str(status_of(error)), error.code, error.__doc__ or "")
    if operation.get("parameters") or "requestBody" in operation:
        _add(answers, "422", "request_invalid", "A parameter or the body is not as it is described here.")
    if "requestBody" in operation:
        _add(answers, "400", "bad_request", "The body could not be parsed.")
        for refusal in (BodyTooLarge, RequestTimeout):
            _add(answers, str(status_of(refusal)), refusal.code, refusal.__doc__ or "")


def _add(answers: Answers, status: int | str, code: str, says: str) -> None:
    """One more code under a status, as an example; where the status is an answer of another kind, beside that."""
    number = int(status)
    answer = answers.setdefault(status, {"description": ""})
    examples = answer.setdefault("content", {}).setdefault(MEDIA_TYPE, {"schema": _REFERENCE, "examples": {}})
    title = HTTPStatus(number).phrase
    value = {"type": "about:blank", "title": title, "status": number, "detail": says or title, "code": code}
    examples["examples"].setdefault(code, {"summary": says or title, "value": value})
    if not answer["description"] or answer["description"].startswith(f"{title}: "):
        answer["description"] = f"{title}: {', '.join(f'`{one}`' for one in examples['examples'])}"


def _codes(errors: Iterable[type[CodedError]]) -> Iterator[type[CodedError]]:
    """Each, and all below it; the head of a family is never raised itself."""
    for error in errors:
        below = error.__subclasses__()
        if not (below and error.__name__.endswith(("Error", "Refused"))):
            yield error
        yield from _codes(below)
