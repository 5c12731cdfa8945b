"""Bodies of requests that come as JSON or as a form with files: parsed and held to a model, and told of in OpenAPI.

On the loop. Files lie in memory while they are small, then in files without a name that are gone with the request;
they are read on threads.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile

from gallery.enrolment.photo_reading import Photo, Read, of_bytes
from recognition.errors import ImageTooLarge
from recognition.image import MAX_BYTES
from streamer.webrtc.errors import MediaTypeUnsupported

Model = TypeVar("Model", bound=BaseModel)

JSON, FORM = "application/json", "multipart/form-data"
_MOST_FIELDS = 100
_FIELD_BYTES = 64 * 1024
_LONGEST_NAME = 100


def media_type_of(request: Request, *kinds: str) -> str:
    """Which of these the body is. Raises MediaTypeUnsupported."""
    found = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if found not in kinds:
        raise MediaTypeUnsupported(
            f"the body is to be {' or '.join(kinds)} (Content-Type), not {found[:50] or 'nothing'}"
        )
    return found


async def json_of(request: Request, model: type[Model]) -> Model:
    """Raises RequestValidationError."""
    return parsed(await request.body(), model)


def parsed(document: bytes, model: type[Model]) -> Model:
    """The same of a body that was read; a large one is better parsed on a thread. Raises RequestValidationError."""
    try:
        return model.model_validate_json(document)
    except ValidationError as error:
        raise _invalid(error) from None


@asynccontextmanager
async def form_of(request: Request, most_files: int) -> AsyncIterator[FormData]:
    """Open for as long as its files are read. Raises HTTPException (400) where it is none, or has too many parts."""
    async with request.form(max_files=most_files, max_fields=_MOST_FIELDS, max_part_size=_FIELD_BYTES) as form:
        yield form


def fields_of(form: FormData, model: type[Model], files: Sequence[str], lists: Sequence[str] = ()) -> Model:
    """The fields that are no `files`; those of `lists` may come more than once. Raises RequestValidationError."""
    told: dict[str, Any] = {}
    for name, value in form.multi_items():
        if name in files:
            continue
        if name in lists:
            told.setdefault(name, []).append(value)
        elif name in told:
            raise invalid(name, "it comes more than once")
        else:
            told[name] = value
    try:
        return model.model_validate(told)
    except ValidationError as error:
        raise _invalid(error) from None


def photos_of(form: FormData, field: str = "images") -> dict[Path, Read]:
    """What each photo is called, and what reads it, in the order given. Raises RequestValidationError."""
    photos: dict[Path, Read] = {}
    for number, upload in enumerate(form.getlist(field), 1):
        if not isinstance(upload, UploadFile):
            raise invalid(field, "it is to be a file: a part with a filename")
        path = called(upload, f"image {number}")
        while path in photos:
            path = Path(f"{path} ({number})")
        photos[path] = _Sent(upload).read
    if not photos:
        raise invalid(field, "give one file at least")
    return photos


def file_of(form: FormData, field: str) -> UploadFile:
    """The one file of this name. Raises RequestValidationError."""
    found = form.getlist(field)
    if not found:
        raise invalid(field, "it is missing: give one file by this name")
    if len(found) != 1 or not isinstance(found[0], UploadFile):
        raise invalid(field, "it is to be one file: a part with a filename")
    return found[0]


def called(upload: UploadFile, otherwise: str) -> Path:
    """By its filename, as far as that may be shown; nothing is ever opened by it."""
    name = PurePosixPath((upload.filename or "").replace("\\", "/")).name
    return Path("".join(letter for letter in name if letter.isprintable())[-_LONGEST_NAME:].strip() or otherwise)


def invalid(field: str, message: str) -> RequestValidationError:
    return RequestValidationError([{"loc": ("body", field), "msg": message, "type": "value_error"}])


def described(model: type[BaseModel]) -> dict[str, Any]:
    """A model's schema, whole in itself, for a body that FastAPI does not read."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    whole = _without_references(schema, definitions)
    assert isinstance(whole, dict)
    return whole


def described_form(model: type[BaseModel] | None, files: dict[str, str]) -> dict[str, Any]:
    """The same of a form with files besides; `files`: by name `many` or `one`."""
    schema: dict[str, Any] = {"type": "object", "properties": {}, "required": []} if model is None else described(model)
    binary = {"type": "string", "format": "binary"}
    for name, how in files.items():
        schema["properties"][name] = binary if how == "one" else {"type": "array", "items": binary, "minItems": 1}
    schema["required"] = [*schema.get("required", []), *files]
    return schema


def body(**content: dict[str, Any]) -> dict[str, Any]:
    """`openapi_extra` of a route; content: `json`, `form`, their schemas."""
    kinds = {"json": JSON, "form": FORM}
    return {
        "requestBody": {"required": True, "content": {kinds[kind]: {"schema": one} for kind, one in content.items()}}
    }


class _Sent:
    """A photo as it was sent."""

    def __init__(self, upload: UploadFile) -> None:
        self._upload = upload

    def read(self, path: Path) -> Photo:
        """On a thread. Raises ImageTooLarge."""
        size = self._upload.size or 0
        if size > MAX_BYTES:
            raise ImageTooLarge(f"{path} has {size >> 20} MiB, more than {MAX_BYTES >> 20}; make it smaller")
        self._upload.file.seek(0)
        return of_bytes(self._upload.file.read(), path)


def _invalid(error: ValidationError) -> RequestValidationError:
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    return RequestValidationError([fault | {"loc": ("body", *fault["loc"])} for fault in faults])


def _without_references(schema: Any, definitions: dict[str, Any]) -> Any:  # noqa: ANN401 JSON
    if isinstance(schema, list):
        return [_without_references(one, definitions) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        return _without_references(definitions[schema["$ref"].rpartition("/")[2]], definitions) | beside
    return {key: _without_references(value, definitions) for key, value in schema.items()}
