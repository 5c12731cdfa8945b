"""The operations of an OpenAPI document, and what is asked to tell who may use them. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

METHODS = ("get", "put", "post", "patch", "delete", "head", "options")


@dataclass(frozen=True)
class Operation:
    """One method of one path; `path` with its parameters in braces."""

    method: str
    path: str
    spec: dict[str, Any] = field(compare=False)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def is_stream(self) -> bool:
        """Whether its answer goes on for ever."""
        kinds = self.spec["responses"].get("200", {}).get("content", {})
        return any(kind.startswith(("text/event-stream", "multipart/x-mixed-replace")) for kind in kinds)

    @property
    def example_path(self) -> str:
        """With something in the place of each parameter: the document's example, else a word."""
        given = {one["name"]: _example(one) for one in self.spec.get("parameters", []) if one["in"] == "path"}
        return re.sub(r"{(\w+)}", lambda match: str(given[match[1]]), self.path)

    def matches(self, method: str, path: str) -> bool:
        """Whether a request for this path is one of these."""
        pattern = "".join(
            "[^/]+" if part.startswith("{") else re.escape(part) for part in re.split(r"({\w+})", self.path)
        )
        return method == self.method and re.fullmatch(pattern, path) is not None


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    """In the document's order."""
    for path, methods in document["paths"].items():
        for method in METHODS:
            if method in methods:
                yield Operation(method.upper(), path, methods[method])


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """A schema, or what it points to."""
    while "$ref" in schema:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema


def examples_of(document: dict[str, Any], schema: dict[str, Any], seen: frozenset[str] = frozenset()) -> list[Any]:
    """Those of a schema itself, else of what it is made of, with the schema that each belongs to."""
    ref = schema.get("$ref", "")
    if ref in seen:
        return []
    seen |= {ref} if ref else set()
    schema = resolved(document, schema)
    own = [schema["example"]] if "example" in schema else list(schema.get("examples", []))
    if own:
        return [(schema, one) for one in own]
    parts = [*schema.get("properties", {}).values(), *schema.get("anyOf", []), *schema.get("allOf", [])]
    parts += [schema[key] for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict)]
    return [found for part in parts for found in examples_of(document, part, seen)]


def _example(parameter: dict[str, Any]) -> Any:
    schema = parameter.get("schema", {})
    found = [parameter.get("example"), schema.get("example"), *schema.get("examples", [])]
    named = [one["value"] for one in parameter.get("examples", {}).values()]
    return next((one for one in (*found, *named) if one is not None), "nothing")
