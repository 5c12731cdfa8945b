"""An OpenAPI document in, the same with whole examples out: FastAPI leaves out of them whatever is null. Pure."""

from typing import Any

Schema = dict[str, Any]


def with_whole_examples(document: Schema) -> Schema:
    """The same document; what an example must have and has not is null where the schema lets it be."""
    for schema in document.get("components", {}).get("schemas", {}).values():
        if "example" in schema:
            schema["example"] = _whole(schema["example"], schema, document)
    return document


def _whole(example: Any, schema: Schema, document: Schema) -> Any:  # noqa: ANN401 - JSON
    schema = _of(example, schema, document)
    if isinstance(example, list):
        return [_whole(one, schema.get("items", {}), document) for one in example]
    if not isinstance(example, dict):
        return example
    properties: dict[str, Schema] = schema.get("properties", {})
    others = schema.get("additionalProperties")
    of_others: Schema = others if isinstance(others, dict) else {}
    there = {name: _whole(value, properties.get(name, of_others), document) for name, value in example.items()}
    null = {name: None for name in schema.get("required", []) if name not in there and _may_be_null(properties[name])}
    return {name: (there | null)[name] for name in [*properties, *there] if name in there or name in null}


def _of(example: Any, schema: Schema, document: Schema) -> Schema:  # noqa: ANN401
    """What a schema points to; of several the first that is of the example's kind."""
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    kind = "object" if isinstance(example, dict) else "array" if isinstance(example, list) else None
    for one in schema.get("anyOf", []):
        found = _of(example, one, document)
        if kind is not None and found.get("type") == kind:
            return found
    return schema


def _may_be_null(schema: Schema) -> bool:
    return schema.get("type") == "null" or any(map(_may_be_null, schema.get("anyOf", [])))
