"""The heart of `bench` as tables: frames a second beside the peer and the limit, and how late events are."""

from typing import Any

from streamer.cli.bench.cells import cell
from streamer.cli.options import print_line, print_table

Row = dict[str, Any]


def show_speed(document: Row) -> None:
    """Print frames a second beside the peer and the limit, and how late events are."""
    print_line(
        f"clip: {document['clip']}, {document['laps']} times over, {document['frames']} frames; "
        f"best of {document['rounds']} rounds; {document['detector']} + {document['embedder']}"
    )
    print_line()
    d = document
    print_table(
        ["", "frames/s", "faces/s", "CPU s/frame", "ours is"],
        [
            ["ours", cell(d["ours_fps"]), cell(d["faces_per_s"]), cell(d["cpu_s_per_frame"]), ""],
            [
                "peer (insightface over OpenCV)",
                cell(d["peer_fps"]),
                cell(d["peer_faces_per_s"]),
                cell(d["peer_cpu_s_per_frame"]),
                cell(d["ratio_to_peer"], then=" times as fast"),
            ],
            ["limit (bare ONNX Runtime)", cell(d["limit_fps"]), "", "", cell(d["share_of_limit"], ".1%", " of it")],
            ["ours as shipped (padding spared)", cell(d["shipped_fps"]), "", cell(d["shipped_cpu_s_per_frame"]), ""],
        ],
        "",
    )
    print_line(f"agreement on who is seen: {cell(document['track_agreement'], '.2%') or 'not measured'}")
    print_line()
    print_table(
        ["cameras at 10 fps", "events", "told late", "p50 ms", "p95 ms", "p99 ms", "frames dropped", "loop lag p99 ms"],
        [
            [
                cameras,
                row["events"],
                row["told_late"],
                cell(row["p50"], ".0f"),
                cell(row["p95"], ".0f"),
                cell(row["p99"], ".0f"),
                f"{row['dropped_share']:.2%}",
                f"{row['loop_lag_p99_ms']:.1f}",
            ]
            for cameras, row in document["latency_ms"].items()
            if row is not None
        ],
        "",
    )
