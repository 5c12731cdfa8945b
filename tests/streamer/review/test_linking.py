"""How alike two visits have to be: the more people there may be, the more, by the rates that were measured."""

import numpy as np
import pytest

from recognition.specs.spec import MatchThresholds, OperatingPoint
from streamer.review.clustering import grouped
from streamer.review.linking import BY_CHANCE, Standing, cosine_among, put_together
from tests.streamer.review.test_clustering import as_sets, crowd

TABLE = MatchThresholds(
    measured_on="made up",
    verification=1e-3,
    identification=1e-5,
    table=tuple(OperatingPoint(fmr=fmr, cosine=cosine, tmr=0.9) for fmr, cosine in ((1e-3, 0.4), (1e-5, 0.6))),
)
ONE_ROW = TABLE.model_copy(update={"identification": 1e-3, "table": TABLE.table[:1]})


@pytest.mark.parametrize(
    ("people", "cosine"),
    [
        (0, 0.4),
        (1, 0.4),
        (int(BY_CHANCE / 1e-3), 0.4),
        (int(BY_CHANCE / 1e-4), 0.5),
        (int(BY_CHANCE / 1e-5), 0.6),
        (int(BY_CHANCE / 1e-6), 0.7),
        (10**15, 1.0),
    ],
)
def test_a_tenth_of_the_rate_is_a_step_of_the_table(people, cosine):
    assert cosine_among(people, TABLE) == pytest.approx(cosine, abs=1e-6)
    assert cosine_among(people, ONE_ROW) == 0.4


def test_a_few_people_who_came_often_are_not_taken_for_many():
    """Two of one person's have a cosine of .55 here: too little among the thousand that these visits might be of."""
    vectors, whose = crowd(10, 100, 5, spread=0.9)
    strict = cosine_among(len(vectors), TABLE)
    assert len(grouped(vectors, strict)) > 50
    found = put_together([(str(row), -1.0) for row in range(len(vectors))], vectors, TABLE)
    assert keys_of(found) == as_sets(np.flatnonzero(whose == one) for one in range(10))


def keys_of(standing: Standing) -> set[frozenset[int]]:
    return {frozenset(int(event_id) for event_id, _ in group) for group in standing.groups}


def test_what_comes_is_put_to_what_stands_and_what_goes_is_missed_by_nobody():
    vectors, whose = crowd(40, 10, 5, spread=0.7)
    keys = [(str(row), -1.0) for row in range(len(vectors))]

    def of(rows) -> set[frozenset[int]]:
        return {frozenset(found) for one in set(whose) if (found := {row for row in rows if whose[row] == one})}

    def put(rows, last: Standing) -> Standing:
        return put_together([keys[row] for row in rows], vectors[list(rows)], TABLE, last)

    first = put(range(370), Standing())
    assert (keys_of(first), first.made_of, first.changed) == (of(range(370)), 370, 0)
    later = put(range(10, 390), first)
    assert (keys_of(later), later.cosine, later.made_of, later.changed) == (of(range(10, 390)), first.cosine, 370, 30)
    assert put(range(10, 390), later) == later
    anew = put(range(20, 400), later)
    assert (keys_of(anew), anew.made_of, anew.changed) == (of(range(20, 400)), 380, 0), "over a tenth since"


def test_what_stands_stays_together_and_is_joined_by_who_belongs_to_both():
    """Two of an arc that are too little alike stand apart, until the one between them comes."""
    angles = np.radians([0.0, 1.0, 24.0, 25.0] + [200.0 + 3 * step for step in range(30)] + [12.5])
    arc = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    keys = [(str(row), -1.0) for row in range(len(arc))]
    rates = ONE_ROW.model_copy(update={"table": (OperatingPoint(fmr=1e-3, cosine=0.93, tmr=0.9),)})
    last = put_together(keys[:-1], arc[:-1], rates)
    assert {frozenset({0, 1}), frozenset({2, 3})} <= keys_of(last)
    joined = put_together(keys, arc, rates, last)
    assert frozenset({0, 1, 2, 3, 34}) in keys_of(joined)
    without = put_together(keys[:-1], arc[:-1], rates, joined)
    assert (keys_of(without), without.made_of) == (keys_of(last), joined.made_of), "by nothing but the one that is gone"
