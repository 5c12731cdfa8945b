"""Answers that go on for ever, opened with whatever their parameters and headers may be, and left again. Blocks."""

from collections.abc import Iterator

import httpx

from tests.contract.home import CAMERA, Home
from tests.contract.operations import Operation

STRANGE = [
    "",
    "nothing",
    CAMERA,
    "-1",
    "1e400",
    "true",
    "nan",
    "é" * 300,
    "\0",
    "x" * 5000,
    "2026-11-30T12:00:00Z",
    "0",
]
HEADERS = [
    {},
    {"Accept": "application/json"},
    {"Accept": "text/event-stream;q=0"},
    *({"Last-Event-ID": given} for given in (b"", b"0", b"-1", b"9" * 400, b"x", "é".encode())),
]


def opened(found: Home, operation: Operation) -> Iterator[tuple[str, int, str]]:
    """What was asked, the status, the media type without its parameters."""
    names = [one["name"] for one in operation.spec.get("parameters", []) if one["in"] == "query"]
    paths = [operation.path.replace("{camera}", camera) for camera in (CAMERA, "nothing", "%00", "x" * 300)]
    asked = [(path, {}, {}) for path in paths]
    asked += [(paths[0], {name: given}, {}) for name in names for given in STRANGE]
    asked += [(paths[0], {}, headers) for headers in HEADERS]
    with found.client() as client:
        for path, query, headers in asked:
            with client.stream(operation.method, path, params=httpx.QueryParams(query), headers=headers) as answer:
                kind = answer.headers.get("content-type", "").partition(";")[0]
                yield f"{path[:60]} {query!s:.60} {headers!s:.60}", answer.status_code, kind
