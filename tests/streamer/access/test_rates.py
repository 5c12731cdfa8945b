"""How often somebody may ask: a burst, then the rate; others are not held up by it."""

import pytest

from streamer.access.rates import MOST_KEPT, Rates


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize(("per_s", "burst"), [(1.0, 1), (10.0, 5), (1000.0, 2000), (0.1, 3)])
def test_a_burst_is_let_through_and_then_one_each_time(per_s, burst):
    clock = Clock()
    rates = Rates(per_s, burst, clock)
    taken = [rates.take("one") for _ in range(burst)]
    assert [found.wait_s for found in taken] == [0.0] * burst
    assert [found.left for found in taken] == list(reversed(range(burst)))
    assert taken[-1].full_s == pytest.approx(burst / per_s)

    refused = rates.take("one")
    assert (refused.wait_s, refused.left) == (pytest.approx(1.0 / per_s), 0)
    assert rates.take("another").wait_s == 0.0

    clock.now_s += refused.wait_s
    assert rates.take("one").wait_s == 0.0
    assert rates.take("one").wait_s > 0.0


def test_a_refusal_costs_nothing():
    clock = Clock()
    rates = Rates(1.0, 1, clock)
    rates.take("one")
    for _ in range(100):
        rates.take("one")
    clock.now_s += 1.0
    assert rates.take("one").wait_s == 0.0


def test_who_waits_long_has_a_whole_burst_and_no_more():
    clock = Clock()
    rates = Rates(10.0, 3, clock)
    for _ in range(3):
        rates.take("one")
    clock.now_s += 1e6
    assert [rates.take("one").wait_s > 0 for _ in range(4)] == [False, False, False, True]


def test_as_many_are_kept_and_no_more():
    rates = Rates(10.0, 3, Clock())
    for who in range(MOST_KEPT + 10):
        rates.take(who)
    assert len(rates) == MOST_KEPT
