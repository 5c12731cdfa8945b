"""The model layer's part of `bench` as tables: its document goes in, lines come out."""

from typing import Any

from streamer.cli.options import print_line, print_table

Row = dict[str, Any]

_OF_MODELS = ("model", "weights", "device", "threads", "batch", "ms a batch", "bare", "batcher")
_OF_SWITCHES = ("from", "to", "room first", "seconds", "a batch ms", "faces")


def show_model_layer(document: dict[str, Any]) -> None:
    """Print its parts one after another. `others`: of the machine's CPU time, what other programs took meanwhile."""
    print_line("faces a second, bare and through the batcher at full load:")
    _show_models(document["models"])
    print_line()
    print_line("the faces of eight cameras, gathered by the batcher against one call for each face:")
    _show_cameras(document["eight_cameras"])
    print_line()
    print_line("a switch of the embedder while eight cameras embed as fast as they can:")
    _show_switches(document["switches"])
    print_line()
    if document["gpu"] is not None:
        _show_gpu(document["gpu"])


def _show_models(rows: list[Row]) -> None:
    print_table(
        [*_OF_MODELS, "ratio", "by CPU time", "lost", "others"],
        [
            [
                row["name"],
                row["weights"],
                _device(row),
                row["threads"],
                bucket,
                f"{figures['batch_ms']:.2f}",
                f"{figures['bare_faces_per_s']:.1f}",
                f"{figures['batched_faces_per_s']:.1f}",
                f"{figures['ratio']:.1%}",
                "" if figures["cpu_ratio"] is None else f"{figures['cpu_ratio']:.1%}",
                figures["lost"],
                f"{figures['others_share']:.0%}",
            ]
            for row in rows
            for bucket, figures in row["buckets"].items()
        ],
        "Nothing was measured.",
    )
    _show_missing(rows)


def _show_cameras(rows: list[Row]) -> None:
    print_table(
        ["model", "device", "way", "faces/s at most", "at a load of", "p50 ms", "p95 ms", "lost", "others"],
        [
            [
                row["name"],
                _device(row),
                {"batched": f"batches of up to {row['most']}", "single": "one call a face"}[way],
                f"{row[way]['faces_per_s']:.1f}",
                f"{row['load_faces_per_s']:.1f}",
                f"{row[way]['p50_ms']:.1f}",
                f"{row[way]['p95_ms']:.1f}",
                row[way]["lost"],
                f"{row['others_share']:.0%}",
            ]
            for row in rows
            if row["ok"]
            for way in ("batched", "single")
        ],
        "Nothing was measured.",
    )
    _show_missing(rows)


def _show_switches(rows: list[Row]) -> None:
    print_table(
        [*_OF_SWITCHES, "delayed", "longest gap ms", "else", "lost", "others"],
        [
            [
                row["old"],
                row["new"],
                "yes" if row["room_first"] else "no",
                f"{row['seconds']:.2f}",
                f"{row['batch_ms']:.1f}",
                row["faces"],
                row["delayed"],
                f"{row['longest_gap_ms']:.1f}",
                f"{row['steady_gap_ms']:.1f}",
                row["lost"],
                f"{row['others_share']:.0%}",
            ]
            for row in rows
        ],
        "Not measured: no other embedder's weights are here.",
    )


def _show_gpu(gpu: dict[str, Any]) -> None:
    if not gpu["measured"]:
        print_line(f"ArcFace R100 on a GPU: not measured: {gpu['why']}")
        return
    print_line(
        f"{gpu['architecture']} ({gpu['weights']} weights) on {gpu['card']}, which multiplies {gpu['matrix_tflops']} "
        f"TFLOP/s in bfloat16; {gpu['gflop_a_face']} GFLOP a face"
    )
    print_table(
        ["precision", "compiled", "batch", "faces/s", "share of the matrix rate"],
        [
            [
                one["precision"],
                "yes" if one["compiled"] else "no",
                one["bucket"],
                *(("", one["why"]) if one["share"] is None else (one["faces_per_s"], f"{one['share']:.1%}")),
            ]
            for one in gpu["rates"]
        ],
        "Nothing was measured.",
    )
    print_line(f"beside {gpu['published']['faces_per_s']} faces/s: {gpu['published']['what']}")
    memory = gpu["memory"]
    print_line(f"memory: {memory['nvml_mib']} MiB by NVML, {memory['ledger_mib']} MiB in the ledger")


def _show_missing(rows: list[Row]) -> None:
    """A line for each reason, with all that it kept from being measured."""
    by_reason: dict[str, list[str]] = {}
    for row in rows:
        if not row["ok"]:
            by_reason.setdefault(row["why"], []).append(f"{row['name']} on {_device(row)}")
    for why, names in by_reason.items():
        print_line(f"not measured: {why} ({', '.join(names)})")


def _device(row: Row) -> str:
    return f"{row['device']}, TensorRT" if row.get("engine") == "tensorrt" else str(row["device"])
