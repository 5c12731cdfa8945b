"""The parts of `bench` as tables: the documents of streamer.bench go in, lines come out."""

from typing import Any

from streamer.cli.options import print_line, print_table

Row = dict[str, Any]

_OF_MODELS = ("model", "weights", "device", "threads", "batch", "ms a batch", "bare", "batcher")
_OF_SWITCHES = ("from", "to", "room first", "seconds", "a batch ms", "faces")


def show_ingest(loads: dict[str, Any]) -> None:
    """Print what it costs to take streams in. Shares of one core; pictures decoded, or used of those."""
    print_table(
        ["cameras", "way", "% of a core", "on top of decoding", "pictures", "first picture s"],
        [
            [
                load,
                way,
                f"{row[way]['cpu_share']:.1%}",
                "" if way == "decoded" else f"{row[way]['cpu_share'] - row['decoded']['cpu_share']:+.1%}",
                row[way]["pictures"],
                f"{row[way]['first_s']:.2f}",
            ]
            for load, row in loads.items()
            for way in ("decoded", "pulled", "published")
        ],
        "Nothing was measured.",
    )


def show_mqtt(document: Row) -> None:
    """Print how fast the outbox drains."""
    print_table(
        [
            "to mosquitto",
            "ours events/s",
            "best round",
            "CPU us an event",
            "bare aiomqtt/s",
            "CPU us",
            "ours is by CPU",
        ],
        [
            [
                way,
                f"{row['ours']['per_s']:.0f}",
                row["best_per_s"],
                f"{row['ours']['cpu_us']:.0f}",
                f"{row['bare']['per_s']:.0f}",
                f"{row['bare']['cpu_us']:.0f}",
                f"{row['ours']['cpu_us'] / row['bare']['cpu_us']:.2f} times as dear",
            ]
            for way, row in document.items()
            if way in ("plain", "tls")
        ],
        "",
    )
    shares = ", ".join(f"{way} {document[way]['others_share']:.0%}" for way in ("plain", "tls"))
    print_line(f"{document['events']} events a round; of the machine's CPU time others took, at most: {shares}")


_OF_EMBEDDINGS = ("", "images/s", "CPU ms an image", "faces in one", "p95 of a request ms", "ours is", "by CPU time")


def show_http(document: Row) -> None:
    """Print what the API gives."""
    http = document["http"]
    print_line(f"machine: {document['machine']}")
    print_line(
        f"clip: {document['clip']}; {http['detector']} + {http['embedder']}; "
        f"{http['clients']} clients, {http['images_a_request']} images a request"
    )
    for kind, row in http["embeddings"].items():
        print_line()
        _show_embeddings(kind, row)
    print_line()
    _show_beside(http["camera_events"])
    print_line()
    _show_rerank_over_http(http["rerank200"])
    print_line()
    cost = http["viewers"]
    print_line(
        f"{cost['viewers']} viewers of {cost['events_per_s']} events a second: {cost['cpu_share']:.0%} of a core "
        f"(nobody looking on: {cost['cpu_share_without']:.0%}), heard after {cost['lag_p50_ms']:.1f} ms, "
        f"p95 {cost['lag_p95_ms']:.1f} ms; {cost['lost']} lost"
    )


def _show_embeddings(kind: str, row: Row) -> None:
    names = {
        "ours": "ours",
        "peer": "peer (FastAPI + insightface)",
        "peer_in_threads": "the same in threads",
        "limit": "limit (bare networks)",
    }
    told = {
        "ours": "",
        "peer": f"{row['ratio_to_peer']} times as fast",
        "peer_in_threads": f"{row['ratio_to_peer_in_threads']} times as fast",
        "limit": f"{row['share_of_limit']:.1%} of it",
    }
    by_cpu = {
        "ours": "",
        "peer": f"{row['ratio_to_peer_by_cpu']} times",
        "peer_in_threads": f"{row['ratio_to_peer_in_threads_by_cpu']} times",
        "limit": f"{row['share_of_limit_by_cpu']:.1%}",
    }
    print_line(f"/embeddings of {kind}:")
    print_table(
        _OF_EMBEDDINGS,
        [
            [
                names[who],
                f"{row[f'{who}_images_per_s']:.1f}",
                f"{row[f'{who}_cpu_ms']:.1f}",
                f"{row[f'{who}_faces']:.2f}",
                "" if who == "limit" else f"{row[f'{who}_p95_ms']:.0f}",
                told[who],
                by_cpu[who],
            ]
            for who in names
        ],
        "",
    )
    print_line(f"of its time ours takes {row['share_of_own_runs']:.1%} for the runs of networks that it makes")


def _show_rerank_over_http(cost: Row) -> None:
    print_line(
        f"/rerank of {cost['candidates']} candidates of {cost['numbers']} numbers (goal: {cost['limit_ms']:g} ms):"
    )
    forms = {"all_digits": "JSON, all digits", "float32_digits": "JSON, float32's digits", "base64": "base64"}
    print_table(
        ["embeddings as", "KiB", "p50 ms", "p95 ms", "CPU ms"],
        [
            [told, row["kib"], f"{row['p50_ms']:.2f}", f"{row['p95_ms']:.2f}", f"{row['cpu_ms']:.2f}"]
            for form, told in forms.items()
            if (row := cost[form])
        ],
        "",
    )


