"""How soon pictures were looked at, over clocks that the test sets: percentiles, what is forgotten, what is bounded."""

import threading
import time

import pytest

from streamer.looking.promptness import LastMinute, PerSecond, Promptness


class Clocks:
    """Both of them, in step unless the machine sleeps."""

    def __init__(self) -> None:
        self.now_s = 1000.25
        self.slept_s = 0.0
        self.promptness = Promptness(lambda: self.now_s, lambda: self.now_s + self.slept_s)

    def looks(self, *delays_ms: float, every_s: float = 0.0) -> None:
        for delay_ms in delays_ms:
            self.promptness.came()
            self.promptness.looked(self.now_s - delay_ms / 1000)
            self.now_s += every_s

    @property
    def told(self) -> LastMinute:
        return self.promptness.last_minute()


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def test_of_a_camera_that_sent_nothing_nothing_is_known(clocks):
    clocks.now_s += 500
    assert clocks.told == LastMinute(0.0, 0, 0, None, None, None)


@pytest.mark.parametrize(
    ("delays_ms", "p50_ms", "p95_ms"),
    [
        ([40.0], 40.0, 40.0),
        ([10.0, 900.0], 10.0, 900.0),
        ([float(ms) for ms in range(100, 0, -1)], 50.0, 95.0),
        ([5.0] * 96 + [700.0] * 4, 5.0, 5.0),
        ([5.0] * 94 + [700.0] * 6, 5.0, 700.0),
        ([-3000.0], 0.0, 0.0),  # taken before it was due
    ],
)
def test_so_soon_were_half_and_nineteen_of_twenty_looked_at(clocks, delays_ms, p50_ms, p95_ms):
    clocks.looks(*delays_ms)
    assert (clocks.told.p50_ms, clocks.told.p95_ms) == (pytest.approx(p50_ms), pytest.approx(p95_ms))
    assert clocks.told.looked_at == len(delays_ms)


def test_what_is_older_than_a_minute_counts_no_more(clocks):
    clocks.looks(*[500.0] * 30, every_s=1.0)
    clocks.promptness.dropped()
    clocks.looks(*[20.0] * 30, every_s=1.0)
    assert (clocks.told.looked_at, clocks.told.dropped, clocks.told.p50_ms) == (59, 1, pytest.approx(20.0))
    assert clocks.told.p95_ms == pytest.approx(500.0)
    assert clocks.told.within_s == pytest.approx(59.25)
    clocks.now_s += 31
    assert (clocks.told.looked_at, clocks.told.dropped, clocks.told.p95_ms) == (28, 0, pytest.approx(20.0))
    clocks.now_s += 1e6
    assert clocks.told == LastMinute(pytest.approx(59.25), 0, 0, None, None, pytest.approx(1e6 + 32))


def test_many_are_counted_all_and_the_last_of_them_are_measured(clocks):
    clocks.looks(*[9000.0] * 2000, *[1.0] * 600, every_s=0.01)
    assert (clocks.told.looked_at, clocks.told.p95_ms) == (2600, pytest.approx(1.0))
    assert clocks.told.within_s == pytest.approx(26.0)


def test_a_camera_that_was_opened_anew_begins_anew_but_for_its_last_picture(clocks):
    clocks.looks(*[900.0] * 5, every_s=0.5)
    clocks.promptness.dropped()
    clocks.now_s += 7.5
    clocks.promptness.opened()
    assert clocks.told == LastMinute(0.0, 0, 0, None, None, pytest.approx(8.0))
    clocks.now_s += 100  # until a publisher comes, say
    clocks.looks(30.0, 50.0, every_s=0.5)
    assert clocks.told == LastMinute(1.0, 2, 0, pytest.approx(30.0), pytest.approx(50.0), pytest.approx(0.5))


def test_pictures_that_are_due_at_no_time_are_counted_alone(clocks):
    clocks.promptness.came()
    for _ in range(3):
        clocks.promptness.looked(None)
    assert (clocks.told.looked_at, clocks.told.p50_ms, clocks.told.p95_ms) == (3, None, None)


def test_the_last_picture_is_as_old_as_it_is_though_the_machine_slept(clocks):
    clocks.looks(10.0)
    clocks.slept_s = 8 * 3600.0
    assert clocks.told.last_picture_s == pytest.approx(8 * 3600.0)
    assert clocks.told.within_s == pytest.approx(0.0)


def test_who_sets_the_wall_clock_changes_nothing(monkeypatch):
    promptness = Promptness()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    promptness.came()
    promptness.looked(time.monotonic() - 0.05)
    monkeypatch.setattr(time, "time", lambda: 4e9)
    told = promptness.last_minute()
    assert told.looked_at == 1
    assert told.p50_ms is not None
    assert 50.0 <= told.p50_ms < 60_000.0
    assert told.last_picture_s is not None
    assert 0.0 <= told.last_picture_s < 60.0


def test_threads_that_count_at_once_lose_nothing():
    counted = PerSecond(lambda: 5.5)
    threads = [threading.Thread(target=lambda: [counted.add() for _ in range(2000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted.total() == 8000
