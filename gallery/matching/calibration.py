"""Calibration: from which cosine on a face is named so that no larger share of strangers is than the user wants.

What an embedder's strangers look like (ImpostorModel), how alike this gallery's people are (CrossScores) and how they
are matched go in; a threshold and what it was computed from come out, to be kept in the gallery. Pure; any thread.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gallery.errors import CalibrationTooFew, CalibrationTooRare, CalibrationUnreachable, FpirInvalid
from gallery.matching.aggregation import Aggregation
from gallery.matching.cross_scores import CrossScores
from gallery.matching.expected_rates import false_negative_rates, false_positive_rates, trust
from gallery.matching.impostors import ImpostorModel, bundled_model, usual_shape
from gallery.matching.tails import F64, GRID, Tail, place_of

# From so much more than was asked on a gallery has outgrown its threshold. What is expected is computed, so that half
# as much again is growth and no noise; it comes before the factor of two within which it is met (docs/calibration.md).
OUTGROWN = 1.5
_AS_MUCH = 0.99  # of what -1 lets through
# How many of the gallery's own pairs the tail is held to, and how many such the measured tail weighs: galleries of one
# population differ that much by chance (scripts/measure-calibration.py).
_OWN_PAIRS, _PRIOR_PAIRS = 50.0, 16.0
_COMMONEST = 0.1  # the rate down to which, at least, own scores are looked at
_PRIOR_PEOPLE = 20.0  # so many people's worth is the measured genuine tail
# Where the two quantiles lie that say how an unmeasured embedder's scores are spread.
_MIDDLE, _FAR, _FAR_PAIRS = 0.3, 0.01, 30.0


@dataclass(frozen=True, slots=True)
class Conditions:
    """What thresholds depend on besides the gallery: one that was found under others is stale.

    `signature`: the models'. `least_quality`: poorer faces are given no name.
    """

    signature: str
    aggregation: Aggregation
    margin: float
    min_quality: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Of one space. `fpir`: what was asked for; the expected rates are those at `threshold`.

    `base`: the space whose measured impostor scores, moved by shift + scale * cosine, are this gallery's; None: nobody
    measured that, and the gallery's own `pairs` alone say it. `model`: the digest of what was measured.
    `trust`: (cosine, probability) rising, how far a similarity may be trusted; empty where nobody's own scores are
    known.
    """

    space: str
    fpir: float
    threshold: float
    expected_fpir: float
    expected_fnir: float | None
    people: int
    templates: int
    pairs: int
    base: str | None
    model: str
    shift: float
    scale: float
    conditions: Conditions
    trust: tuple[tuple[float, float], ...]
    made_at: float

    def confidence(self, similarity: float, *, known: bool) -> float | None:
        """How likely the decision on a face of this similarity is right: that it is the nearest person, or is not."""
        if not self.trust:
            return None
        cosines, shares = zip(*self.trust, strict=True)
        sure = float(np.interp(similarity, cosines, shares))
        return sure if known else 1.0 - sure

    def fpir_of(
        self,
        templates: Mapping[str, int],
        own: Mapping[str, float],
        threshold: float | None = None,
        margin: float | None = None,
    ) -> float:
        """What share of strangers would be named by these people, who have so many templates, at its threshold.

        `own`: thresholds of people's own. `threshold`, `margin`: others than it was made with.
        """
        conditions = self.conditions if margin is None else replace(self.conditions, margin=margin)
        rates = _Strangers(self._base, conditions, self.shift, self.scale).rates(templates, own)
        return float(rates[place_of(self.threshold if threshold is None else threshold)])

    @property
    def is_of_other_measurements(self) -> bool:
        """The measured scores that it was made with are no longer there, or others are."""
        return self._base.digest != self.model

    @property
    def _base(self) -> ImpostorModel:
        return (bundled_model(self.base) if self.base else None) or usual_shape()


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """Over GRID, (4001,) each: what a report shows. `genuine` and `fnir` are None where nobody's are known."""

    impostor: Tail
    genuine: Tail | None
    fpir: F64
    fnir: F64 | None

    def place_at(self, fpir: float) -> int:
        """Of the lowest threshold that lets no larger share of strangers through, where there is one.

        Not by the margin alone: it is none any more where all but one person are forgotten. Where that would do, no
        lower than is of any use: whoever resembles nobody is nobody.
        """
        place = max(int(np.argmax(self.fpir <= fpir)), place_of(self.impostor.cosine_at(fpir)))
        if self.fpir[0] <= fpir:
            place = max(place, int(np.flatnonzero(self.fpir >= _AS_MUCH * self.fpir[0])[-1]))
        return place


