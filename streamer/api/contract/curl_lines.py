"""An operation of an OpenAPI document in; the line of curl that asks for it out. Pure."""

import json
import shlex
from typing import Any

from streamer.api.contract.schema_rows import pointed_to

Schema = dict[str, Any]

_TOKEN = '-H "Authorization: Bearer $TOKEN"'


def curl_line(method: str, path: str, operation: Schema, kind: str | None, example: Any, document: Schema) -> str:  # noqa: ANN401
    """kind: the body's media type, None: without one; `example`: of that body.""" ""
    words = ["curl"]
    sends = _body(operation, kind, example, document)
    answers = operation.get("responses", {}).get("200", {}).get("content", {})
    if "text/event-stream" in answers:
        words.append("-N")
    elif answers and not any("json" in one or one.startswith("text/") for one in answers):
        words.append("-o FILE")
    if method != ("POST" if sends else "GET"):
        words.append(f"-X {method}")
    if operation.get("security"):
        words.append(_TOKEN)
    return " ".join([*words, *sends, f'"$WHOSTHERE{path}"'])


def _body(operation: Schema, kind: str | None, example: Any, document: Schema) -> list[str]:  # noqa: ANN401
    if kind is None:
        return []
    if kind == "application/json":
        return [f"--json {shlex.quote(json.dumps(example, ensure_ascii=False))}" if example else "--json @FILE"]
    if kind == "multipart/form-data":
        schema = pointed_to(operation["requestBody"]["content"][kind].get("schema", {}), document)
        files = [name for name, one in schema.get("properties", {}).items() if _is_file(one)]
        wanted = {name: name.upper() for name in schema.get("required", []) if name not in files}
        fields = [(name, value) for name, value in (wanted | (example or {})).items() if name not in files]
        told = [f"-F {shlex.quote(f'{name}={_field(one)}')}" for name, value in fields for one in _each(value)]
        return [*told, *(f"-F {name}=@FILE" for name in files)]
    return [f"-H 'Content-Type: {kind}' --data-binary @FILE"]


def _is_file(schema: Schema) -> bool:
    return bool(schema.get("items", schema).get("format") == "binary")


def _each(value: Any) -> list[Any]:  # noqa: ANN401
    return value if isinstance(value, list) else [value]


def _field(value: Any) -> str:  # noqa: ANN401
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
