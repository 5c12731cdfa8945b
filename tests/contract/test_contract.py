"""The OpenAPI document and docs/api.md say what a running service does: each operation, line of code and role."""

import json
from collections import Counter

import jsonschema
import pytest

from streamer.access.roles import ROLES, covers
from tests.contract import page
from tests.contract.home import Home, home
from tests.contract.operations import Operation, examples_of, operations

pytestmark = [pytest.mark.live, pytest.mark.timeout(400)]

# Their bodies are SDP, which no one types: docs/watching.md and docs/cameras.md say who talks to them.
BY_PROGRAMS_ALONE = {"whip", "whep"}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    with home(tmp_path_factory.mktemp("home")) as found:
        yield found


def test_the_file_is_the_document(found: Home):
    assert json.loads(page.DOCUMENT.read_text()) == found.document, "`make openapi` writes it anew; read the difference"


def test_every_operation_is_described(found: Home):
    there = list(operations(found.document))
    assert len(there) >= 13
    assert [str(one) for one in there if not one.spec.get("tags")] == []
    assert [str(one) for one in there if not one.spec.get("description", "").strip()] == []
    assert [name for name, count in Counter(one.spec["operationId"] for one in there).items() if count > 1] == []


def test_every_operation_tells_of_its_refusals(found: Home):
    """Those of the door, and of whatever it takes; each as a problem document with its code."""
    for operation in operations(found.document):
        answers = operation.spec["responses"]
        wanted = {"401", "403"} if operation.spec.get("security") else set()
        assert wanted <= answers.keys(), operation
        for status, answer in answers.items():
            if status >= "400" and answer.get("content"):
                assert "application/problem+json" in answer["content"], (operation, status)
        assert any(status < "400" for status in answers), operation


def test_every_json_of_an_operation_has_an_example_that_holds(found: Home):
    checked = 0
    for operation in operations(found.document):
        for what, schema, media in _json_of(operation):
            examples = examples_of(found.document, schema)
            given = [(schema, one["value"]) for one in media.get("examples", {}).values()]
            given += [(schema, media["example"])] if "example" in media else []
            assert examples or given, f"{operation}: no example of its {what}"
            for of, example in [*examples, *given]:
                whole = {**of, "components": found.document["components"]}
                jsonschema.Draft202012Validator(whole).validate(example)
                checked += 1
    assert checked >= 2


def _json_of(operation: Operation):
    """(what, schema, media) of the JSON that is sent and answered."""
    body = operation.spec.get("requestBody", {}).get("content", {})
    told = [("body", media) for kind, media in body.items() if kind == "application/json"]
    for status, answer in operation.spec["responses"].items():
        content = answer.get("content", {}) if status < "300" else {}
        told += [(f"answer {status}", media) for kind, media in content.items() if kind == "application/json"]
    return [(what, media["schema"], media) for what, media in told]


def test_every_operation_has_its_line_in_the_page(found: Home):
    lines = page.asked()
    assert len(lines) >= 3
    there = [one for one in operations(found.document) if not BY_PROGRAMS_ALONE & set(one.spec.get("tags", []))]
    missing = [str(one) for one in there if not any(one.matches(*line) for line in lines)]
    assert missing == []
    unknown = [line for line in lines if not any(one.matches(*line) for one in operations(found.document))]
    assert [line for line in unknown if line[1] not in ("/docs", "/openapi.json")] == []


def test_who_may_what_is_as_the_page_says(found: Home):
    told = page.may(found)
    assert page.shown_table() == page.role_table(told), "`make openapi` writes it anew; read the difference"
    for operation, by_token in told.items():
        assert by_token["none"] == by_token["revoked"], operation
        assert by_token["admin"], operation
        for role in ROLES:
            below = [by_token[one] for one in ROLES if covers(role, one)]
            assert by_token[role] or not any(below), f"{operation}: a higher role may less"


def test_who_has_no_token_may_look_at_the_health_alone(found: Home):
    """And at pages that hold nothing; and may sign in."""
    is_open = {str(operation) for operation, by_token in page.may(found).items() if by_token["none"]}
    pages = {"GET /", "GET /watch/{camera}", "GET /publish/{camera}"}
    assert is_open == {"GET /healthz", "GET /readyz", "GET /metrics", "POST /api/v1/session"} | pages


def test_a_method_that_is_not_there_is_told_all_that_are(found: Home):
    methods: dict[str, set[str]] = {}
    for operation in operations(found.document):
        methods.setdefault(operation.path, set()).add(operation.method)
    with found.client() as client:
        for path, there in methods.items():
            answer = client.request("PROPFIND", path.replace("{", "").replace("}", ""))
            assert answer.status_code == 405, path
            assert set(answer.headers["allow"].split(", ")) == there, path


def test_every_program_of_the_page_runs(found: Home):
    programs = page.blocks("python")
    assert programs
    for program in programs:
        ended = page.run_python(program, found)
        assert ended.returncode == 0, program + ended.stdout[-3000:] + ended.stderr[-3000:]


def test_every_line_of_the_page_runs(found: Home):
    ended = page.run_shell(found)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