def check_fpir(fpir: float) -> None:
    """Raises FpirInvalid unless it is a rate that can be asked for."""
    if not 0.0 < fpir < 1.0:
        raise FpirInvalid(f"--fpir {fpir:g}: give a share of strangers between 0 and 1, like 0.001 (one in a thousand)")


def calibrate(
    space: str, scores: CrossScores, conditions: Conditions, fpir: float, now: float, own: Mapping[str, float] = {}
) -> tuple[Calibration, Curves]:
    """`own`: thresholds of people's own in this space; now: Unix time in s.

    Raises FpirInvalid, CalibrationTooFew (nobody to compare with), CalibrationTooRare (3 comparisons could not tell)
    and CalibrationUnreachable (own thresholds let more through).
    """
    check_possible(space, scores.people, fpir)
    count, measured = len(scores.people), bundled_model(space)
    if measured is None:
        base, shift, scale = usual_shape(), *_spread(scores)
    else:
        base, scale = measured, 1.0
        shift = _shift(measured.impostor_tail(conditions.aggregation, scores.people.values()), scores, fpir)
    strangers = _Strangers(base, conditions, shift, scale)
    impostor, rates = strangers.tail(scores.people.values()), strangers.rates(scores.people, own)
    if rates[-1] > fpir:
        people = ", ".join(sorted(who for who in own if who in scores.people))
        raise CalibrationUnreachable(
            f"thresholds of their own ({people}) alone let {rates[-1]:.2g} of strangers be named in {space}, more than "
            f"{fpir:g}: raise them with whosthere people set, or ask for a higher --fpir"
        )
    genuine = _genuine(measured, conditions.aggregation, scores)
    missed = None if genuine is None else false_negative_rates(genuine, impostor, count, conditions.margin)
    curves = Curves(impostor, genuine, rates, missed)
    place = curves.place_at(fpir)
    found = Calibration(
        space=space,
        fpir=fpir,
        threshold=round(float(GRID[place]), 6),
        expected_fpir=float(rates[place]),
        expected_fnir=None if missed is None else float(missed[place]),
        people=count,
        templates=sum(scores.people.values()),
        pairs=scores.pairs,
        base=None if measured is None else space,
        model=base.digest,
        shift=shift,
        scale=scale,
        conditions=conditions,
        trust=() if genuine is None else _few(trust(genuine, impostor, count)),
        made_at=now,
    )
    return found, curves


def check_possible(space: str, people: Mapping[str, int], fpir: float) -> None:
    """Whether so many templates of people can tell that rate. By the rule of three: an event that none of n comparisons
    shows may still happen 3 times in n. Raises FpirInvalid, CalibrationTooFew and CalibrationTooRare.
    """
    check_fpir(fpir)
    count, measured = len(people), bundled_model(space)
    if count < 2:
        raise CalibrationTooFew(
            f"{count or 'no'} {'person has' if count == 1 else 'people have'} templates in {space}; thresholds are "
            "computed from how alike different people are: enrol two at least, or make templates of kept photos "
            "(whosthere gallery reindex)"
        )
    numbers = list(people.values())
    own = (sum(numbers) ** 2 - sum(number**2 for number in numbers)) // 2
    pairs = own if measured is None else measured.comparisons
    rarest = 3.0 / max(pairs, 1) * (1 if measured is None else count)
    if fpir < rarest:
        whose = "this gallery's own" if measured is None else "the measured"
        more = ["enrol more people"] if measured is None else []
        more += [f"ask for {_upwards(rarest):g} or more"] if rarest < 1.0 else []
        raise CalibrationTooRare(
            f"--fpir {fpir:g} is rarer than {whose} {pairs} pairs of different people can tell for {space} with "
            f"{count} people; {', or '.join(more)}"
        )


