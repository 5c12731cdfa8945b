"""What is wrong with a request is told with what to send instead, whoever reads its body."""

from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict

from streamer.access.guard import needs
from streamer.api.uploads import body, described, described_form, fields_of, file_of, form_of, json_of
from tests.streamer.api.v1.api import served


class Named(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    tags: list[str] = []


def _routes() -> APIRouter:
    routes = APIRouter(prefix="/try", dependencies=[Depends(needs("viewer"))])

    @routes.post("/read-by-fastapi")
    async def fastapi(named: Named, n: Annotated[int, "in the query"] = 0) -> Any:
        return {"n": n, "name": named.name}

    @routes.post("/read-by-us", openapi_extra=body(json=described(Named)))
    async def ours(request: Request) -> Any:
        return (await json_of(request, Named)).name

    @routes.post("/form", openapi_extra=body(form=described_form(Named, {"photo": "one"})))
    async def form(request: Request) -> Any:
        async with form_of(request, 3) as sent:
            file_of(sent, "photo")
            return fields_of(sent, Named, ["photo"]).name

    return routes


PHOTO = {"photo": ("a.jpg", b"x")}


@pytest.mark.parametrize(
    ("path", "sent", "detail"),
    [
        ("read-by-fastapi", {"json": {}}, "body.name: it is missing"),
        ("read-by-us", {"json": {}}, "body.name: it is missing"),
        (
            "read-by-fastapi",
            {"json": {"name": "a", "age": 7}},
            "body.age: there is no such field; there are name, tags",
        ),
        ("read-by-us", {"json": {"name": "a", "age": 7}}, "body.age: there is no such field; there are name, tags"),
        (
            "form",
            {"data": {"name": "a", "age": 7}, "files": PHOTO},
            "body.age: there is no such field; there are name, tags, photo",
        ),
        (
            "form",
            {"data": {"name": "a"}, "files": {"image": PHOTO["photo"]}},
            "body.photo: it is missing: give one file by this name",
        ),
        (
            "read-by-fastapi",
            {"content": "{name: a}", "headers": {"content-type": "application/json"}},
            "body: it is no JSON from character 1 on",
        ),
        (
            "read-by-fastapi",
            {"data": {"name": "a"}},
            "body: it is to be a JSON object, sent with Content-Type: application/json",
        ),
        ("read-by-fastapi", {"json": [1]}, "body: it is to be a JSON object"),
        ("read-by-fastapi", {}, "body: it is missing"),
        ("read-by-fastapi?n=x", {"json": {"name": "a"}}, "query.n: Input should be a valid integer"),
    ],
)
async def test_a_fault_says_what_to_send(tmp_path, path, sent, detail):
    async with served(tmp_path, [_routes()]) as api:
        answer = await api.ask("POST", f"/try/{path}", **sent)
    assert (answer.status_code, answer.json()["code"]) == (422, "request_invalid")
    assert answer.json()["detail"].startswith(detail)
