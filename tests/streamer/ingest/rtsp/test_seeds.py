"""The seeds that are kept reach what strangers can reach: the two parsers, of messages and of SDPs."""

import random

import pytest

from tests.streamer.ingest.rtsp.fuzz import SEEDS, Reached, cut, describe, one_sdp, one_stream, read


@pytest.mark.parametrize("seed", range(SEEDS))
def test_broken_announcements(seed: int):
    rng = random.Random(seed)
    for _ in range(40):
        describe(one_sdp(rng))


def test_they_reach_the_parsers_lines():
    with Reached() as reached:
        for seed in range(SEEDS):
            rng = random.Random(seed)
            for _ in range(40):
                read(cut(rng, one_stream(rng)))
                describe(one_sdp(rng))
    report = reached.report()
    assert set(report) == {"parser", "description"}
    for module, (share, left) in report.items():
        assert share >= 0.9, f"{module}: not reached: {left}"


def test_lines_that_are_not_reached_are_told():
    with Reached() as reached:
        describe(b"no SDP")
    assert reached.report()["parser"][0] == 0
    assert 0 < reached.report()["description"][0] < 0.5
