"""Both ways to re-rank are measured, and give the same scores."""

from streamer.bench.gallery.rerank import run_rerank
from streamer.cli.bench.tables import show_rerank


def test_ours_and_the_plain_version_are_measured_on_one_core(capsys):
    found = run_rerank()
    assert (found["candidates"], found["numbers"], found["limit_ms"]) == (200, 512, 1.0)
    assert 0 < found["ours_ms"] < found["plain_ms"]
    assert found["largest_difference"] < 1e-5

    show_rerank({"machine": "m", "rerank": found})
    printed = capsys.readouterr().out
    assert f"{found['ours_ms']:.2f}" in printed
    assert "one core, one thread" in printed
