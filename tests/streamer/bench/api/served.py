"""A server of a few lines, for clients to be held to what they got."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, File, Request, Response
from fastapi.responses import JSONResponse

from streamer.api.server import serve_http


class Seen:
    """What came, and what is answered instead of an answer: statuses, the first one first. enough: `least` came."""

    def __init__(self) -> None:
        self.requests = 0
        self.images: list[bytes] = []
        self.tokens: set[str | None] = set()
        self.refusals: list[int] = []
        self.least = 0
        self.enough = asyncio.Event()


@asynccontextmanager
async def embeddings_server(seen: Seen, faces: int = 1) -> AsyncIterator[int]:
    """POST /embeddings finds so many faces in whatever it is given; its port."""
    app = FastAPI()

    @app.post("/embeddings")
    async def embeddings(request: Request, images: Annotated[list[bytes], File()]) -> Response:
        seen.tokens.add(request.headers.get("Authorization"))
        if seen.refusals:
            return Response("refused", seen.refusals.pop(0), {"Retry-After": "0"})
        seen.requests += 1
        seen.images.extend(images)
        if seen.requests >= seen.least:
            seen.enough.set()
        return JSONResponse({"images": [{"faces": [{"score": 1.0}] * faces} for _ in images]})

    @app.post("/errors")
    async def errors() -> dict[str, list[dict[str, str]]]:
        return {"images": [{"code": "image_unreadable"}]}

    async with serve_http(app, "127.0.0.1", 0) as port:
        yield port
