"""What commands would do is told as the request that does it; what only a command does stays one."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.api.wording.http_means import over_http
from tests.conftest import PROJECT

HAVE_REQUESTS = re.compile(
    r"whosthere (?:people|cameras|events|identify|calibrate|models (?:list|show|use))\b"
    r"|--(?:force|pick|fpir|external-id|undo)\b"
)
# Of commands, or told by commands alone.
ELSEWHERE = tuple(
    f"streamer/{room}/" for room in ("cli", "bench", "demo", "discovery", "doctor", "setup", "api/wording")
)


def told_in(file: Path) -> Iterator[str]:
    """Each line of a module's code that a person may be told, X for what is put in."""
    tree = ast.parse(file.read_text())
    with_body = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    bodies = [one.body for one in ast.walk(tree) if isinstance(one, with_body)]
    documentation = {id(body[0].value) for body in bodies if body and isinstance(body[0], ast.Expr)}
    inner = {id(part) for one in ast.walk(tree) if isinstance(one, ast.JoinedStr) for part in one.values}
    for one in ast.walk(tree):
        if isinstance(one, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in one.values)
        elif isinstance(one, ast.Constant) and isinstance(one.value, str) and id(one) not in documentation | inner:
            yield one.value


def test_no_line_that_a_request_may_meet_names_a_command_which_has_a_request():
    files = [file for package in ("recognition", "gallery", "streamer") for file in (PROJECT / package).rglob("*.py")]
    told = [
        (str(file.relative_to(PROJECT)), line)
        for file in files
        if not str(file.relative_to(PROJECT)).startswith(ELSEWHERE)
        for line in told_in(file)
        if HAVE_REQUESTS.search(line)
    ]
    assert len(told) > 15
    assert [one for one in told if HAVE_REQUESTS.search(over_http(one[1]))] == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("take the largest with --pick largest", "take the largest with `pick=largest`"),
        ("or use --force if this is another person", "or send `force=true` if this is another person"),
        (
            "nobody called 'x' is enrolled; see whosthere people list",
            "nobody called 'x' is enrolled; see GET /api/v1/people",
        ),
        ("p1 is enrolled already; see whosthere people show p1", "p1 is enrolled already; see GET /api/v1/people/p1"),
        ("see whosthere people photos p1 for the numbers", "see GET /api/v1/people/p1/photos for the numbers"),
        (
            "p1 has no negative 3; see whosthere people show p1 for the numbers",
            "p1 has no negative 3; see GET /api/v1/people/p1/negatives for the numbers",
        ),
        (
            "take it away first: whosthere people remove-photo p1 3",
            "take it away first: DELETE /api/v1/people/p1/photos/3",
        ),
        (
            "there is no spec of this name; see whosthere models list",
            "there is no spec of this name; see GET /api/v1/models",
        ),
        (
            "hidden (`whosthere cameras reset door` undoes that)",
            "hidden (`POST /api/v1/cameras/door/reset` undoes that)",
        ),
        ("change it by `whosthere cameras set door url=...`", "change it by `PUT /api/v1/cameras/door`"),
        ("`whosthere events --since 8h` lists those", "`GET /api/v1/events` lists those"),
        ("--fpir 2: give a share of strangers between 0 and 1", "`fpir` 2: give a share of strangers between 0 and 1"),
        (
            "take the wrong one away first, with people set --external-id none",
            "take the wrong one away first, by PATCH /api/v1/people/PERSON with external_id null",
        ),
        ("restore it: whosthere gallery restore FILE", "restore it: whosthere gallery restore FILE"),
        ("whosthere gallery reindex", "whosthere gallery reindex"),
    ],
)
def test_commands_are_told_as_requests(line, told):
    assert over_http(line) == told
