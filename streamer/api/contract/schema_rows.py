"""A JSON schema of an OpenAPI document in; what a person is told of its properties out. Pure."""

import json
from dataclasses import dataclass
from typing import Any

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One property or parameter, in words; `default` and `place` are empty where there is none."""

    name: str
    kind: str
    description: str
    required: bool
    default: str
    place: str = ""

    @classmethod
    def of(cls, name: str, schema: Schema, description: str | None, required: bool, place: str = "") -> "Row":
        given = schema.get("default")
        return cls(
            name=name,
            kind=kind_of(schema),
            description=description or schema.get("description", ""),
            required=required,
            default="" if given is None else json.dumps(given, ensure_ascii=False),
            place=place,
        )


def pointed_to(schema: Schema, document: Schema) -> Schema:
    """A schema, or what it points to."""
    while "$ref" in schema:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema


def rows_of(schema: Schema, document: Schema) -> list[Row]:
    """Its properties; of several kinds those of all that are objects. Required ones first."""
    schema = pointed_to(schema, document)
    kinds = [pointed_to(one, document) for one in (*schema.get("anyOf", ()), *schema.get("oneOf", ()))]
    if kinds:
        return list({row.name: row for one in kinds for row in rows_of(one, document)}.values())
    required = schema.get("required", ())
    rows = [
        Row.of(name, one, pointed_to(one, document).get("description"), name in required)
        for name, one in schema.get("properties", {}).items()
    ]
    return sorted(rows, key=lambda row: not row.required)


def example_of(content: Schema, document: Schema) -> Any:  # noqa: ANN401 - JSON
    """Of a body or an answer: its own example, else its schema's; None where there is none."""
    if "example" in content:
        return content["example"]
    for one in content.get("examples", {}).values():
        return pointed_to(one, document).get("value")
    schema = pointed_to(content.get("schema", {}), document)
    given = [schema["example"]] if "example" in schema else schema.get("examples", [])
    if not given and schema.get("type") == "array":
        inner = example_of({"schema": schema.get("items", {})}, document)
        return None if inner is None else [inner]
    if not given:
        for one in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
            found = example_of({"schema": one}, document)
            if found is not None:
                return found
    return given[0] if given else None


def kind_of(schema: Schema) -> str:
    """Its type in a few words, with its bounds: `integer 1..500`, `array of string`, `"a" | "b"`."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2].rpartition("__")[2]
    if "enum" in schema:
        return " | ".join(json.dumps(one, ensure_ascii=False) for one in schema["enum"])
    if "const" in schema:
        return json.dumps(schema["const"], ensure_ascii=False)
    several = schema.get("anyOf") or schema.get("oneOf")
    if several:
        return " | ".join(dict.fromkeys(kind_of(one) for one in several))
    if schema.get("type") == "array":
        return f"array of {kind_of(schema.get('items', {}))}"
    kind = "file" if schema.get("format") == "binary" else str(schema.get("type", "any"))
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is not None or high is not None:
        return f"{kind} {'' if low is None else low}..{'' if high is None else high}"
    return kind
