"""Which pictures are sent: so many a second at most, in steps as even as they come."""

from itertools import pairwise

import pytest

from streamer.live_view.pace import Pace


def taken(pace: Pace, times: list[float]) -> list[float]:
    return [at for at in times if pace.takes(at)]


def every(fps: float, seconds: float, begin: float = 1000.0) -> list[float]:
    return [begin + number / fps for number in range(round(seconds * fps))]


@pytest.mark.parametrize(
    ("comes", "wanted", "sent"),
    [
        (10, 5, 5),
        (10, None, 10),
        (10, 10, 10),
        (10, 30, 10),
        (8, 5, 5),
        (25, 10, 10),
        (2, 5, 2),
        (10, 0.5, 0.5),
        (15, 4, 4),
    ],
)
def test_so_many_a_second(comes: float, wanted: float | None, sent: float):
    found = taken(Pace(wanted), every(comes, 20))
    assert len(found) == pytest.approx(20 * sent, abs=1)


def test_pictures_that_come_unevenly_are_as_many():
    times = [at + (0.02 if number % 3 else -0.02) for number, at in enumerate(every(10, 20))]
    found = taken(Pace(5), times)
    assert len(found) == pytest.approx(100, abs=2)
    assert max(later - earlier for earlier, later in pairwise(found)) < 0.3


def test_after_a_silence_nothing_is_made_up_for():
    pace = Pace(5)
    taken(pace, every(10, 2))
    assert len(taken(pace, every(10, 1, 5000.0))) == 5


def test_times_that_begin_anew_are_no_silence():
    pace = Pace(5)
    taken(pace, every(10, 2, 9000.0))
    assert len(taken(pace, every(10, 1, 10.0))) == 5