def _upwards(rate: float) -> float:
    """To two digits."""
    step = 10.0 ** (math.floor(math.log10(rate)) - 1)
    return math.ceil(rate / step - 1e-9) * step


def _shift(expected: Tail, scores: CrossScores, fpir: float) -> float:
    """By how much this gallery's people are more alike than those who were measured, in cosine.

    Where about 50 of its pairs should lie beyond, or where the wanted rate is if that is commoner, those that do are
    counted, and as many again as 16 pairs speak for the measured tail: a small gallery says little. Never less than 0:
    that few of these people are alike does not make strangers so, and a false name is worse than none.
    """
    people = len(scores.people)
    pairs = people * (people - 1) / 2
    cosine = expected.cosine_at(min(max(fpir / people, _OWN_PAIRS / pairs), _COMMONEST))
    likely = pairs * expected.at(cosine)
    seen = float(scores.impostor[place_of(cosine) :].sum()) / 2
    rate = expected.at(cosine) * (_PRIOR_PAIRS + seen) / (_PRIOR_PAIRS + likely)
    return max(cosine - expected.cosine_at(min(rate, 1.0)), 0.0)


def _spread(scores: CrossScores) -> tuple[float, float]:
    """(shift, scale) that lay the usual shape through two quantiles of the gallery's own scores."""
    people = len(scores.people)
    own = Tail.counted(scores.impostor)
    shape = usual_shape().impostor_tail("best", [1])
    far = min(max(_FAR, _FAR_PAIRS / (people * (people - 1))), _COMMONEST)
    low, high = own.cosine_at(_MIDDLE), own.cosine_at(far)
    scale = max(high - low, 1e-3) / (shape.cosine_at(far) - shape.cosine_at(_MIDDLE))
    return low - scale * shape.cosine_at(_MIDDLE), scale


@dataclass(frozen=True, slots=True)
class _Strangers:
    """Whoever is not enrolled, as the measured ones are, but moved by shift + scale * cosine."""

    base: ImpostorModel
    conditions: Conditions
    shift: float
    scale: float

    def tail(self, templates: Iterable[int]) -> Tail:
        return self.base.impostor_tail(self.conditions.aggregation, templates).moved(self.shift, self.scale)

    def rates(self, templates: Mapping[str, int], own: Mapping[str, float]) -> F64:
        """The share of them who are named, by a threshold at each cosine of GRID."""
        usual = [number for who, number in templates.items() if who not in own]
        tails = {number: self.tail([number]) for number in {templates[who] for who in own.keys() & templates.keys()}}
        apart = [(own[who], tails[number]) for who, number in templates.items() if who in own]
        return false_positive_rates(self.tail(usual or [1]), len(usual), self.conditions.margin, apart)


def _genuine(measured: ImpostorModel | None, how: Aggregation, scores: CrossScores) -> Tail | None:
    """The measured scores of people with themselves, and more and more the gallery's own; None: there are none."""
    told = float(scores.genuine.sum())
    if measured is None:
        return Tail.counted(scores.genuine) if told else None
    general = measured.genuine_tail(how, scores.people.values())
    if not told:
        return general
    return Tail.mean([general, Tail.counted(scores.genuine)], [_PRIOR_PEOPLE, told])


def _few(shares: F64) -> tuple[tuple[float, float], ...]:
    """A point every hundredth, where it moves."""
    step = 20
    points: Sequence[int] = [
        place
        for place in range(0, len(GRID), step)
        if shares[max(place - step, 0)] < shares[min(place + step, len(GRID) - 1)]
    ] or [0, len(GRID) - 1]
    return tuple((round(float(GRID[place]), 4), round(float(shares[place]), 6)) for place in points)
