"""Viewers that are a process of their own count each event, and tell how late it came."""

import asyncio
import json
import time

import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from streamer.api.server import serve_http
from streamer.bench.api.load import child, line_of
from streamer.errors import BenchFailed


def events_app(late_s, pieces):
    """Each viewer gets two events that happened so long ago, in so many pieces, and then nothing more."""
    app = FastAPI()

    @app.get("/live")
    async def live():
        async def stream():
            yield b"retry: 1000\n\n: nothing yet\n\n"
            for number in range(2):
                event = json.dumps({"captured_at": time.time() - late_s, "seq": number})
                text = f"id: {number}\nevent: identity\ndata: {event}\n\n".encode()
                step = -(-len(text) // pieces)
                for start in range(0, len(text), step):
                    yield text[start : start + step]
            await asyncio.Event().wait()

        return StreamingResponse(stream(), media_type="text/event-stream")

    return app


@pytest.mark.parametrize(("viewers", "late_s", "pieces"), [(1, 0.0, 1), (5, 2.0, 3), (40, 30.0, 7)])
async def test_every_viewer_hears_of_every_event(viewers, late_s, pieces):
    async with serve_http(events_app(late_s, pieces), "127.0.0.1", 0) as port, asyncio.timeout(60):
        watch = {"port": port, "path": "/live", "token": "secret", "viewers": viewers}
        async with child("streamer.bench.api.viewers_process", watch) as process:
            assert json.loads(await line_of(process)) == {"viewers": viewers}
            process.stdin.write(f"{2 * viewers}\n".encode())
            heard = json.loads(await line_of(process))
    assert heard["messages"] == 2 * viewers
    assert 1e3 * late_s <= heard["p50_ms"] <= heard["p95_ms"] <= heard["most_ms"] < 1e3 * (late_s + 30)


@pytest.mark.parametrize("path", ["/nothing", "/live/1", "/"])
async def test_who_is_not_let_in_ends_it(path):
    async with serve_http(events_app(0.0, 1), "127.0.0.1", 0) as port, asyncio.timeout(60):
        watch = {"port": port, "path": path, "token": "secret", "viewers": 2}
        async with child("streamer.bench.api.viewers_process", watch) as process:
            with pytest.raises(BenchFailed, match="ended without a result"):
                await line_of(process)
            assert await process.wait() == 1
