"""POST /api/v1/embeddings over a real server, by the project's own networks."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from recognition.align import CROP_SIZE
from recognition.recogniser import Recogniser, RecogniserConfig, open_recogniser
from streamer.api.inference import embeddings
from streamer.inference.crop_links import CropLinks
from streamer.inference.engine import InferenceEngine
from streamer.settings import EmbeddingsSettings
from tests.faces import EVERYBODY, STRANGERS, head, picture_of
from tests.streamer.api.v1.api import Api, refusal, served
from tests.twin import TWIN, write_twin

URL = "/api/v1/embeddings"


def png(picture: np.ndarray) -> bytes:
    return cv2.imencode(".png", picture)[1].tobytes()


SIX, TWO, PORTRAIT = png(picture_of(EVERYBODY[:6])), png(picture_of(STRANGERS[:2])), png(head(EVERYBODY[0]))


def form(*images: bytes) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("images", (f"{place}.png", data, "image/png")) for place, data in enumerate(images)]


def base64s(*images: bytes) -> list[str]:
    return [base64.b64encode(data).decode() for data in images]


@asynccontextmanager
async def api(folder: Path, **limits: Any) -> AsyncIterator[tuple[Api, Recogniser]]:
    settings = EmbeddingsSettings(**limits)
    config = RecogniserConfig("nano_det", "nano_embed", (folder,), device="cpu", runners=1, cpu_threads=1)
    async with open_recogniser(config) as recogniser:
        engine = InferenceEngine(recogniser, settings.max_requests)
        async with served(folder, [embeddings.routes(engine, CropLinks(settings.crop_link_s), settings)]) as made:
            yield made, recogniser


async def of_form(made: Api, *images: bytes, fields: dict[str, str] | None = None, query: str = "") -> httpx.Response:
    return await made.ask("POST", URL + query, "operator", files=form(*images), data=fields)


def faces_of(answer: httpx.Response) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [len(image["faces"]) for image in answer.json()["images"]]


async def test_images_of_a_form_and_in_base64_give_the_same(tmp_path):
    async with api(tmp_path) as (made, recogniser):
        by_form = await of_form(made, SIX, PORTRAIT)
        by_json = await made.ask("POST", URL, "operator", json={"images": base64s(SIX, PORTRAIT)})
        as_url = f"data:image/png;base64,{base64s(PORTRAIT)[0]}"
        by_url = await made.ask("POST", URL, "admin", json={"images": [as_url]})
        signature = recogniser.signature
    assert by_form.headers["content-type"] == "application/json"
    assert faces_of(by_form) == [6, 1]
    answer = by_form.json()
    assert answer["model"] == {"name": "nano_embed", "space": "nano_embed.2", "signature": signature, "size": 256}
    six, portrait = answer["images"]
    assert (six["width"], six["height"], six["error"], "detections" in six) == (960, 640, None, False)
    face = portrait["faces"][0]
    assert set(face) == {"box", "score", "landmarks", "quality", "embedding", "crop"}
    assert (len(face["box"]), np.shape(face["landmarks"]), face["crop"]) == (4, (5, 2), None)
    assert 0.3 < face["score"] <= 1
    assert 0.1 < face["quality"] <= 1
    assert np.linalg.norm(face["embedding"]) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(by_json.json()["images"][1]["faces"][0]["embedding"], face["embedding"], atol=1e-5)
    np.testing.assert_allclose(by_url.json()["images"][0]["faces"][0]["box"], face["box"], atol=0.05)


async def test_each_bad_image_has_its_error_and_the_others_their_faces(tmp_path):
    async with api(tmp_path, max_image_mib=1) as (made, _):
        mixed = await of_form(made, TWO, TWO[:900], b"", b"GIF89a", bytes(2 << 20), PORTRAIT)
        texts = [*base64s(TWO), "no base64!", "", "====", "é", base64s(PORTRAIT)[0][:-5], *base64s(b"x")]
        in_json = await made.ask("POST", URL, "operator", json={"images": texts})
        none_is_good = await of_form(made, b"x")
    assert faces_of(mixed) == [2, 0, 0, 0, 0, 1]
    errors = [image["error"] for image in mixed.json()["images"]]
    assert errors[0] is errors[5] is None
    assert [(error["code"], error["status"]) for error in errors[1:5]] == [
        ("image_cut_short", 422),
        ("image_empty", 422),
        ("image_unreadable", 422),
        ("image_too_large", 413),
    ]
    assert all(error["detail"].startswith(f"images[{place}] ") for place, error in enumerate(errors[1:5], 1))
    assert faces_of(in_json) == [2, 0, 0, 0, 0, 0, 0]
    codes = [image["error"] and image["error"]["code"] for image in in_json.json()["images"]]
    unreadable = "image_unreadable"
    assert codes == [None, unreadable, "image_empty", unreadable, unreadable, codes[5], unreadable]
    assert codes[5] in ("image_unreadable", "image_cut_short")
    assert faces_of(none_is_good) == [0]


@pytest.mark.parametrize("value", ["1", "[]", '""', "{}"])
async def test_values_by_the_million_are_not_even_parsed(tmp_path, monkeypatch, value):
    def parsed(*_: object, **__: object) -> None:
        pytest.fail("it was parsed")

    monkeypatch.setattr(embeddings, "parsed", parsed)
    body = b'{"images":[' + b",".join([value.encode()] * 100_000) + b"]}"
    async with api(tmp_path) as (made, _):
        answer = await made.ask("POST", URL, "operator", content=body, headers={"Content-Type": "application/json"})
    assert refusal(answer) == (413, "too_many_images")


async def test_as_many_images_as_may_be_are_parsed_whatever_their_form(tmp_path):
    async with api(tmp_path, max_images=40) as (made, _):
        texts = [f"data:image/png;name=a,b;base64,{one}" for one in base64s(PORTRAIT[:50]) * 40]
        answer = await made.ask("POST", URL, "operator", json={"images": texts, "crop": "none", "thorough": False})
    assert faces_of(answer) == [0] * 40


async def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path):
    bomb = png(np.zeros((10, 10, 3), np.uint8))
    bomb = bomb[:16] + (20_000).to_bytes(4, "big") * 2 + bomb[24:]
    async with api(tmp_path) as (made, _):
        answer = await of_form(made, bomb, PORTRAIT)
    assert faces_of(answer) == [0, 1]
    assert answer.json()["images"][0]["error"]["code"] == "image_too_large"


async def test_options_in_the_query_and_in_the_body_whose_word_counts(tmp_path):
    write_twin(tmp_path)
    async with api(tmp_path) as (made, recogniser):
        plain = (await of_form(made, PORTRAIT)).json()["images"][0]["faces"][0]["embedding"]
        for answer in (
            await of_form(made, PORTRAIT, query=f"?normalize=false&detections=true&model={TWIN}"),
            await of_form(made, PORTRAIT, fields={"normalize": "false", "detections": "1", "model": TWIN}),
            await of_form(made, PORTRAIT, fields={"model": TWIN}, query="?normalize=no&detections=on&model=unknown"),
            await made.ask(
                *("POST", URL, "operator"),
                json={"images": base64s(PORTRAIT), "normalize": False, "detections": True, "model": TWIN},
            ),
        ):
            image = answer.json()["images"][0]
            assert answer.json()["model"]["name"] == TWIN
            assert len(image["detections"]) > 1
            assert set(image["detections"][0]) == {"box", "score", "landmarks"}
            raw = np.array(image["faces"][0]["embedding"])
            assert abs(np.linalg.norm(raw) - 1) > 0.1
            np.testing.assert_allclose(raw / np.linalg.norm(raw), plain, atol=1e-4)
        assert recogniser.embedder.name == "nano_embed"


@pytest.mark.parametrize(
    ("by_default", "query", "is_there"),
    [
        (False, "", False),
        (False, "?return_aligned=true", True),
        (False, "?crop=inline", True),
        (True, "", True),
        (True, "?return_aligned=false", False),
        (True, "?crop=none&return_aligned=true", False),
    ],
)
async def test_crops_come_with_the_answer_where_they_are_wanted(tmp_path, by_default, query, is_there):
    async with api(tmp_path, return_aligned=by_default) as (made, _):
        crops = [face["crop"] for face in (await of_form(made, TWO, query=query)).json()["images"][0]["faces"]]
    assert [crop is not None for crop in crops] == [is_there] * 2
    for crop in filter(None, crops):
        kind, _, data = crop.partition(",")
        assert kind == "data:image/jpeg;base64"
        assert cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), 1).shape == (CROP_SIZE, CROP_SIZE, 3)


async def test_crops_by_link_hold_for_a_while_and_only_for_who_may(tmp_path):
    (tmp_path / "brief").mkdir()
    async with api(tmp_path) as (made, _), api(tmp_path / "brief", crop_link_s=1e-6) as (brief, _):
        links = [face["crop"] for face in (await of_form(made, TWO, query="?crop=link")).json()["images"][0]["faces"]]
        assert len(set(links)) == 2
        got = await made.ask("GET", links[0], "operator")
        assert (got.status_code, got.headers["content-type"]) == (200, "image/jpeg")
        assert cv2.imdecode(np.frombuffer(got.content, np.uint8), 1).shape == (CROP_SIZE, CROP_SIZE, 3)
        assert refusal(await made.ask("GET", links[0], "viewer")) == (403, "role_too_low")
        assert refusal(await made.ask("GET", links[0], None)) == (401, "token_missing")
        assert refusal(await made.ask("GET", links[0][:-1] + "!", "admin")) == (404, "crop_gone")
        assert refusal(await brief.ask("GET", links[0], "admin")) == (404, "crop_gone")
        soon_gone = (await of_form(brief, TWO, query="?crop=link")).json()["images"][0]["faces"][0]["crop"]
        assert refusal(await brief.ask("GET", soon_gone, "admin")) == (404, "crop_gone")


@pytest.mark.parametrize(
    ("sent", "wanted"),
    [
        ({"json": {"images": []}}, (422, "request_invalid")),
        ({"json": {}}, (422, "request_invalid")),
        ({"json": {"images": "abc"}}, (422, "request_invalid")),
        ({"json": {"images": [1, None]}}, (422, "request_invalid")),
        ({"json": {"images": ["eA=="], "surprise": 1}}, (422, "request_invalid")),
        ({"json": {"images": ["eA=="], "crop": "some"}}, (422, "request_invalid")),
        ({"json": {"images": ["eA=="], "model": "nobody"}}, (404, "model_not_found")),
        ({"json": {"images": ["eA=="], "model": "nano_det"}}, (404, "model_not_found")),
        ({"json": ["eA=="]}, (422, "request_invalid")),
        ({"json": {"images": ["eA=="] * 5}}, (413, "too_many_images")),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, (422, "request_invalid")),
        ({"content": b"[" * 100_000, "headers": {"content-type": "application/json"}}, (422, "request_invalid")),
        ({"content": b"x", "headers": {"content-type": "text/plain"}}, (415, "media_type_unsupported")),
        ({"content": b"x"}, (415, "media_type_unsupported")),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, (400, "bad_request")),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data; boundary=b"}}, (400, "bad_request")),
        ({"files": form(b"x") * 5}, (413, "too_many_images")),
        ({"files": form(b"x") * 1000}, (413, "too_many_images")),
        ({"files": [("photos", ("a.png", b"x", "image/png"))]}, (422, "request_invalid")),
        ({"files": form(b"x"), "data": {"surprise": "1"}}, (422, "request_invalid")),
        ({"files": form(b"x"), "data": {"normalize": "perhaps"}}, (422, "request_invalid")),
        ({"files": {"model": (None, "nano_embed")}}, (422, "request_invalid")),
        ({"files": {"images": (None, "text")}}, (422, "request_invalid")),
        ({"json": {"images": ["e" * (2 << 20)]}}, (413, "body_too_large")),
    ],
)
async def test_requests_that_are_refused_whole(tmp_path, sent, wanted):
    async with api(tmp_path, max_images=4, max_request_mib=1) as (made, _):
        assert refusal(await made.ask("POST", URL, "operator", **sent)) == wanted
        assert faces_of(await of_form(made, PORTRAIT)) == [1]


@pytest.mark.parametrize("query", ["?surprise=1", "?normalize=perhaps", "?crop=all", f"?model={'m' * 101}"])
async def test_a_query_that_is_not_known_is_refused(tmp_path, query):
    async with api(tmp_path) as (made, _):
        assert refusal(await of_form(made, PORTRAIT, query=query)) == (422, "request_invalid")


@pytest.mark.parametrize(
    ("role", "wanted"), [(None, (401, "token_missing")), ("viewer", (403, "role_too_low")), ("operator", None)]
)
async def test_who_may(tmp_path, role, wanted):
    async with api(tmp_path) as (made, _):
        answer = await made.ask("POST", URL, role, files=form(PORTRAIT))
    assert (answer.status_code == 200) if wanted is None else (refusal(answer) == wanted)


async def test_beyond_its_places_a_request_is_told_to_come_again_before_its_body_is_read(tmp_path):
    async with api(tmp_path, max_requests=1) as (made, _):
        begun, go_on = asyncio.Event(), asyncio.Event()

        kind = "multipart/form-data; boundary=b"

        async def ask_slowly() -> httpx.Response:
            request = httpx.Request("POST", "http://x", files=form(PORTRAIT), headers={"content-type": kind})
            body = request.read()

            async def parts() -> AsyncIterator[bytes]:
                yield body[:100]
                begun.set()
                await go_on.wait()
                yield body[100:]

            return await made.ask("POST", URL, "operator", content=parts(), headers={"content-type": kind})

        first = asyncio.ensure_future(ask_slowly())
        async with asyncio.timeout(10):
            await begun.wait()
            refused = await of_form(made, PORTRAIT)
            while refused.status_code == 200:  # the first one's head was not there yet
                refused = await of_form(made, PORTRAIT)
        assert refusal(refused) == (429, "overloaded")
        assert int(refused.headers["retry-after"]) > 0
        go_on.set()
        assert faces_of(await first) == [1]
        assert faces_of(await of_form(made, PORTRAIT)) == [1]
