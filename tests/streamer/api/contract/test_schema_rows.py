import pytest

from streamer.api.contract.schema_rows import example_of, kind_of, rows_of

DOCUMENT = {
    "components": {
        "schemas": {"a__b__View": {"type": "object", "properties": {"x": {"type": "string"}}, "example": {"x": "y"}}}
    }
}
VIEW = {"$ref": "#/components/schemas/a__b__View"}


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 500}, "integer 1..500"),
        ({"type": "number", "exclusiveMinimum": 0}, "number 0.."),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "string | null"),
        ({"enum": ["a", "b"]}, '"a" | "b"'),
        ({"const": "largest"}, '"largest"'),
        ({"type": "array", "items": {"format": "binary", "type": "string"}}, "array of file"),
        (VIEW, "View"),
        ({"type": "array", "items": VIEW}, "array of View"),
        ({}, "any"),
    ],
)
def test_a_type_in_words(schema, told):
    assert kind_of(schema) == told


def test_required_ones_come_first_with_defaults_of_the_others():
    schema = {"properties": {"b": {"type": "integer", "default": 3}, "a": VIEW, "c": {}}, "required": ["a"]}
    rows = rows_of(schema, DOCUMENT)
    assert [(row.name, row.required, row.default) for row in rows] == [
        ("a", True, ""),
        ("b", False, "3"),
        ("c", False, ""),
    ]


@pytest.mark.parametrize("schema", [VIEW, {"anyOf": [{"type": "null"}, VIEW]}, {"oneOf": [VIEW]}])
def test_properties_of_what_it_points_to(schema):
    assert [row.name for row in rows_of(schema, DOCUMENT)] == ["x"]


@pytest.mark.parametrize(
    ("content", "example"),
    [
        ({"example": 1, "schema": VIEW}, 1),
        ({"examples": {"a": {"value": 2}}}, 2),
        ({"schema": VIEW}, {"x": "y"}),
        ({"schema": {"type": "array", "items": VIEW}}, [{"x": "y"}]),
        ({"schema": {"anyOf": [{"type": "null"}, VIEW]}}, {"x": "y"}),
        ({"schema": {"examples": [3]}}, 3),
        ({"schema": {"type": "string"}}, None),
    ],
)
def test_the_nearest_example(content, example):
    assert example_of(content, DOCUMENT) == example
