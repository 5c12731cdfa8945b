"""`bench --matching`: what it measures names whom comparing with everybody names, and each figure is there."""

import pytest

from streamer.bench.gallery.matching import run_matching


@pytest.mark.parametrize("size", [100, 400, 1000])
def test_every_figure_is_measured(size):
    document = run_matching([size])
    assert list(document) == [str(size)]
    row = document[str(size)]
    assert row.keys() == {"p50_ms", "p99_ms", "share_of_bare", "share_of_bare_one_each", "recall"}
    assert row["recall"] > 0.95
    assert 0 < row["p50_ms"] <= row["p99_ms"]
