"""What is null in an example, which FastAPI leaves out, is in it again; nothing else is."""

import pytest
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict

from streamer.api.contract.examples import with_whole_examples


class Box(BaseModel):
    left: int
    note: str | None


class Shown(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": None,
                "box": {"left": 1, "note": None},
                "boxes": [{"left": 2, "note": None}, {"left": 3, "note": "x"}],
                "by_name": {"a": None},
                "boxes_by_name": {"a": {"left": 4, "note": None}, "b": {"left": 5, "note": "y"}},
            }
        }
    )

    name: str | None
    box: Box | None
    boxes: list[Box]
    by_name: dict[str, int | None]
    boxes_by_name: dict[str, Box]
    hint: str | None = None
    number: int = 7


class Plain(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": {"number": 1}})

    number: int


@pytest.mark.parametrize(
    ("model", "example"),
    [
        (
            Shown,
            {
                "name": None,
                "box": {"left": 1, "note": None},
                "boxes": [{"left": 2, "note": None}, {"left": 3, "note": "x"}],
                "by_name": {},
                "boxes_by_name": {"a": {"left": 4, "note": None}, "b": {"left": 5, "note": "y"}},
            },
        ),
        (Plain, {"number": 1}),
        (Box, None),
    ],
)
def test_examples_are_whole(model: type[BaseModel], example: object):
    app = FastAPI()

    @app.get("/", response_model=model)
    async def show() -> None: ...

    schemas = with_whole_examples(app.openapi())["components"]["schemas"]
    assert schemas[model.__name__].get("example") == example


def test_a_document_without_schemas():
    assert with_whole_examples({"paths": {}}) == {"paths": {}}
