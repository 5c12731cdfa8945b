"""Matching beside bare FAISS: 64 faces a call against galleries of three sizes, with all that a name depends on.

Nothing goes in, the key `gallery` of the machine-readable output comes out. Blocks for a minute, on one thread.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np

from gallery.index.faiss_index import FaceIndex
from gallery.matching.decide import Match, Rule, decide
from gallery.matching.negatives import Negatives
from gallery.people import Templates
from recognition.arrays import F32
from streamer.bench.gallery.crowd import SPACE, Somebody, faces, probes
from streamer.settings import GallerySettings

SIZES = (1_000, 10_000, 100_000)
PROBES = 64
EACH = 4  # templates a person; and, beside it, one
_NEGATIVE_EACH = 10  # one of so many people has one
_LIKENESS, _LOOK_ALIKE = 0.8, 0.5  # the cosine of a template, and of a negative, to the person's face
_THRESHOLD = 0.3
_ROUNDS = 10


def run_matching(sizes: Sequence[int] = SIZES) -> dict[str, Any]:
    """By the count of templates: what a call takes, ms; its share of bare FAISS with the same templates, by CPU time,
    which neighbours disturb least (of four templates a person, and of one); how many of those that are named are named
    as comparing with everybody in float64 has it.
    """
    return {
        str(size): _measured(size, EACH) | {"share_of_bare_one_each": _measured(size, 1)["share_of_bare"]}
        for size in sizes
    }


def _measured(size: int, each: int) -> dict[str, float]:
    rules = GallerySettings()
    people = faces(size // each)
    templates = _seen_anew(np.repeat(people, each, axis=0), _LIKENESS) if each > 1 else people
    owners = tuple(Somebody(number // each).id for number in range(len(templates)))
    asked = probes(people, PROBES)
    index = FaceIndex.of(Templates(SPACE, np.arange(len(templates)), owners, templates), rules.aggregation)
    negatives = Negatives(_negatives(people))

    def ours() -> list[Match]:
        found = index.search_people(asked, rules.top_k, doubted=negatives.people, rule=Rule(_THRESHOLD, rules.margin))
        return [decide([one], _THRESHOLD, rules.margin) for one in negatives.against(found, asked)]

    def bare() -> None:
        faiss.knn(asked, templates, rules.top_k, metric=faiss.METRIC_INNER_PRODUCT)

    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        took, alone = _by_turns(ours, bare, calls=min(max(300_000 // len(templates), 3), 30))
    finally:
        faiss.omp_set_num_threads(threads)
    nearest = (asked.astype(np.float64) @ people.T.astype(np.float64)).argmax(axis=1)
    met = [match.person_id == Somebody(int(nearest[row])).id for row, match in enumerate(ours()) if row % 10]
    return {
        "p50_ms": round(took.p50_ms, 3),
        "p99_ms": round(took.p99_ms, 3),
        "share_of_bare": round(alone.cpu_ms / took.cpu_ms, 3),
        "recall": round(sum(met) / len(met), 4),
    }


@dataclass(frozen=True, slots=True)
class _Took:
    """A call in the best of the rounds: by the clock p50 and p99, and of CPU time p50, ms."""

    p50_ms: float
    p99_ms: float
    cpu_ms: float


def _by_turns(*works: Callable[[], object], calls: int) -> list[_Took]:
    """Each so often, round by round. The best round counts."""
    rounds: list[list[tuple[float, float, float]]] = [[] for _ in works]
    for _ in range(_ROUNDS):
        for work, found in zip(works, rounds, strict=True):
            took_s, cpu_s = [], []
            for _ in range(calls):
                began_s, began_cpu_s = time.perf_counter(), time.thread_time()
                work()
                took_s.append(time.perf_counter() - began_s)
                cpu_s.append(time.thread_time() - began_cpu_s)
            p50, p99 = np.percentile(took_s, [50, 99])
            found.append((1000.0 * float(p50), 1000.0 * float(p99), 1000.0 * float(np.median(cpu_s))))
    return [_Took(*min(found)[:2], min(cpu for _, _, cpu in found)) for found in rounds]


def _seen_anew(people: F32, likeness: float) -> F32:
    """(n,d) unit vectors, each with a cosine of about that to its person's."""
    rng = np.random.default_rng([5, len(people)])
    noise = rng.standard_normal(people.shape, np.float32)
    noise *= np.sqrt(1.0 - likeness**2) / np.linalg.norm(noise, axis=1, keepdims=True)
    seen = np.float32(likeness) * people + noise
    return np.asarray(seen / np.linalg.norm(seen, axis=1, keepdims=True), np.float32)


def _negatives(people: F32) -> Templates:
    """A face like each of some people, spread over all, that is not theirs."""
    rows = np.arange(0, len(people), _NEGATIVE_EACH)
    who = tuple(Somebody(int(row)).id for row in rows)
    return Templates(SPACE, np.arange(len(rows)), who, _seen_anew(people[rows], _LOOK_ALIKE))
