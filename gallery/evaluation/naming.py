"""Embeddings of labelled photos -> how often each way of naming is right, by the functions that name people in service.

Blocks for seconds to a minute, CPU. Nothing is kept of the photos.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from gallery.evaluation.open_set import F64, Named, NamingRates, Trial, naming_rates, trials
from gallery.index.faiss_index import FaceIndex
from gallery.matching.aggregate import Aggregation
from gallery.matching.decide import Candidates, decide
from gallery.people import Templates
from recognition.evaluation import error_rates
from recognition.evaluation.error_rates import Bools, Ints

FPIRS = (1e-2, 1e-3)
ENROLLED: dict[str, int | None] = {"one": 1, "three": 3, "all": None}
_LOWEST = -1.0  # a threshold that everything passes: what is left out even so, no threshold brings back


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say of matching."""

    aggregation: Aggregation
    margin: float
    top_k: int


@dataclass(frozen=True, slots=True)
class Naming:
    """rates by way of naming, by how many photos each is enrolled with (ENROLLED) and by FPIR; and what they are of."""

    rules: Rules
    people_to_find: int
    genuine_probes: int
    impostor_probes: int
    rates: dict[str, dict[str, dict[float, NamingRates]]]


def measure_naming(photos: error_rates.Templates, is_enrolled: Bools, rules: Rules) -> Naming:
    """is_enrolled (people,): who is it first, before the halves change places. Raises UnsupportedRuntime without FAISS."""
    rates: dict[str, dict[str, dict[float, NamingRates]]] = {}
    for enrolled, most in ENROLLED.items():
        halves = trials(photos, is_enrolled, most)
        told = [dict(_ways(photos, trial, rules)) for trial in halves]
        for way in told[0]:
            pairs = [(trial, named[way]) for trial, named in zip(halves, told, strict=True)]
            rates.setdefault(way, {})[enrolled] = naming_rates(photos.people, pairs, FPIRS)
    genuine = np.concatenate([trial.genuine for trial in halves])
    return Naming(
        rules=rules,
        people_to_find=len(np.unique(photos.people[genuine])),
        genuine_probes=len(genuine),
        impostor_probes=sum(len(trial.impostors) for trial in halves),
        rates=rates,
    )


def _ways(photos: error_rates.Templates, trial: Trial, rules: Rules) -> Iterator[tuple[str, Named]]:
    enrolled = gallery_of(photos, trial)
    for aggregation in get_args(Aggregation):
        index = FaceIndex.of(enrolled, aggregation)
        found = _candidates(index, photos, trial, rules.top_k)
        yield aggregation, _named(found, photos, trial, 0.0)
        if aggregation == rules.aggregation:
            yield "margin", _named(found, photos, trial, rules.margin)


def gallery_of(photos: error_rates.Templates, trial: Trial) -> Templates:
    """The enrolled photos; a person's id is the number."""
    rows = trial.enrolled
    owners = tuple(map(str, photos.people[rows].tolist()))
    return Templates("evaluated", np.arange(len(rows)), owners, photos.embeddings[rows])


def _candidates(
    index: FaceIndex, photos: error_rates.Templates, trial: Trial, top_k: int
) -> tuple[list[Candidates], list[Candidates]]:
    """Of the genuine probes and of the impostors."""
    genuine, impostors = (
        index.search_people(photos.embeddings[rows], top_k) for rows in (trial.genuine, trial.impostors)
    )
    return genuine, impostors


def _named(
    found: tuple[Sequence[Candidates], Sequence[Candidates]], photos: error_rates.Templates, trial: Trial, margin: float
) -> Named:
    genuine = _scores(found[0], margin, photos.people[trial.genuine])
    genuine[~photos.found[trial.genuine]] = -np.inf
    return Named(genuine, _scores(found[1], margin, None))


def _scores(found: Sequence[Candidates], margin: float, right: Ints | None) -> F64:
    """The highest threshold at which each is named (as `right` (k,) says, where that is given); -inf: at none."""
    scores = np.full(len(found), -np.inf)
    for row, candidates in enumerate(found):
        match = decide([candidates], _LOWEST, margin)
        if match.outcome == "known" and (right is None or match.person_id == str(right[row])):
            scores[row] = match.similarity
    return scores
