"""Embeddings of labelled photos -> how often each way of naming is right, by the functions that name people in service.

Blocks for seconds to a minute, CPU. Nothing is kept of the photos.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import numpy as np

from gallery.classifier.classifier import PersonClassifier
from gallery.classifier.dataset import LEAST_OF_A_CLASS, Dataset
from gallery.evaluation.open_set import F64, Named, NamingRates, Trial, naming_rates, trials
from gallery.index.faiss_index import FaceIndex
from gallery.matching.aggregation import Aggregation
from gallery.matching.decide import Match, decide
from gallery.matching.reconsider import NeighbourCheck
from gallery.matching.rerank import Reranker
from gallery.people import Templates
from recognition.evaluation import error_rates
from recognition.evaluation.error_rates import Bools, Ints

Way = Aggregation | Literal["margin", "rerank", "margin_of_classes", "classifier"]

FPIRS = (1e-2, 1e-3)
ENROLLED: dict[str, int | None] = {"one": 1, "three": 3, "all": None}
_LOWEST = -1.0  # a threshold that everything passes: what is left out even so, no threshold brings back
_SPACE = "evaluated"


class _Said(NamedTuple):
    """Who a probe is where the threshold is no higher than the similarity; None: nobody."""

    person_id: str | None
    similarity: float


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say of matching. rerank_bar: as NeighbourCheck has it. classifies: whether a classifier is
    trained, which needs scikit-learn.
    """

    aggregation: Aggregation
    margin: float
    top_k: int
    rerank_bar: float | None
    classifies: bool


@dataclass(frozen=True, slots=True)
class Naming:
    """rates by way of naming, by how many photos each is enrolled with (ENROLLED) and by FPIR.

    A classifier can find people with two enrolled photos alone; it and `margin_of_classes`, the matcher beside it, have
    galleries of them alone, and no rates where there are not two such people.
    """

    rules: Rules
    rates: dict[Way, dict[str, dict[float, NamingRates]]]


def measure_naming(photos: error_rates.Templates, is_enrolled: Bools, rules: Rules) -> Naming:
    """is_enrolled (people,): who is it first, before the halves change places.

    Raises UnsupportedRuntime without FAISS.
    """
    rates: dict[Way, dict[str, dict[float, NamingRates]]] = {}
    for enrolled, most in ENROLLED.items():
        told: dict[Way, list[tuple[Trial, Named]]] = {}
        for trial in trials(photos, is_enrolled, most):
            for way, held, named in _ways(photos, trial, rules):
                told.setdefault(way, []).append((held, named))
        for way, halves in told.items():
            rates.setdefault(way, {})[enrolled] = naming_rates(photos.people, halves, FPIRS)
    return Naming(rules, rates)


def _ways(photos: error_rates.Templates, trial: Trial, rules: Rules) -> Iterator[tuple[Way, Trial, Named]]:
    for aggregation in get_args(Aggregation):
        yield aggregation, trial, by_matching(photos, trial, replace(rules, aggregation=aggregation, margin=0.0))
    yield "margin", trial, by_matching(photos, trial, rules)
    check = NeighbourCheck(Reranker(), rules.rerank_bar, lambda _: None)
    yield "rerank", trial, by_matching(photos, trial, rules, check)
    classes = _of_classes(photos, trial)
    if rules.classifies and len(np.unique(photos.people[classes.enrolled])) >= LEAST_OF_A_CLASS:
        yield "margin_of_classes", classes, by_matching(photos, classes, rules)
        yield "classifier", classes, _by_classifier(photos, classes, rules)


def _of_classes(photos: error_rates.Templates, trial: Trial) -> Trial:
    """The part of a trial that is of people with two enrolled photos."""
    sizes = np.bincount(photos.people[trial.enrolled], minlength=len(photos.first_photos))
    has_class = sizes >= LEAST_OF_A_CLASS
    enrolled, genuine = (rows[has_class[photos.people[rows]]] for rows in (trial.enrolled, trial.genuine))
    return Trial(enrolled, genuine, trial.impostors)


def by_matching(
    photos: error_rates.Templates, trial: Trial, rules: Rules, check: NeighbourCheck | None = None
) -> Named:
    """One trial by the gallery: aggregation and margin, and re-ranking where there is a check."""
    owners = _ids(photos, trial.enrolled)
    templates = Templates(_SPACE, np.arange(len(owners)), owners, photos.embeddings[trial.enrolled])
    index = FaceIndex.of(templates, rules.aggregation)

    def matches(rows: Ints) -> Iterator[Match]:
        probes = photos.embeddings[rows]
        for row, found in enumerate(index.search_people(probes, rules.top_k)):
            match = decide([found], _LOWEST, rules.margin)
            if check is not None and match.person_id is not None:
                theirs = index.templates_of(found.similarities)
                match = check.reconsidered(match, [found], probes[row : row + 1], [1.0], theirs)
            yield match

    def said(rows: Ints) -> list[_Said]:
        return [_Said(match.person_id, match.similarity) for match in matches(rows)]

    return _named(photos, trial, said(trial.genuine), said(trial.impostors))


def _by_classifier(photos: error_rates.Templates, trial: Trial, rules: Rules) -> Named:
    from gallery.classifier.fitting import fit  # needs scikit-learn

    ids = _ids(photos, trial.enrolled)
    dataset = Dataset.of(photos.embeddings[trial.enrolled], ids)
    fitted = fit(dataset, calibrates=False)
    classifier = PersonClassifier(fitted, dataset.person_ids, _SPACE, "", "")

    def said(rows: Ints) -> list[_Said]:
        predictions = classifier.predict_ids(photos.embeddings[rows], _LOWEST)
        return [_Said(one.person_id if one.lead >= rules.margin else None, one.similarity) for one in predictions]

    return _named(photos, trial, said(trial.genuine), said(trial.impostors))


def _ids(photos: error_rates.Templates, rows: Ints) -> tuple[str, ...]:
    return tuple(map(str, photos.people[rows].tolist()))


def _named(photos: error_rates.Templates, trial: Trial, genuine: Sequence[_Said], impostors: Sequence[_Said]) -> Named:
    owners, found = _ids(photos, trial.genuine), photos.found[trial.genuine]
    right = [one.person_id == who for one, who in zip(genuine, owners, strict=True)]
    return Named(np.where(np.array(right, np.bool_) & found, _scores(genuine), -np.inf), _scores(impostors))


def _scores(said: Sequence[_Said]) -> F64:
    """The highest threshold at which each is a name, -inf where there is none."""
    return np.array([-np.inf if one.person_id is None else one.similarity for one in said], np.float64)
