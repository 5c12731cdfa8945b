"""The parts of `bench` as tables: the documents of streamer.bench go in, lines come out."""

from typing import Any

from streamer.cli.bench.cells import cell
from streamer.cli.options import print_line, print_table

Row = dict[str, Any]


def show_ingest(loads: dict[str, Any]) -> None:
    """Print what it costs to take streams in. Shares of one core; pictures decoded, or used of those."""
    print_table(
        ["cameras", "way", "% of a core", "on top of decoding", "pictures", "first picture s"],
        [
            [
                load,
                way,
                f"{row[way]['cpu_share']:.1%}",
                _on_top(way, row),
                row[way]["pictures"],
                f"{row[way]['first_s']:.2f}",
            ]
            for load, row in loads.items()
            for way in ("decoded", "pulled", "published")
            if row[way] is not None
        ],
        "Nothing was measured.",
    )


def _on_top(way: str, row: Row) -> str:
    """Of decoding, where that was measured."""
    if way == "decoded" or row["decoded"] is None:
        return ""
    return f"{row[way]['cpu_share'] - row['decoded']['cpu_share']:+.1%}"


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
            if way in ("plain", "tls") and row is not None
        ],
        "",
    )
    ways = [way for way in ("plain", "tls") if document[way] is not None]
    shares = ", ".join(f"{way} {document[way]['others_share']:.0%}" for way in ways)
    print_line(f"{document['events']} events a round; of the machine's CPU time others took, at most: {shares}")


_OF_EMBEDDINGS = ("", "images/s", "CPU ms an image", "faces in one", "p95 of a request ms", "ours is", "by CPU time")


def show_http(document: Row) -> None:
    """Print what the API gives."""
    http = document["http"]
    print_line(
        f"clip: {document['clip']}; {http['detector']} + {http['embedder']}; "
        f"{http['clients']} clients, {http['images_a_request']} images a request"
    )
    for kind, row in http["embeddings"].items():
        print_line()
        if row is not None:
            _show_embeddings(kind, row)
    print_line()
    _show_beside(http["camera_events"])
    print_line()
    if http["rerank200"] is not None:
        _show_rerank_over_http(http["rerank200"])
        print_line()
    cost = http["viewers"]
    if cost is None:
        return
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
                cell(row[way]["p50"], ".0f"),
                cell(row[way]["p95"], ".0f"),
                f"{row[way]['dropped_share']:.2%}",
                cell(row["p95_ratio"], then=f" times (goal {row['goal']:g})") if way == "with" else "",
                row["api_images_per_s"] if way == "with" else "",
            ]
            for count, row in cameras.items()
            if row is not None
            for way in ("without", "with")
        ],
        "Nothing was measured.",
    )


def show_visits(document: dict[str, Any]) -> None:
    """What a kept visit costs."""
    cost = document["kept_visits"]
    if cost is None:
        return
    loop = f"{cost['loop_cpu_ms']:.2f} of it on the loop (one call at most {cost['loop_longest_ms']:.2f} ms)"
    print_line(f"a kept visit: {cost['cpu_ms']:.1f} ms of CPU time, {loop}, {cost['kib']:.0f} KiB; of {cost['visits']}")


def show_training(row: Row | None) -> None:
    """What a trained classifier costs beside its embeddings."""
    if row is None:
        return
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
    print_line(f"others took {document['others_share']:.0%} of it")
    print_line(f"{document['people']} people; made from one and the same file of the release before")
    print_line()
    print_table(
        ["", "ours", "before", "limit", "goal", "ours to before"],
        [
            [told, *(cell(row[key], "g") for key in ("ours", "before", "limit", "goal", "ratio_to_before"))]
            for key, told in _OF_GALLERY.items()
            if (row := document["gallery_store"].get(key)) is not None
        ],
        "Nothing was measured.",
    )
    print_line()
    show_matching(document["gallery"])
    if (took_ms := document["gallery"]["rerank200_ms"]) is not None:
        print_line(f"re-ranking of 200 candidates of 512 numbers: {took_ms:.2f} ms")


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
    if cost is None:
        return
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
