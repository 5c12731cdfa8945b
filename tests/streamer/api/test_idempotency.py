"""Writes that are sent again with the same Idempotency-Key, over a real server: the first answer, and nothing twice."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from streamer.access.guard import Caller, needs
from streamer.api import idempotency
from streamer.api.application import create_app
from streamer.api.idempotency import DAY_S, FirstAnswers
from streamer.api.problems import problem
from streamer.api.server import serve_http
from streamer.settings import HttpSettings
from streamer.telemetry.metrics import Metrics
from tests.streamer.access.keys import guard_with_tokens
from tests.streamer.api.v1.api import Api, Looked, refusal

Anybody = Annotated[Caller, Depends(needs("viewer"))]
POST = "/things"


class Counter:
    """What was done, and a door that holds requests up."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.entered = asyncio.Event()
        self.door = asyncio.Event()
        self.now = 0.0


def routes(counter: Counter) -> APIRouter:
    things = APIRouter()

    @things.post("/things")
    @things.patch("/things")
    @things.delete("/things")
    @things.get("/things")
    async def thing(_: Anybody, request: Request) -> JSONResponse:
        body = (await request.body()).decode()
        counter.done.append(f"{request.method} {body}")
        return JSONResponse({"number": len(counter.done), "for": body}, 201, {"Location": "/things/1"})

    @things.post("/slow")
    async def slow(_: Anybody, says: str = "slow") -> str:
        counter.entered.set()
        await counter.door.wait()
        counter.done.append("slow")
        return says

    @things.delete("/api/v1/people/{person}")
    async def forget(_: Anybody, person: str) -> JSONResponse:
        counter.done.append(person)
        return problem(409, "person_ambiguous", person) if person == "Ada" else JSONResponse({"forgotten": person})

    @things.post("/fails/{status}")
    async def fails(_: Anybody, status: int) -> JSONResponse:
        counter.done.append(str(status))
        if status == 500:
            raise ValueError("a fault of ours")
        return problem(status, "some_code", "no")

    @things.post("/large/{size}")
    async def large(_: Anybody, size: int) -> JSONResponse:
        counter.done.append(str(size))
        return JSONResponse("x" * size)

    @things.post("/unread")
    async def unread(_: Anybody) -> int:
        counter.done.append("unread")
        return len(counter.done)

    return things


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def answers(counter) -> FirstAnswers:
    return FirstAnswers(lambda: counter.now)


@pytest.fixture
async def api(counter, answers, tmp_path) -> AsyncIterator[Api]:
    metrics = Metrics()
    guard, headers = guard_with_tokens(tmp_path, metrics)
    app = create_app(Looked(guard, metrics), [routes(counter)], HttpSettings(), answers)
    async with (
        serve_http(app, "127.0.0.1", 0) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        yield Api(client, headers)


def key(value: str) -> dict[str, str]:
    return {"Idempotency-Key": value}


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
async def test_the_first_answer_is_repeated_and_nothing_done_twice(api, counter, method):
    first, second, bare = [
        await api.ask(method, POST, content=b"a", headers=key(one)) for one in ('"8e03"', '"8e03"', "8e03")
    ]
    assert counter.done == [f"{method} a"]
    assert [answer.status_code for answer in (first, second, bare)] == [201] * 3
    assert first.content == second.content == bare.content
    assert second.headers["location"] == "/things/1"
    assert ("idempotency-replayed" in first.headers, second.headers["idempotency-replayed"]) == (False, "true")


@pytest.mark.parametrize(
    ("method", "path", "role", "value"),
    [
        ("PATCH", POST, "admin", "k"),
        ("POST", "/unread", "admin", "k"),
        ("POST", POST, "operator", "k"),
        ("POST", POST, "admin", "K"),
    ],
)
async def test_of_another_method_path_token_or_key_it_is_another(api, counter, method, path, role, value):
    await api.ask("POST", POST, content=b"a", headers=key("k"))
    await api.ask(method, path, role, content=b"a", headers=key(value))
    assert len(counter.done) == 2


async def test_reads_and_writes_without_a_key_are_done_each_time(api, counter):
    for _ in range(2):
        await api.ask("GET", POST, headers=key("k"))
        await api.ask("POST", POST, content=b"a")
    assert len(counter.done) == 4


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [(POST, b"b", None), (POST, b"", None), (f"{POST}?more", b"a", None), (POST, b"a", "text/plain")],
)
async def test_another_request_under_the_same_key(api, counter, path, body, kind):
    await api.ask("POST", POST, content=b"a", headers=key("k"))
    headers = key("k") | ({"Content-Type": kind} if kind else {})
    answer = await api.ask("POST", path, content=body, headers=headers)
    assert refusal(answer) == (422, "idempotency_key_reused")
    assert counter.done == ["POST a"]


