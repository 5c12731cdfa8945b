"""Failed logins, counted by a clock that the test holds."""

import pytest

from streamer.access.attempts import MOST_KEPT, FailedAttempts, neighbourhood_of


class Clock:
    now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


def test_ten_failures_in_a_minute_cost_the_rest_of_it():
    clock = Clock()
    failed = FailedAttempts(clock, limit=3, window_s=60.0)
    assert [failed.add("a"), failed.add("a")] == [False, False]
    assert failed.wait_s("a") == 0
    clock.now_s += 20
    assert failed.add("a"), "the last one"
    assert failed.wait_s("a") == 40
    assert failed.wait_s("b") == 0
    clock.now_s += 39.5
    assert failed.wait_s("a") == 0.5
    clock.now_s += 0.5
    assert failed.wait_s("a") == 0
    assert not failed.add("a"), "a new minute"


def test_slow_failures_cost_nothing():
    clock = Clock()
    failed = FailedAttempts(clock, limit=3, window_s=60.0)
    for _ in range(20):
        assert not failed.add("a")
        clock.now_s += 31
        assert failed.wait_s("a") == 0


def test_memory_is_bounded_and_the_oldest_goes_first():
    failed = FailedAttempts(Clock(), limit=1)
    for number in range(3 * MOST_KEPT):
        failed.add(number)
    assert len(failed) == MOST_KEPT
    assert failed.wait_s(3 * MOST_KEPT - 1) > 0
    assert failed.wait_s(0) == 0


@pytest.mark.parametrize(
    ("address", "who"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"),
        (9000 * "x", 64 * "x"),
        ("", ""),
    ],
)
def test_an_ipv6_household_is_one(address, who):
    assert neighbourhood_of(address) == who
