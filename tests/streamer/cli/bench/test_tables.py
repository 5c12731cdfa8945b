"""A document of the benchmark as a table: what there is no figure for stays empty."""

import pytest

from streamer.bench.gallery.run import Row
from streamer.cli.bench.tables import show_gallery, show_http, show_matching


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
    assert lines[0] == "others took 25% of it"
    assert lines[1].startswith("7 people")
    assert ["start,", "CPU", "s", *told] in [line.split() for line in lines]
    assert lines[-1] == "re-ranking of 200 candidates of 512 numbers: 0.50 ms"


@pytest.mark.parametrize("size", ["1000", "10000", "100000"])
def test_matching_s_rows(capsys, size):
    row = {"p50_ms": 1.234, "p99_ms": 2.0, "share_of_bare": 0.912, "share_of_bare_one_each": 0.5, "recall": 1.0}
    show_matching({size: row, "rerank200_ms": 0.5})
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == [line for line in lines if line.split() == [size, "1.23", "2.00", "0.91", "0.50", "1.000"]]


@pytest.mark.parametrize(("ratio", "share", "lost"), [(6.25, 0.871, 0), (1.5, 0.4, 3), (12.0, 1.0, 200)])
def test_the_api_s_rows(capsys, ratio, share, lost):
    figures = ("images_per_s", "cpu_ms", "faces", "p95_ms")
    whose = {f"{who}_{what}": 12.5 for who in ("ours", "peer", "peer_in_threads", "limit") for what in figures}
    row = whose | {
        "ratio_to_peer": ratio,
        "ratio_to_peer_by_cpu": 5.5,
        "ratio_to_peer_in_threads": 2.5,
        "ratio_to_peer_in_threads_by_cpu": 1.5,
        "share_of_limit": share,
        "share_of_limit_by_cpu": 0.5,
        "share_of_own_runs": 0.75,
    }
    ways = {way: {"events": 7, "p50": 50.0, "p95": 80.4, "dropped_share": 0.25} for way in ("without", "with")}
    beside = ways | {"p95_ratio": 1.2, "goal": 1.5, "api_images_per_s": 33.3}
    forms = ("all_digits", "float32_digits", "base64")
    form = {"kib": 2000, "p50_ms": 1.5, "p95_ms": 2.25, "cpu_ms": 1.75}
    show_http(
        {
            "machine": "m",
            "clip": "street.mp4",
            "http": {
                "detector": "d",
                "embedder": "e",
                "clients": 8,
                "images_a_request": 8,
                "embeddings": {"frames": row},
                "camera_events": {"4": beside},
                "rerank200": {"candidates": 200, "numbers": 512, "limit_ms": 3.0, **dict.fromkeys(forms, form)},
                "viewers": {
                    "viewers": 200,
                    "events_per_s": 10,
                    "cpu_share": 0.125,
                    "cpu_share_without": 0.02,
                    "lag_p50_ms": 4.0,
                    "lag_p95_ms": 9.5,
                    "lost": lost,
                },
            },
        }
    )
    printed = capsys.readouterr().out
    rows = [" ".join(line.split()) for line in printed.splitlines()]
    assert f"peer (FastAPI + insightface) 12.5 12.5 12.50 12 {ratio} times as fast 5.5 times" in rows
    assert "the same in threads 12.5 12.5 12.50 12 2.5 times as fast 1.5 times" in rows
    assert f"limit (bare networks) 12.5 12.5 12.50 {share:.1%} of it 50.0%" in rows
    assert "1.2 times (goal 1.5)" in printed
    assert "JSON, all digits 2000 1.50 2.25 1.75" in rows
    assert "base64 2000 1.50 2.25 1.75" in rows
    assert f"{lost} lost" in printed