@pytest.mark.parametrize("size", [1, 70_000, 300_000])
async def test_a_form_that_is_sent_again_has_another_boundary_and_is_the_same(api, counter, size):
    def form(data: bytes, boundary: str) -> dict:
        kind = f"multipart/form-data; boundary={boundary}"
        part = b'Content-Disposition: form-data; name="images"; filename="1.jpg"\r\n\r\n' + data
        content = f"--{boundary}\r\n".encode() + part + f"\r\n--{boundary}--\r\n".encode()
        return {"content": content, "headers": key("k") | {"Content-Type": kind}}

    photo = b"\x00-\xff" * size
    await api.ask("POST", "/unread", **form(photo, "a" * 20))
    same = await api.ask("POST", "/unread", **form(photo, "b" * 24))
    assert (same.status_code, same.headers["idempotency-replayed"]) == (200, "true")
    other = await api.ask("POST", "/unread", **form(photo[:-1] + b"x", "b" * 24))
    assert refusal(other) == (422, "idempotency_key_reused")
    assert counter.done == ["unread"]


async def test_while_the_first_is_under_way(api, counter):
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(api.ask("POST", "/slow", headers=key("k")))
        await counter.entered.wait()
        busy = await api.ask("POST", "/slow", headers=key("k"))
        assert refusal(busy) == (409, "idempotency_key_busy")
        assert int(busy.headers["retry-after"]) > 0
        counter.door.set()
    again = await api.ask("POST", "/slow", headers=key("k"))
    assert (again.content, again.headers["idempotency-replayed"]) == (first.result().content, "true")
    assert counter.done == ["slow"]


@pytest.mark.parametrize(("status", "times"), [(404, 1), (409, 1), (422, 1), (408, 2), (429, 2), (500, 2), (503, 2)])
async def test_what_may_pass_is_tried_again_and_what_is_settled_is_not(api, counter, status, times):
    for _ in range(2):
        assert (await api.ask("POST", f"/fails/{status}", headers=key("k"))).status_code == status
    assert len(counter.done) == times


@pytest.mark.parametrize("value", ["", '""', "x" * 256, "schlüssel"])
async def test_a_key_that_is_none(api, counter, value):
    raw = [(b"Idempotency-Key", value.encode()), *((k.encode(), v.encode()) for k, v in api.headers["admin"].items())]
    answer = await api.client.post(POST, headers=raw)
    assert refusal(answer) == (400, "idempotency_key_invalid")
    assert counter.done == []


async def test_an_answer_is_held_for_a_day(api, counter):
    for now, times in ((0.0, 1), (DAY_S - 1, 1), (DAY_S, 2)):
        counter.now = now
        await api.ask("POST", POST, content=b"a", headers=key("k"))
        assert len(counter.done) == times


async def test_few_and_small_answers_are_held_the_newest(api, counter, answers, monkeypatch):
    monkeypatch.setattr(idempotency, "MOST_ANSWERS", 3)
    for number in range(6):
        await api.ask("POST", POST, content=b"a", headers=key(f"k{number}"))
    assert len(answers) == 3
    await api.ask("POST", POST, content=b"a", headers=key("k5"))
    assert len(counter.done) == 6
    monkeypatch.setattr(idempotency, "MOST_BYTES", 910)
    await api.ask("POST", "/large/900", headers=key("l"))
    assert len(answers) == 1
    for _ in range(2):
        await api.ask("POST", f"/large/{idempotency.LARGEST_ANSWER}", headers=key("too large"))
    assert counter.done[-2:] == [str(idempotency.LARGEST_ANSWER)] * 2
    assert len(answers) == 1


async def test_of_who_is_forgotten_no_answer_is_held(api, counter, answers):
    for number, body in enumerate((b"p7f3k2m9q1xz", b"p000000000000", b"nobody")):
        await api.ask("POST", POST, content=body, headers=key(f"k{number}"))
    answers.forget(["p7f3k2m9q1xz", "p111111111111"])
    assert len(answers) == 2
    answers.forget([])
    assert len(answers) == 2


@pytest.mark.parametrize(("says", "left"), [("Ada, p7f3k2m9q1xz", 0), ("Bob, p000000000000", 1), ("nobody", 1)])
async def test_of_who_is_forgotten_meanwhile_none_is_held_either(api, counter, answers, says, left):
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(api.ask("POST", "/slow", params={"says": says}, headers=key("k")))
        await counter.entered.wait()
        answers.forget(["p7f3k2m9q1xz"])
        answers.forget(["p111111111111"])
        counter.door.set()
    assert len(answers) == left


@pytest.mark.parametrize(("person", "times"), [("p7f3k2m9q1xz", 1), ("p111111111111", 1), ("Ada", 2)])
async def test_an_erasure_that_is_sent_again_is_answered_as_the_first_time(api, counter, answers, person, times):
    for _ in range(2):
        await api.ask("DELETE", f"/api/v1/people/{person}", headers=key("k"))
        answers.forget([person])
    assert counter.done == [person] * times


async def test_the_document_tells_of_the_key(api, counter):
    paths = create_app(Looked(None, Metrics()), [routes(counter)]).openapi()["paths"]
    told = paths[POST]["post"]
    assert [one["name"] for one in told["parameters"]] == ["Idempotency-Key"]
    assert {"409", "422", "400"} <= told["responses"].keys()
    assert "parameters" not in paths[POST]["get"]
