"""/api/v1/rerank: a probe and candidates with ids in, a score in 0..1 for each id out. Stateless."""

import asyncio
from typing import Any

import orjson
from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from gallery.errors import RerankFailed, RerankInputInvalid
from gallery.matching.rerank import MOST_CANDIDATES, Reranked, Reranker
from gallery.matching.rerank_kernel import Neighbourhood
from streamer.access.guard import needs
from streamer.api.body_limits import NUMBERS
from streamer.api.errors import EmbeddingInvalid
from streamer.api.inference.large_json import limited
from streamer.api.inference.vectors import Id, Vector, rows_of
from streamer.api.problem_answers import problem_answers

_AT_ONCE = 16  # bodies in memory; others wait their turn of some milliseconds


class RerankCandidate(BaseModel):
    """`id` may be there several times, as a person's templates are: the best of them is its score."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: Id
    embedding: Vector


class RerankRequest(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "probe": [0.6, 0.8, 0.0],
                "candidates": [{"id": "ada", "embedding": [0.6, 0.7, 0.1]}, {"id": "bob", "embedding": [-0.8, 0.6, 0]}],
                "threshold": None,
            }
        },
    )

    probe: Vector
    candidates: list[RerankCandidate] = Field(max_length=MOST_CANDIDATES)
    threshold: float | None = Field(
        default=None, ge=0, le=1, description="from which score on it is a match; null: `gallery.rerank_threshold`'s"
    )
    diagnostics: bool = False


class RerankScore(BaseModel):
    id: Id
    score: float = Field(ge=0, le=1)
    is_match: bool


class RerankDiagnostics(BaseModel):
    """`latency_ms`: of the re-ranking alone. `candidates`: how many embeddings there were; `k1`, `k2`: how many
    neighbours counted, of whom they were averaged."""

    latency_ms: float
    candidates: int
    ids: int
    matches: int
    dim: int
    k1: int
    k2: int


class RerankAnswer(BaseModel):
    """The best first; equal ones by id. Scores of two requests compare only where the candidates are the same."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "scores": [
                    {"id": "ada", "score": 0.95, "is_match": True},
                    {"id": "bob", "score": 0.15, "is_match": False},
                ],
                "threshold": 0.6,
            }
        }
    )

    scores: list[RerankScore]
    threshold: float
    diagnostics: RerankDiagnostics | None = Field(default=None, description="where they are asked for")


def routes(reranker: Reranker) -> APIRouter:
    places = asyncio.Semaphore(_AT_ONCE)
    rerank = APIRouter(
        prefix="/api/v1/rerank",
        tags=["rerank"],
        route_class=limited(lambda: places),
        dependencies=[Depends(needs("operator"))],
    )

    @rerank.post(
        "",
        response_model=RerankAnswer,
        response_model_exclude_unset=True,
        responses=problem_answers(EmbeddingInvalid, RerankInputInvalid, RerankFailed),
        dependencies=[Depends(NUMBERS)],
    )
    async def rerank_candidates(asked: RerankRequest) -> Response:
        """How far each candidate is the probe's person, by whose neighbours they share (docs/rerank.md)."""
        answer = await asyncio.to_thread(_answer, reranker, asked)
        return Response(orjson.dumps(answer), media_type="application/json")

    return rerank


def _answer(reranker: Reranker, asked: RerankRequest) -> dict[str, Any]:
    """Raises EmbeddingInvalid, RerankInputInvalid, RerankFailed."""
    rows = rows_of([asked.probe, *(one.embedding for one in asked.candidates)], _name_of)
    given = {repr(one.id): one.id for one in asked.candidates}  # the number 1 is not the text "1"
    ids = [repr(one.id) for one in asked.candidates]
    found = reranker.rerank(rows[0], ids, rows[1:], asked.threshold)
    scores = [{"id": given[who], "score": score, "is_match": is_match} for who, score, is_match in found.scores]
    answer: dict[str, Any] = {"scores": scores, "threshold": found.threshold}
    return answer | {"diagnostics": _diagnostics(found, rows.shape[1])} if asked.diagnostics else answer


def _diagnostics(found: Reranked, dim: int) -> dict[str, Any]:
    counted = Neighbourhood.among(found.candidates)
    return {
        "latency_ms": round(found.latency_ms, 3),
        "candidates": found.candidates,
        "ids": len(found.scores),
        "matches": found.matches,
        "dim": dim,
        "k1": counted.k1,
        "k2": counted.k2,
    }


def _name_of(row: int) -> str:
    return "the probe" if row == 0 else f"candidate {row - 1}"
