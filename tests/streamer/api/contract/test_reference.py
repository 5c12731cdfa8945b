"""/docs out of a document: grouped, whole, and nothing in it is run."""

import json

import pytest

from streamer.api.contract.reference import page
from tests.conftest import PROJECT

DOCUMENT = json.loads((PROJECT / "docs" / "openapi.json").read_text())
OPERATIONS = [
    (method.upper(), path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]


@pytest.fixture(scope="module")
def shown():
    return page(DOCUMENT)


def part(shown: str, anchor: str) -> str:
    return shown.partition(f'<details id="{anchor}">')[2].partition("</details>")[0]


def test_each_operation_stands_once_and_is_linked_to(shown):
    assert shown.count("<details ") == len(OPERATIONS) > 50
    anchors = shown.split('<details id="')[1:]
    assert len({one.partition('"')[0] for one in anchors}) == len(OPERATIONS)
    for one in anchors:
        assert f'<a href="#{one.partition(chr(34))[0]}">' in shown


def test_operations_are_grouped_by_tag(shown):
    tags = [operation["tags"][0] for _, _, operation in OPERATIONS]
    assert shown.count("<h2 ") == len(set(tags)) > 10
    people = shown.partition(">people</h2>")[2].partition("<h2 ")[0]
    assert people.count("<details ") == tags.count("people")


@pytest.mark.parametrize(
    ("anchor", "told"),
    [
        (
            "get-api-v1-people",
            ["<code>limit</code>", "integer 1..500", "<small>query</small>", "<code>external_id</code>"],
        ),
        ("post-api-v1-embeddings", ["<code>images</code>", "array of file", "required", "-F images=@FILE", "--json"]),
        (
            "post-api-v1-rerank",
            ["<code>probe</code>", "--json &#x27;{", "&quot;scores&quot;", "<code>embedding_invalid</code>"],
        ),
        ("get-api-v1-people-person-export", ["-o FILE", "<code>person</code>", "<code>404</code>"]),
        ("post-api-v1-people", ["-F name=NAME -F images=@FILE", "<code>name_taken</code>"]),
        ("delete-api-v1-cameras-camera", ["-X DELETE", "<code>204</code>"]),
        ("get-api-v1-events-live", ["curl -N ", "<code>after</code>"]),
        ("post-whip-camera", ["application/sdp", "--data-binary @FILE"]),
    ],
)
def test_an_operation_tells_what_goes_in_and_what_comes_out(shown, anchor, told):
    assert [one for one in told if one not in part(shown, anchor)] == []


def test_who_needs_no_token_is_not_told_of_one(shown):
    assert "TOKEN" not in part(shown, "get-healthz")
    assert "Bearer $TOKEN" in part(shown, "get-api-v1-people")


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", 'x" onclick="y', "a & b", "`<i>`"])
def test_what_a_document_says_is_text_alone(text):
    schema = {"type": "object", "properties": {text: {"type": "string", "description": text}}, "example": {text: text}}
    operation = {
        "tags": [text],
        "description": text,
        "parameters": [{"name": text, "in": "query", "schema": {"enum": [text]}, "description": text}],
        "requestBody": {"content": {"application/json": {"schema": schema}}},
        "responses": {"200": {"description": text, "content": {"application/json": {"schema": schema}}}},
    }
    shown = page({"info": {"title": text, "version": "1"}, "paths": {f"/{text}": {"post": operation}}})
    assert text.strip("`") not in shown
