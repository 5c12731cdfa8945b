"""Pictures whose way here is told second by second."""

import pytest

from streamer.ingest.webrtc.lateness import Lateness


def first_hopeless(ways, start=1000.0, step_s=0.1):
    """The index of the first picture that is hopeless; ways: how long each took, s, by clocks with any zero."""
    lateness = Lateness()
    for index, way_s in enumerate(ways):
        sent_s = index * step_s
        if lateness.is_hopeless(sent_s, start + sent_s + way_s):
            return index
    return None


@pytest.mark.parametrize(
    ("ways", "hopeless"),
    [
        ([0.05] * 600, None),
        ([0.1 * (i % 7) for i in range(600)], None),
        ([0.05] * 10 + [4.0 - 0.1 * i for i in range(40)] + [0.05] * 100, None),  # a network that was away catches up
        ([1e-4 * i * 0.1 for i in range(400_000)], None),  # 11 hours of a clock that drifts by 100 ppm
        ([0.05] * 10 + [5.0] * 200, 10 + 50),  # what waits stays as much
        ([0.5 * 0.1 * i for i in range(600)], True),  # half of each second is lost
        ([5.0] * 100 + [0.0] * 100, None),
    ],
)
def test_later_and_later_is_hopeless_and_nothing_else_is(ways, hopeless):
    found = first_hopeless(ways)
    assert (found is not None) if hopeless is True else found == hopeless


def test_pictures_without_a_time_say_nothing():
    lateness = Lateness()
    assert not any(lateness.is_hopeless(None, float(at)) for at in range(100))
