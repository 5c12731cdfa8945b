"""A document of the benchmark as a table: what there is no figure for stays empty."""

import pytest

from streamer.bench.gallery.run import Row
from streamer.cli.bench_tables import show_gallery, show_matching


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (Row(2.0, 4.0, 1.0, 5.0), ["2", "4", "1", "5", "0.5"]),
        (Row(1.5, goal=5.0), ["1.5", "5"]),
        (Row(0.25, 0.5), ["0.25", "0.5", "0.5"]),
    ],
)
def test_a_gallery_s_rows(capsys, row, told):
    document = {
        "machine": "m",
        "others_share": 0.25,
        "people": 7,
        "gallery_store": {"start_cpu_s": row.told()},
        "gallery": {"rerank200_ms": 0.5},
    }
    show_gallery(document)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "machine: m; others took 25% of it"
    assert lines[1].startswith("7 people")
    assert ["start,", "CPU", "s", *told] in [line.split() for line in lines]
    assert lines[-1] == "re-ranking of 200 candidates of 512 numbers: 0.50 ms"


@pytest.mark.parametrize("size", ["1000", "10000", "100000"])
def test_matching_s_rows(capsys, size):
    row = {"p50_ms": 1.234, "p99_ms": 2.0, "share_of_bare": 0.912, "share_of_bare_one_each": 0.5, "recall": 1.0}
    show_matching({size: row, "rerank200_ms": 0.5})
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == [line for line in lines if line.split() == [size, "1.23", "2.00", "0.91", "0.50", "1.000"]]
