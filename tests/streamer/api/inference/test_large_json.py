"""Bodies that orjson reads, and requests that need a place before theirs is read."""

from contextlib import asynccontextmanager

import pytest
from fastapi import APIRouter, Depends
from pydantic import BaseModel

from recognition.errors import Overloaded
from streamer.access.guard import needs
from streamer.api.inference.large_json import LargeJsonRoute, limited
from tests.streamer.api.v1.api import refusal, served


class Sent(BaseModel):
    numbers: list[float]


def adding(route_class) -> APIRouter:
    router = APIRouter(route_class=route_class, dependencies=[Depends(needs("viewer"))])

    @router.post("/add")
    async def add(sent: Sent) -> float:
        return sum(sent.numbers)

    return router


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"numbers": [1, 2.5, -1e3]}', 200),
        (b'{"numbers": [NaN]}', 422),
        (b'{"numbers": [1]', 422),
        (b"\xff\xfe", 422),
    ],
)
async def test_json_is_json(tmp_path, body, status):
    async with served(tmp_path, [adding(LargeJsonRoute)]) as api:
        answer = await api.ask("POST", "/add", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert answer.json() == -996.5 if status == 200 else answer.json()["code"] == "request_invalid"


async def test_who_has_no_place_is_told_so_whatever_the_body(tmp_path):
    there = 0

    @asynccontextmanager
    async def place():
        nonlocal there
        if there:
            raise Overloaded("no place")
        there += 1
        try:
            yield
        finally:
            there -= 1

    async with served(tmp_path, [adding(limited(place))]) as api:
        assert (await api.ask("POST", "/add", json={"numbers": [1]})).json() == 1
        assert refusal(await api.ask("POST", "/add", json={})) == (422, "request_invalid")
        assert there == 0, "given back, whatever became of it"
        there = 1
        assert refusal(await api.ask("POST", "/add", content=b"{")) == (429, "overloaded")
