"""Failed logins, counted by a clock that the test holds."""

from streamer.access.attempts import MOST_KEPT, FailedAttempts


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
