"""How alike two visits have to be: the more people there may be, the more, by the rates that were measured."""

import numpy as np
import pytest

from recognition.specs.spec import MatchThresholds, OperatingPoint
from streamer.review.clustering import grouped
from streamer.review.linking import BY_CHANCE, cosine_among, grouped_by_rate
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
    assert as_sets(grouped_by_rate(vectors, TABLE)) == as_sets(np.flatnonzero(whose == one) for one in range(10))
