import pytest

from tests.streamer.ingest.publish.fuzz import one_session


@pytest.mark.parametrize("seed", range(24))
def test_whatever_is_broken_the_end_is_one_of_ours(seed):
    packets, frames = one_session(seed)
    assert packets > 100
    assert frames <= 101