def _show_beside(cameras: Row) -> None:
    print_table(
        ["cameras at 10 fps", "API", "events", "p50 ms", "p95 ms", "frames dropped", "p95 is", "its images/s"],
        [
            [
                count,
                {"without": "idle", "with": "at full load"}[way],
                row[way]["events"],
                f"{row[way]['p50']:.0f}",
                f"{row[way]['p95']:.0f}",
                f"{row[way]['dropped_share']:.2%}",
                f"{row['p95_ratio']} times (goal {row['goal']:g})" if way == "with" else "",
                row["api_images_per_s"] if way == "with" else "",
            ]
            for count, row in cameras.items()
            for way in ("without", "with")
        ],
        "Nothing was measured.",
    )


def show_visits(document: dict[str, Any]) -> None:
    """What a kept visit costs."""
    cost = document["kept_visits"]
    loop = f"{cost['loop_cpu_ms']:.2f} of it on the loop (one call at most {cost['loop_longest_ms']:.2f} ms)"
    print_line(f"a kept visit: {cost['cpu_ms']:.1f} ms of CPU time, {loop}, {cost['kib']:.0f} KiB; of {cost['visits']}")


def show_training(row: Row) -> None:
    """What a trained classifier costs beside its embeddings."""
    print_line(
        f"a classifier of {row['people']} people with {row['photos']} photos: {row['train_s']:.1f} s "
        f"({row['train_cpu_s']:.1f} s of CPU time), "
        f"{row['classifier_mib']:.0f} MiB; {row['predict_ms']:.1f} ms for a face, {row['right']:.1%} right"
    )


_OF_GALLERY = {
    "upgrade_s": "first opening, s",
    "upgrade_cpu_s": "the same, CPU s",
    "start_cpu_s": "start, CPU s",
    "start_s": "start, s",
    "start_rss_mib": "memory then, MiB",
    "search_p50_ms": "a search, p50 ms",
    "search_p99_ms": "a search, p99 ms",
    "search_recall": "its recall",
    "follow_cpu_s": "somebody enrolled beside a service, CPU s",
    "enrolled_photos_per_s": "made-up photos enrolled a second",
    "enrolled_photos_per_cpu_s": "the same a CPU second",
    "enrolled_among_many_photos_per_s": "made-up photos a second into the large gallery",
    "enrolled_real_photos_per_s": "real photos enrolled a second (limit: the networks alone)",
    "enrolled_real_photos_per_cpu_s": "the same a CPU second",
    "forget_key_s": "somebody forgotten: key destroyed, s",
    "forget_done_s": "file rewritten, log emptied, s",
    "forget_unknown_s": "no name in the service, s",
    "forget_search_p50_ms": "searches meanwhile, p50 ms",
    "forget_search_p99_ms": "searches meanwhile, p99 ms",
}


def show_gallery(document: Row) -> None:
    """Print what a large gallery costs. The limit of searches while somebody is forgotten: those just before."""
    print_line(f"machine: {document['machine']}; others took {document['others_share']:.0%} of it")
    print_line(f"{document['people']} people; made from one and the same file of the release before")
    print_line()
    print_table(
        ["", "ours", "before", "limit", "goal", "ours to before"],
        [
            [told, *(_figure(row[key]) for key in ("ours", "before", "limit", "goal", "ratio_to_before"))]
            for key, told in _OF_GALLERY.items()
            if (row := document["gallery_store"].get(key)) is not None
        ],
        "Nothing was measured.",
    )
    print_line()
    show_matching(document["gallery"])
    print_line(f"re-ranking of 200 candidates of 512 numbers: {document['gallery']['rerank200_ms']:.2f} ms")


def show_matching(sizes: Row) -> None:
    """Print what matching takes, by the count of templates."""
    print_table(
        ["templates", "64 faces, p50 ms", "p99 ms", "share of bare FAISS", "of one template each", "recall"],
        [
            [
                size,
                f"{row['p50_ms']:.2f}",
                f"{row['p99_ms']:.2f}",
                f"{row['share_of_bare']:.2f}",
                f"{row['share_of_bare_one_each']:.2f}",
                f"{row['recall']:.3f}",
            ]
            for size, row in sizes.items()
            if isinstance(row, dict)
        ],
        "Nothing was measured.",
    )


def show_rerank(document: Row) -> None:
    """What one call of re-ranking costs."""
    cost = document["rerank"]
    print_line(f"machine: {document['machine']}")
    print_line(f"re-ranking of {cost['candidates']} candidates of {cost['numbers']} numbers, one core, one thread:")
    print_line()
    print_table(
        ["ours ms", "plain, set by set, ms", "limit ms", "ours is", "scores differ by"],
        [
            [
                f"{cost['ours_ms']:.2f}",
                f"{cost['plain_ms']:.0f}",
                f"{cost['limit_ms']:g}",
                f"{cost['ratio_to_plain']:.0f} times as fast",
                f"{cost['largest_difference']:g} at most",
            ]
        ],
        "Nothing was measured.",
    )


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


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
