"""Photos of named people -> galleries with their probes, and what was said of these -> error rates. Pure NumPy.

Half of the people are enrolled, the others are strangers; then the halves change places, so that everybody is both and
rare rates have probes enough. A rate is None where too few probes could tell it. Terms after ISO/IEC 19795-1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recognition.evaluation.error_rates import Bools, Ints, Templates

F64 = NDArray[np.float64]

_PROBES_OF = 4  # every fourth photo of a person is a probe, at least one
_RESAMPLED = 200
_SEED = 16


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """Rows of the photos: enrolled (g,), one person's together; probes of these people (k,); those of others (m,)."""

    enrolled: Ints
    genuine: Ints
    impostors: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Named:
    """What became of a trial's probes, as the highest threshold at which it would: genuine (k,) named rightly,
    impostors (m,) named at all; -inf where at none."""

    genuine: F64
    impostors: F64


@dataclass(frozen=True, slots=True)
class NamingRates:
    """At `threshold` no more than the asked share of impostors is named; a share `fnir` of genuine probes not rightly.

    low, high: 95 % of such figures over other people of their kind (bootstrap over people, threshold and all).
    None each: too few impostors, or nobody to find. people: who is to be found; probes of them, and impostors.
    """

    fnir: float | None
    threshold: float | None
    low: float | None
    high: float | None
    people: int
    probes: int
    impostors: int


def trials(templates: Templates, is_enrolled: Bools, most: int | None) -> tuple[Trial, Trial]:
    """Both ways round; is_enrolled (people,) says who is it first. `most` photos of each are enrolled, None: all.

    The last quarter of a person's photos, at least one of two, is never enrolled and probes the gallery whatever
    `most` is, so that figures can be compared. A photo without a face is enrolled by nobody, and as a genuine probe it
    counts as missed.
    """
    return _trial(templates, is_enrolled, most), _trial(templates, ~is_enrolled, most)


def _trial(templates: Templates, is_enrolled: Bools, most: int | None) -> Trial:
    enrolled, genuine = [np.empty(0, np.intp)], [np.empty(0, np.intp)]
    for rows in np.split(np.arange(len(templates.people)), templates.first_photos[1:]):
        if not len(rows) or not is_enrolled[templates.people[rows[0]]]:
            continue
        probes = max(1, len(rows) // _PROBES_OF) if len(rows) > 1 else 0
        kept = rows[: len(rows) - probes]
        enrolled.append(kept[templates.found[kept]][:most])
        genuine.append(rows[len(rows) - probes :])
    strangers = ~is_enrolled[templates.people] & templates.found
    return Trial(np.concatenate(enrolled), np.concatenate(genuine), np.flatnonzero(strangers))


def naming_rates(
    people: Ints, halves: Sequence[tuple[Trial, Named]], fpirs: Sequence[float]
) -> dict[float, NamingRates]:
    """The rates of several trials as one, one threshold for all of them. people (n,): whose the photos are.

    Of the genuine probes each person counts once, of the impostors each photo.
    """
    whose_genuine = np.concatenate([people[trial.genuine] for trial, _ in halves])
    genuine = np.concatenate([named.genuine for _, named in halves])
    whose_impostors = np.concatenate([people[trial.impostors] for trial, _ in halves])
    impostors = np.concatenate([named.impostors for _, named in halves])
    photos = np.bincount(whose_genuine, minlength=int(people.max(initial=-1)) + 1)
    once = 1 / photos[whose_genuine]
    falling = np.argsort(-impostors, kind="stable")
    impostors, whose_impostors = impostors[falling], whose_impostors[falling]
    random = np.random.default_rng(_SEED)
    resampled = [
        np.bincount(random.integers(len(photos), size=len(photos)), minlength=len(photos)) for _ in range(_RESAMPLED)
    ]

    counts = int((photos > 0).sum()), len(genuine), len(impostors)

    def rates(fpir: float) -> NamingRates:
        everybody = np.ones(len(photos))
        threshold = _threshold(impostors, everybody[whose_impostors], fpir)
        if threshold is None or not len(genuine):
            return NamingRates(None, None, None, None, *counts)
        fnirs = []
        for times in (everybody, *resampled):
            weights = once * times[whose_genuine]
            at = _threshold(impostors, times[whose_impostors], fpir)
            fnirs.append(1.0 if at is None else float(weights[genuine < at].sum() / max(weights.sum(), 1e-9)))
        low, high = np.quantile(fnirs[1:], (0.025, 0.975))
        return NamingRates(fnirs[0], threshold, float(low), float(high), *counts)

    return {fpir: rates(fpir) for fpir in fpirs}


def _threshold(falling: F64, weights: NDArray[np.generic], fpir: float) -> float | None:
    """Just above the highest score that must not pass; None where a single one of the probes would be too many."""
    passed = np.cumsum(weights)
    if not len(passed) or fpir * passed[-1] < 1 - 1e-6:
        return None
    place = int(np.searchsorted(passed, fpir * passed[-1] + 1e-6, side="right"))
    if place == len(falling):
        return -1.0
    return max(-1.0, float(np.nextafter(falling[place], np.inf)))
