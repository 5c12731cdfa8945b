"""What pydantic found wrong with a request in; the same in words that say what to send instead, out. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from starlette.requests import HTTPConnection

_JSON = "application/json"
_LONGEST_FIELD = 200  # of one that is told to who sent it
_NO_OBJECT = {"dict_type", "model_attributes_type", "model_type"}


def faults_of(request: HTTPConnection, found: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """By fault its `field`, as `body.name`, and a `message` that never has the value."""
    return [_fault(request, one) for one in found]


def _fault(request: HTTPConnection, found: Mapping[str, Any]) -> dict[str, str]:
    place, kind, message = found["loc"], found["type"], found["msg"]
    if kind == "json_invalid" and len(place) == 2:  # FastAPI's: where it breaks off is told as a field
        place, message = place[:1], f"it is no JSON from character {place[1]} on"
    elif kind == "missing":
        message = "it is missing"
    elif kind == "extra_forbidden":
        names = _names(request) if len(place) == 2 else []
        told = f"there are {', '.join(names)}" if names else "/docs shows which there are"
        message = f"there is no such field; {told}"
    elif kind in _NO_OBJECT:
        sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        message = "it is to be a JSON object"
        if place == ("body",) and not sent.endswith("json"):
            message += f", sent with Content-Type: {_JSON}"
    return {"field": ".".join(map(str, place))[:_LONGEST_FIELD], "message": message}


def _names(request: HTTPConnection) -> Sequence[str]:
    """The fields of the body that this route reads."""
    route = request.scope.get("route")
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    bodies = (getattr(route, "openapi_extra", None) or {}).get("requestBody", {}).get("content", {})
    if sent in bodies:
        return list(bodies[sent]["schema"].get("properties", {}))
    model = getattr(getattr(getattr(route, "body_field", None), "field_info", None), "annotation", None)
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []
