import pytest

from recognition.serving.batch_limits import BatchLimits, mean_run_ms, wait_ms

ADAPTS = {"pad": True, "max_wait_ms": None}


@pytest.mark.parametrize(
    ("limits", "run_ms", "wait"),
    [
        (BatchLimits(), 10.0, 0.0),
        (BatchLimits(pad=True), 10.0, 0.0),
        (BatchLimits(max_wait_ms=7.0), None, 7.0),
        (BatchLimits(max_wait_ms=7.0, latency_goal_ms=1.0), 10.0, 7.0),  # a number is an order
        (BatchLimits(**ADAPTS), None, 0.0),
        (BatchLimits(**ADAPTS, latency_goal_ms=500.0), None, 0.0),
        (BatchLimits(**ADAPTS), 10.0, 5.0),
        (BatchLimits(**ADAPTS, latency_goal_ms=500.0), 10.0, 5.0),
        (BatchLimits(**ADAPTS, latency_goal_ms=25.0), 10.0, 5.0),
        (BatchLimits(**ADAPTS, latency_goal_ms=23.0), 10.0, 3.0),
        (BatchLimits(**ADAPTS, latency_goal_ms=20.0), 10.0, 0.0),
        (BatchLimits(**ADAPTS, latency_goal_ms=15.0), 10.0, 0.0),
        (BatchLimits(max_wait_ms=None), 10.0, 0.0),
        (BatchLimits(max_wait_ms=None, latency_goal_ms=500.0), 10.0, 0.0),
    ],
)
def test_how_long_an_item_waits_for_company(limits: BatchLimits, run_ms: float | None, wait: float):
    assert wait_ms(limits, run_ms) == wait


def test_the_mean_of_run_times_follows_them():
    mean_ms = mean_run_ms(None, 10.0)
    assert mean_ms == 10.0
    assert mean_run_ms(mean_ms, 15.0) == pytest.approx(11.0)
    assert mean_run_ms(mean_ms, 5.0) == pytest.approx(9.0)
    for _ in range(40):
        mean_ms = mean_run_ms(mean_ms, 80.0)
    assert mean_ms == pytest.approx(80.0, rel=0.01)


def test_a_run_that_hung_is_soon_forgotten():
    assert mean_run_ms(10.0, 60_000.0) == pytest.approx(12.0)
