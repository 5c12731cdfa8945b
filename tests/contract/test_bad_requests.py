"""What a client may get wrong, or do on purpose, over a real service: a clear problem document with a stable code,
nothing lost, no traceback, bounded memory.
"""

import base64
import json
import socket
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from tests.contract.home import PHOTOS, Home, home
from tests.faces import KNOWN

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

MANY = 1_000
MOST_GROWN_MIB = 250


def png(width: int, height: int, rows: int) -> bytes:
    """Black; of `rows` alone there are pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes((width + 1) * rows), 9)), (b"IEND", b"")]
    told = [struct.pack(">I", len(data)) + kind + data for kind, data in parts]
    sums = [struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(one + crc for one, crc in zip(told, sums, strict=True))


PHOTO = PHOTOS["ada.jpg"].read_bytes()
BAD_IMAGES = {
    "cut short": (PHOTO[: len(PHOTO) // 2], "image_cut_short"),
    "empty": (b"", "image_empty"),
    "a text": (b"no image at all\n" * 40, "image_unreadable"),
    "a hundred megapixels": (png(10_000, 10_000, 10_000), "image_too_large"),
    "a bomb": (png(65_000, 65_000, 3), "image_too_large"),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    with home(tmp_path_factory.mktemp("home")) as found:
        before = memory_mib(found)
        yield found
        assert memory_mib(found) - before < MOST_GROWN_MIB
        assert faults(found) == []


def memory_mib(found: Home) -> float:
    return float(psutil.Process(found.service.pid).memory_info().rss / 2**20)


def faults(found: Home) -> list[dict[str, Any]]:
    return [line for line in found.service.log() if line["level"] in ("error", "critical") or "exception" in line]


def refusal(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


def named(name: str, images: list[bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    return [(name, (f"{number}.jpg", image)) for number, image in enumerate(images)]


@pytest.mark.parametrize(("image", "code"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_an_image_that_is_none_is_named_and_the_good_one_beside_it_kept(found: Home, image: bytes, code: str):
    with found.client() as client:
        answer = client.post("/api/v1/embeddings", files=named("images", [image, PHOTO]))
        assert answer.status_code == 200, answer.text
        bad, good = answer.json()["images"]
        assert bad["error"]["code"] == code
        assert len(good["faces"]) == 1

        (bad, good) = client.post("/api/v1/identify", files=named("images", [image, PHOTO])).json()["images"]
        assert bad["error"]["code"] == code
        assert len(good["faces"]) == 1

        assert refusal(client.post("/api/v1/face-recognition/extract-embedding", files={"image": image}))[1] == code

        answer = client.post("/api/v1/people", data={"name": code}, files=named("images", [image, PHOTO]))
        assert answer.status_code == 201, answer.text
        assert code in answer.text
        (person,) = [one for one in found.people() if one["name"] == code]
        assert person["photos"] == 1
        answer = client.post(f"/api/v1/people/{person['id']}/photos", files=named("images", [image]))
        assert answer.status_code == 422 if code != "image_too_large" else 413, answer.text
        assert code in answer.text
        client.delete(f"/api/v1/people/{person['id']}").raise_for_status()


@pytest.mark.parametrize("rubbish", ["", "*", "AAA", "data:image/jpeg;base64,", "é", "A" * 4_001, "\0"])
def test_base64_with_rubbish_in_it(found: Home, rubbish: str):
    good = base64.b64encode(PHOTO).decode()
    with found.client() as client:
        answer = client.post("/api/v1/embeddings", json={"images": [rubbish, good, good[:-3] + "*==", good + rubbish]})
    assert answer.status_code == 200, answer.text
    first, whole, broken, *_ = answer.json()["images"]
    assert len(whole["faces"]) == 1
    for one in (first, broken):
        assert one["error"]["code"], one


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b'{"images": "no list"}', "application/json"),
        (b'{"images": []}', "application/json"),
        (b'{"images": [7, null]}', "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"\xff\xfe", "application/json"),
        (b"--x\r\nContent-Disposition: form-data; name=images\r\n\r\n", "multipart/form-data; boundary=x"),
        (b"no multipart", "multipart/form-data; boundary=x"),
        (b"no multipart", "multipart/form-data"),
        (b"x" * 1000, "text/plain"),
        (b"", ""),
    ],
)
@pytest.mark.parametrize("path", ["embeddings", "rerank", "identify", "people", "face-recognition/extract-embedding"])
def test_a_body_that_is_none(found: Home, path: str, body: bytes, kind: str):
    with found.client() as client:
        answer = client.post(f"/api/v1/{path}", content=body, headers={"Content-Type": kind} if kind else {})
    status, code = refusal(answer)
    assert 400 <= status < 500
    assert code


def test_a_thousand_images(found: Home):
    """Counted before they are looked at."""
    tiny = png(2, 2, 2)
    with found.client() as client:
        for path in ("/api/v1/embeddings", "/api/v1/identify"):
            status, code = refusal(client.post(path, files=named("images", [tiny] * MANY)))
            assert status in (400, 413, 422), (path, code)
        given = base64.b64encode(tiny).decode()
        assert refusal(client.post("/api/v1/embeddings", json={"images": [given] * MANY}))[0] in (413, 422)


@pytest.mark.parametrize(
    "numbers",
    [
        [],
        [1.0] * 511,
        [1.0] * 1024,
        [0.0] * 512,
        [float("nan")] * 512,
        [float("inf")] * 512,
        [1e308] * 512,
        ["x"] * 512,
    ],
    ids=["none", "511", "1024", "zeros", "NaN", "infinite", "huge", "words"],
)
def test_an_embedding_that_is_none(found: Home, numbers: list[Any]):
    good = [1.0, -1.0] * 256
    asked = {
        "rerank": {"probe": good, "candidates": [{"id": "a", "embedding": numbers}, {"id": "b", "embedding": good}]},
        "face-recognition/compare-faces": {"embedding1": good, "embedding2": numbers},
        "face-recognition/match-face": {
            "query_embedding": numbers,
            "gallery_embeddings": [{"id": "a", "embedding": good}],
        },
    }
    with found.client() as client:
        for path, body in asked.items():
            content = json.dumps(body)  # NaN as Python says it, which is no JSON
            answer = client.post(f"/api/v1/{path}", content=content, headers={"Content-Type": "application/json"})
            assert refusal(answer)[0] in (400, 422), (path, answer.text)


def test_two_people_enrolled_at_once_under_one_name(found: Home):
    """One is there afterwards, whole."""

    def enrol(photo: str) -> httpx.Response:
        with found.client() as client:
            files = named("images", [PHOTOS[photo].read_bytes()])
            return client.post("/api/v1/people", data={"name": "Twin"}, files=files)

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(enrol, ("ada.jpg", "grace.jpg")))
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    (person,) = [one for one in found.people() if one["name"] == "Twin"]
    assert person["photos"] == 1
    with found.client() as client:
        client.delete(f"/api/v1/people/{person['id']}").raise_for_status()


def test_whoever_half_closes_or_leaves_is_no_trouble(found: Home):
    """After the request's end it is answered; before it, there is nobody to tell."""
    body = KNOWN.file.read_bytes()
    head = _head(found, "POST", "/api/v1/embeddings", len(body), "application/octet-stream")
    for sent in (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", head[:-20], head, head + body[:1000]):
        with closing(_connected(found)) as half:
            half.sendall(sent)
            half.shutdown(socket.SHUT_WR)
            answer = half.recv(65536)
            assert (b" 200 " in answer) is sent.startswith(b"GET"), answer[:200]
        with closing(_connected(found)) as gone:
            gone.sendall(sent)
    assert httpx.get(f"{found.url}/healthz").status_code == 200
    assert faults(found) == []


def _connected(found: Home) -> socket.socket:
    where = urlsplit(found.url)
    assert where.hostname is not None
    return socket.create_connection((where.hostname, where.port or 80), timeout=60.0)


def _head(found: Home, method: str, path: str, length: int, kind: str) -> bytes:
    token = found.tokens["admin"]
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {token}", f"Content-Length: {length}"]
    return "\r\n".join([*lines, f"Content-Type: {kind}", "", ""]).encode()
