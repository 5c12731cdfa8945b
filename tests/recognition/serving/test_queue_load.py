import pytest

from recognition.serving.queue_load import LoadMeter, QueueLoad

START_S = 1000.0


def test_nothing_came():
    assert LoadMeter().load(START_S, 0.0) == QueueLoad(0.0, 0.0)


@pytest.mark.parametrize(
    ("asked_s", "rate"),
    [
        (0.0, 10.0),  # a second at least, else the first frame of all would look like a crowd
        (0.5, 20.0),
        (2.0, 50 / 2),
        (4.0, 90 / 4),
        (30.0, 20.0),
    ],
)
def test_the_rate_is_that_of_the_last_five_seconds(asked_s: float, rate: float):
    meter = LoadMeter()
    for half in range(int(asked_s * 2) + 1):
        meter.arrived(START_S + half / 2, 10)
    assert meter.load(START_S + asked_s, 0.0).faces_per_s == pytest.approx(rate, rel=0.15)


def test_what_came_is_forgotten_after_five_seconds():
    meter = LoadMeter()
    meter.arrived(START_S, 40)
    meter.taken(START_S + 0.1, [START_S] * 40)
    assert meter.load(START_S + 4.0, 0.0) == QueueLoad(10.0, pytest.approx(100.0))
    assert meter.load(START_S + 5.0, 0.0) == QueueLoad(0.0, 0.0)


@pytest.mark.parametrize(
    ("waits_ms", "oldest_ms", "delay_ms"),
    [
        ([30], 0, 30),
        ([30], 20, 30),
        ([30], 40, 40),
        ([], 40, 40),
        ([0.01] * 10, 0, 0.01),
        ([10] * 10 + [9000], 0, 10),  # one hiccup
        ([10] * 8 + [500] * 2, 0, 500),
        (range(1, 101), 0, 90),
        ([200_000], 0, 200_000),
    ],
)
def test_the_delay_is_what_nine_of_ten_do_not_exceed_or_who_waits_now(
    waits_ms: list[float], oldest_ms: float, delay_ms: float
):
    meter = LoadMeter()
    for wait_ms in waits_ms:
        meter.taken(START_S, [START_S - wait_ms / 1000])
    assert meter.load(START_S, oldest_ms / 1000).queue_delay_ms == pytest.approx(delay_ms, rel=0.1)


def test_items_of_several_callers_in_a_batch_wait_each_for_its_own_time():
    meter = LoadMeter()
    meter.taken(START_S, [START_S - 0.01] * 13 + [START_S - 1.0] * 7)
    assert meter.load(START_S, 0.0).queue_delay_ms == pytest.approx(1000.0)


def test_a_long_day_takes_no_more_memory_than_a_minute():
    meter = LoadMeter()
    for half in range(2 * 3600):
        meter.arrived(START_S + half / 2, 1000)
        meter.taken(START_S + half / 2, [START_S + half / 2] * 3)
    assert len(meter._slots) == 10
    assert meter.load(START_S + 3599.5, 0.0).faces_per_s == pytest.approx(2000, rel=0.15)
