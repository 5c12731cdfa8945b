"""Bodies that come as JSON or as forms: what photos are called, and what the OpenAPI document says of them."""

from io import BytesIO
from pathlib import Path

import jsonschema
import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.datastructures import FormData, UploadFile

from recognition.errors import ImageTooLarge
from recognition.image import MAX_BYTES
from streamer.api.uploads import body, described, described_form, fields_of, file_of, photos_of


class Inner(BaseModel):
    number: int


class Outer(BaseModel):
    inner: Inner
    more: list[Inner] = []


class Fields(BaseModel):
    name: str
    tags: list[str] = []


def upload(name: str | None, content: bytes = b"x") -> UploadFile:
    return UploadFile(BytesIO(content), size=len(content), filename=name)


@pytest.mark.parametrize(
    ("given", "called"),
    [
        (["a.jpg", "b.jpg"], ["a.jpg", "b.jpg"]),
        (["a.jpg", "a.jpg", "a.jpg"], ["a.jpg", "a.jpg (2)", "a.jpg (3)"]),
        (["a (3)", "a", "a"], ["a (3)", "a", "a (3) (3)"]),
        (["../../etc/passwd", "C:\\photos\\ada.jpg"], ["passwd", "ada.jpg"]),
        (["", None, "/"], ["image 1", "image 2", "image 3"]),
        (["a\nb\x00.jpg", "é" * 300 + ".jpg"], ["ab.jpg", "é" * 96 + ".jpg"]),
    ],
)
def test_each_photo_is_called_by_its_filename_and_once(given, called):
    form = FormData([("images", upload(name)) for name in given])
    assert list(photos_of(form)) == [Path(name) for name in called]


def test_photos_are_read_from_the_beginning_each_time():
    (item,) = photos_of(FormData([("images", upload("a.jpg", b"abc"))])).items()
    path, read = item
    assert read(path).digest == read(path).digest


def test_a_photo_that_is_too_large_is_not_read():
    sent = UploadFile(BytesIO(b""), size=MAX_BYTES + 1, filename="a.jpg")
    (item,) = photos_of(FormData([("images", sent)])).items()
    with pytest.raises(ImageTooLarge, match=r"a\.jpg"):
        item[1](item[0])


@pytest.mark.parametrize("form", [FormData([]), FormData([("images", "text")]), FormData([("other", upload("a"))])])
def test_forms_without_photos(form):
    with pytest.raises(RequestValidationError):
        photos_of(form)


@pytest.mark.parametrize("files", [[], ["text"], [upload("a"), upload("b")]])
def test_one_file_is_wanted(files):
    with pytest.raises(RequestValidationError):
        file_of(FormData([("file", one) for one in files]), "file")


def test_fields_beside_files():
    form = FormData([("name", "Ada"), ("tags", "a"), ("images", upload("a")), ("tags", "b")])
    assert fields_of(form, Fields, ["images"], ["tags"]) == Fields(name="Ada", tags=["a", "b"])


@pytest.mark.parametrize("items", [[("name", "a"), ("name", "b")], [("tags", "a")], [("name", upload("a"))]])
def test_fields_that_say_it_wrong(items):
    with pytest.raises(RequestValidationError) as raised:
        fields_of(FormData(items), Fields, ["images"], ["tags"])
    assert raised.value.errors()[0]["loc"] == ("body", "name")


def test_a_schema_is_whole_in_itself():
    told = body(json=described(Outer), form=described_form(Fields, {"images": "many", "file": "one"}))
    content = told["requestBody"]["content"]
    assert "$ref" not in str(content)
    jsonschema.validate({"inner": {"number": 1}, "more": [{"number": 2}]}, content["application/json"]["schema"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"inner": {"number": "x"}}, content["application/json"]["schema"])
    form = content["multipart/form-data"]["schema"]
    assert form["required"] == ["name", "images", "file"]
    assert form["properties"]["images"]["items"] == form["properties"]["file"] == {"type": "string", "format": "binary"}
    assert described_form(None, {"images": "many"})["required"] == ["images"]
