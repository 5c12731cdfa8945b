"""/api/v1/rerank over a real server: scores by id, both forms of embeddings, and what is no embedding."""

import base64
from pathlib import Path

import numpy as np
import pytest

from gallery.matching.rerank import MOST_CANDIDATES, Reranker
from streamer.api.inference import rerank
from tests.streamer.api.v1.api import Api, refusal, served

PATH = "/api/v1/rerank"


@pytest.fixture
async def api(tmp_path):
    async with served(tmp_path, [rerank.routes(Reranker(threshold=0.5))]) as api:
        yield api


def faces(count: int, dim: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)


def candidates(rows: np.ndarray) -> list[dict[str, object]]:
    return [{"id": f"p{number}", "embedding": row.tolist()} for number, row in enumerate(rows)]


def in_base64(row: np.ndarray) -> str:
    return base64.b64encode(row.astype("<f4").tobytes()).decode()


async def test_the_best_comes_first_as_the_reranker_has_it(api: Api) -> None:
    rows = faces(40)
    probe = rows[7] + 0.3 * rows[8]
    answer = await api.ask("POST", PATH, json={"probe": probe.tolist(), "candidates": candidates(rows)})
    assert answer.status_code == 200, answer.text
    expected = Reranker(threshold=0.5).rerank(probe, [f"p{number}" for number in range(40)], rows)
    assert answer.json() == {
        "scores": [
            {"id": one.id, "score": pytest.approx(one.score), "is_match": one.is_match} for one in expected.scores
        ],
        "threshold": 0.5,
    }
    assert answer.json()["scores"][0]["id"] == "p7"


async def test_base64_of_float32_is_the_same(api: Api) -> None:
    rows = faces(12, 512)
    numbers = {"probe": rows[0].tolist(), "candidates": candidates(rows[1:])}
    packed = [{"id": f"p{number}", "embedding": in_base64(row)} for number, row in enumerate(rows[1:])]
    answers = [
        await api.ask("POST", PATH, json=body)
        for body in (numbers, {"probe": in_base64(rows[0]), "candidates": packed}, numbers | {"candidates": packed})
    ]
    assert [answer.json() for answer in answers] == [answers[0].json()] * 3


async def test_a_threshold_of_the_request_and_diagnostics(api: Api) -> None:
    body = {"probe": [1, 0, 0], "candidates": [{"id": 7, "embedding": [1, 0, 0]}, {"id": 7, "embedding": [0, 1, 0]}]}
    answer = await api.ask("POST", PATH, json=body | {"threshold": 1, "diagnostics": True})
    assert answer.json()["scores"] == [{"id": 7, "score": 1.0, "is_match": True}]
    assert answer.json()["threshold"] == 1.0
    told = answer.json()["diagnostics"]
    assert told.pop("latency_ms") > 0
    assert told == {"candidates": 2, "ids": 1, "matches": 1, "dim": 3, "k1": 1, "k2": 1}


async def test_of_nobody_nothing(api: Api) -> None:
    answer = await api.ask("POST", PATH, json={"probe": [1.0, 2.0], "candidates": []})
    assert answer.json() == {"scores": [], "threshold": 0.5}


GOOD = [0.5, 0.5]
REFUSED = {
    "zeros": ({"probe": [0, 0], "candidates": []}, "embedding_invalid", "the probe has no direction"),
    "another length": (
        {"probe": GOOD, "candidates": [{"id": "a", "embedding": GOOD}, {"id": "b", "embedding": [1, 2, 3]}]},
        "embedding_invalid",
        "candidate 1 has 3 numbers, the probe 2",
    ),
    "no number": ({"probe": [1, "2"], "candidates": []}, "embedding_invalid", "the probe: want numbers alone"),
    "null": ({"probe": None, "candidates": []}, "embedding_invalid", "the probe: want a row of numbers"),
    "empty": ({"probe": [], "candidates": []}, "embedding_invalid", "the probe has 0 numbers"),
    "too large for float32": ({"probe": [1e39, 1], "candidates": []}, "embedding_invalid", "float32 can hold"),
    "its square too large": ({"probe": [1e38, 1], "candidates": []}, "embedding_invalid", "no direction"),
    "rubbish in base64": ({"probe": "%%%", "candidates": []}, "embedding_invalid", "is no base64"),
    "half a number in base64": ({"probe": "AAAA", "candidates": []}, "embedding_invalid", "no whole float32"),
    "NaN in base64": (
        {"probe": GOOD, "candidates": [{"id": "a", "embedding": in_base64(np.array([np.nan, 1]))}]},
        "embedding_invalid",
        "candidate 0 has no direction",
    ),
    "too many": (
        {"probe": GOOD, "candidates": [{"id": "a", "embedding": GOOD}] * (MOST_CANDIDATES + 1)},
        "request_invalid",
        "candidates",
    ),
    "threshold": ({"probe": GOOD, "candidates": [], "threshold": 1.5}, "request_invalid", "threshold"),
    "a key too many": ({"probe": GOOD, "candidates": [], "treshold": 0.5}, "request_invalid", "treshold"),
    "an id that is none": ({"probe": GOOD, "candidates": [{"id": True, "embedding": GOOD}]}, "request_invalid", "id"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_refused(api: Api, case: str) -> None:
    body, code, says = REFUSED[case]
    answer = await api.ask("POST", PATH, json=body)
    assert refusal(answer) == (422, code)
    assert says in answer.json()["detail"]


@pytest.mark.parametrize("body", [b"", b"{", b'{"probe": [NaN], "candidates": []}', b"\xff", b"[" * 5000])
async def test_what_is_no_json(api: Api, body: bytes) -> None:
    answer = await api.ask("POST", PATH, content=body, headers={"Content-Type": "application/json"})
    assert refusal(answer) == (422, "request_invalid")


async def test_not_for_viewers(api: Api) -> None:
    assert refusal(await api.ask("POST", PATH, "viewer", json={})) == (403, "role_too_low")


async def test_the_document_tells_of_both_forms(api: Api, tmp_path: Path) -> None:
    document = (await api.ask("GET", "/openapi.json")).json()
    schema = document["components"]["schemas"]["RerankRequest"]["properties"]["probe"]
    assert [form["type"] for form in schema["anyOf"]] == ["array", "string"]
