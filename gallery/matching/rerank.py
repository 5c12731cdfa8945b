"""Re-ranking as callers meet it: a probe and candidates with ids in, a score in 0..1 by id out. Stateless; any thread.

Whatever comes is looked at here; the kernel behind it (`rerank_kernel`, or a user's `rerank_library`) is loaded once.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gallery.errors import RerankInputInvalid, ThresholdInvalid
from gallery.matching.rerank_kernel import Kernel, Neighbourhood, rerank_scores
from recognition.arrays import F32

MOST_CANDIDATES = 1000  # each is compared with each: .1 s and 30 MiB, where all are equal 1 s
DEFAULT_THRESHOLD = 0.6  # docs/rerank.md has what it lets through
_UNIT = 1e-6  # squares of lengths so near to 1 are 1


class Score(NamedTuple):
    """How far the candidates of this id are the probe's person: 0..1, 1 the same face."""

    id: str
    score: float
    is_match: bool


@dataclass(frozen=True, slots=True)
class Reranked:
    """A score for each id, the best first, equal ones by id, held to `threshold`; and, for who wants to know, what it
    took and of how many embeddings."""

    scores: tuple[Score, ...]
    threshold: float
    latency_ms: float
    candidates: int

    @property
    def matches(self) -> int:
        return sum(score.is_match for score in self.scores)


@dataclass(frozen=True, slots=True)
class Reranker:
    """`threshold`: the score from which on a candidate is a match, where a call gives none."""

    threshold: float = DEFAULT_THRESHOLD
    kernel: Kernel = rerank_scores

    @property
    def trouble(self) -> str:
        """What the user's kernel failed at a moment ago; empty where all is well, and always of the built-in one."""
        return str(getattr(self.kernel, "trouble", ""))

    def rerank(
        self, probe: ArrayLike, ids: Sequence[str], embeddings: ArrayLike, threshold: float | None = None
    ) -> Reranked:
        """Score each id by the best of its embeddings, of which it may have several: a person's templates.

        probe (d,) and embeddings (n,d), one an id: numbers of any length but 0, all of one space; their directions
        alone count. n may be 0. What comes out is the same bits in whatever order the candidates are given; a score
        depends on all of them, so scores of two calls compare only where the candidates are the same. Raises
        RerankInputInvalid, ThresholdInvalid, and what the kernel raises.
        """
        began_s = time.perf_counter()
        bar = self.threshold if threshold is None else checked_threshold(threshold)
        face, others = _checked(probe, ids, embeddings)
        best: dict[str, float] = {}
        if len(others):
            order = _order(ids, others)
            scores = self.kernel(_points(face, others, order), Neighbourhood.among(len(others)))
            for row, score in zip(order, scores.tolist(), strict=True):
                if score > best.get(ids[row], -1.0):
                    best[ids[row]] = score
        ranked = sorted(best.items(), key=itemgetter(1), reverse=True)  # by id before, and where equal still
        told = tuple([Score(who, score, score >= bar) for who, score in ranked])
        return Reranked(told, bar, 1000.0 * (time.perf_counter() - began_s), len(others))


def checked_threshold(threshold: float) -> float:
    """Raises ThresholdInvalid unless it is a number from 0 to 1."""
    if not isinstance(threshold, int | float) or not 0.0 <= threshold <= 1.0:
        raise ThresholdInvalid(f"re-ranking's threshold: want a number from 0 to 1, got {threshold!r:.40}")
    return float(threshold)


def _checked(probe: ArrayLike, ids: Sequence[str], embeddings: ArrayLike) -> tuple[F32, F32]:
    """(d,) and (n,d), each row with a length that can be divided by."""
    if len(ids) > MOST_CANDIDATES:
        raise RerankInputInvalid(
            f"{len(ids)} candidates are too many to re-rank; give the nearest {MOST_CANDIDATES} at most"
        )
    face, others = _numbers(probe, "the probe"), _numbers(embeddings, "the candidates")
    if face.ndim != 1 or not face.size:
        raise RerankInputInvalid(f"the probe: want one row of numbers, got the shape {face.shape}")
    if not len(ids) and not others.size:
        others = others.reshape(0, len(face))
    if others.shape != (len(ids), len(face)):
        raise RerankInputInvalid(
            f"the candidates: want {len(ids)} (one an id) of {len(face)} numbers as the probe has, got the shape "
            f"{others.shape}"
        )
    for rows, what in ((face[np.newaxis], "the probe"), (others, "candidate {}")):
        squares = _squares(rows)
        usable = np.isfinite(squares) & (squares > 0)
        if not usable.all():
            raise RerankInputInvalid(
                f"{what.format(int(np.argmin(usable)))}: all zeros, or not all numbers: no direction"
            )
    return face, others


def _numbers(values: ArrayLike, what: str) -> F32:
    try:
        with np.errstate(over="ignore"):
            return np.asarray(values, np.float32)
    except (TypeError, ValueError, OverflowError):
        raise RerankInputInvalid(f"{what}: want rows of numbers, all of one length") from None


def _squares(rows: F32) -> F32:
    """(n,): of the rows' lengths. What float32 can't hold is infinite, or 0."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return np.asarray(np.einsum("ij,ij->i", rows, rows), np.float32)


def _order(ids: Sequence[str], embeddings: F32) -> list[int]:
    """One that follows from the candidates alone: the last bits of sums depend on it."""
    rows = range(len(ids))
    if len(set(ids)) == len(ids):
        return sorted(rows, key=ids.__getitem__)
    return sorted(rows, key=lambda row: (ids[row], embeddings[row].tobytes()))


def _points(face: F32, others: F32, order: Sequence[int]) -> F32:
    """(n+1,d): the probe and the candidates in this order, each of length 1."""
    points = np.empty((len(order) + 1, len(face)), np.float32)
    points[0] = face
    np.take(others, order, axis=0, out=points[1:], mode="clip")  # that mode alone writes without a buffer
    squares = _squares(points)
    if np.abs(squares - 1.0).max() > _UNIT:
        points /= np.sqrt(squares)[:, np.newaxis]
    return points
