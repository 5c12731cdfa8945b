"""Parts of a benchmark: one that fails is told, and the others stand."""

import asyncio

import pytest

from streamer.bench.parts import Parts, why_of
from streamer.errors import BenchFailed


async def test_what_fails_is_told_in_its_place_and_the_others_stand():
    said = []
    parts = Parts(said.append)

    async def broken():
        raise BenchFailed("no event was heard; choose a clip with faces")

    assert await parts.run("first", asyncio.sleep(0, 7)) == 7
    assert await parts.run("second", broken()) is None
    assert parts.call("third", lambda: 1 / 0) is None
    assert parts.call("fourth", lambda: "fine") == "fine"
    parts.fail("fifth", "nobody came")
    assert parts.document() == {
        "failed": [
            {"part": "second", "why": "no event was heard; choose a clip with faces"},
            {"part": "third", "why": "ZeroDivisionError: division by zero"},
            {"part": "fifth", "why": "nobody came"},
        ]
    }
    assert said[0] == "second: FAILED: no event was heard; choose a clip with faces"


async def test_whoever_stops_the_benchmark_stops_it():
    async def stopped():
        raise asyncio.CancelledError

    parts = Parts(lambda _: None)
    with pytest.raises(asyncio.CancelledError):
        await parts.run("part", stopped())
    with pytest.raises(KeyboardInterrupt):
        parts.call("part", _interrupt)
    assert parts.failed == []


def _interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (BenchFailed("one\n  line"), "one line"),
        (ExceptionGroup("several", [ValueError("odd"), BenchFailed("plain")]), "plain"),
        (ExceptionGroup("several", [ExceptionGroup("more", [KeyError("k")])]), "KeyError: 'k'"),
        (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device"),
        (TimeoutError(), "TimeoutError"),
        (RuntimeError("rtsp://me:secret@host/x is gone"), "RuntimeError: rtsp://***@host/x is gone"),
    ],
)
def test_why_is_one_line_without_logins(error, why):
    assert why_of(error) == why
