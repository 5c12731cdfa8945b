"""`bench` measures ours, the peer, the limit and the model layer; `--models` that alone, `--gallery` a large gallery,
`--matching` matching, `--rerank` re-ranking, `--ingest` cameras that publish, `--visits` what a kept visit costs,
`--train` a trained classifier, `--http` the API, `--mqtt` how fast the outbox drains, `--soak` looks for leaks,
`--idle` what quiet cameras cost beside the build before."""

import tempfile
import threading
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import uvloop

from streamer.cli.bench.idle import run_idle_bench
from streamer.cli.bench.tables import (
    show_gallery,
    show_http,
    show_ingest,
    show_matching,
    show_model_layer,
    show_mqtt,
    show_rerank,
    show_training,
    show_visits,
)
from streamer.cli.options import AsJson, ConfigFile, Overrides, note, print_json, print_line, print_table, settings_of
from streamer.settings import Settings

if TYPE_CHECKING:
    from streamer.bench.api.run import HttpBenchOptions
    from streamer.bench.gallery.run import GalleryBenchOptions

INGEST_S = 20.0  # for which each way is measured
VISITS_S = 30.0
FACES_VARIABLE = "WHOSTHERE_BENCH_FACES"
NEGATIVE_VARIABLE = "WHOSTHERE_BENCH_NEGATIVE"


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: whosthere bench --clip street.mp4 --json")(bench)


def bench(
    config: ConfigFile = None,
    overrides: Overrides = None,
    clip: Annotated[
        Path | None, typer.Option(help="A clip with faces; default: the demo's scene.", metavar="FILE")
    ] = None,
    models: Annotated[bool, typer.Option("--models", help="The model layer alone: no clip, no peer.")] = False,
    all_models: Annotated[
        bool, typer.Option("--all-models", help="All published architectures, not the smallest of each family alone.")
    ] = False,
    soak: Annotated[bool, typer.Option("--soak", help="Reconnect cameras for --minutes, watch for leaks.")] = False,
    visits: Annotated[bool, typer.Option("--visits", help="What a kept visit costs, alone.")] = False,
    ingest: Annotated[
        bool, typer.Option("--ingest", help="Cameras that publish by RTSP, beside pulling and decoding alone.")
    ] = False,
    http: Annotated[
        bool, typer.Option("--http", help="The API beside the bare networks and the endpoint that people write.")
    ] = False,
    mqtt: Annotated[
        bool, typer.Option("--mqtt", help="How fast the outbox drains to mosquitto, in clear and by TLS, alone.")
    ] = False,
    idle: Annotated[
        bool, typer.Option("--idle", help="Quiet cameras and busy ones, beside the build before (out of git).")
    ] = False,
    part: Annotated[
        list[str] | None, typer.Option(help="Of --idle, this part alone; may be repeated.", metavar="PART")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=5.0, help="Each measurement of --idle takes no longer: a trial.")
    ] = None,
    negative: Annotated[
        Path | None, typer.Option(help="A clip without faces for --idle.", metavar="FILE", envvar=NEGATIVE_VARIABLE)
    ] = None,
    train: Annotated[bool, typer.Option("--train", help="A classifier of 200 people, alone.")] = False,
    minutes: Annotated[float, typer.Option(min=0.1, help="How long to soak.")] = 20.0,
    gallery: Annotated[
        bool, typer.Option("--gallery", help="A gallery of --people, beside the release before (out of git).")
    ] = False,
    matching: Annotated[bool, typer.Option("--matching", help="What matching costs beside bare FAISS, alone.")] = False,
    rerank: Annotated[bool, typer.Option("--rerank", help="What re-ranking costs on one core, alone.")] = False,
    people: Annotated[int, typer.Option(min=100, help="How many people that gallery has.")] = 100_000,
    faces: Annotated[
        Path | None,
        typer.Option(
            help="Real photos for it, --idle and --http: a ZIP with a folder a person.",
            metavar="ZIP",
            envvar=FACES_VARIABLE,
        ),
    ] = None,
    folder: Annotated[Path, typer.Option(help="Where the peer's environment is made and kept.", metavar="DIR")] = Path(
        ".bench"
    ),
    json: AsJson = False,
) -> None:
    """Measure frames a second against the usual loop and the bare limit, event latency, and the model layer."""
    from streamer.bench.api.run import HttpBenchOptions
    from streamer.bench.gallery.run import GalleryBenchOptions
    from streamer.bench.model_layer import ALL_ARCHITECTURES, SOME_ARCHITECTURES, ModelBenchOptions
    from streamer.bench.run import BenchOptions, run_bench, run_models
    from streamer.bench.visits.run import run_visits
    from streamer.demo.scene import render

    settings = settings_of(config, overrides, log_level="warning")
    layer = ModelBenchOptions(ALL_ARCHITECTURES if all_models else SOME_ARCHITECTURES)
    if models:
        _print(uvloop.run(run_models(settings, layer, note)), as_json=json)
        return
    if matching:
        _matching(as_json=json)
        return
    if rerank:
        _rerank(as_json=json)
        return
    if train:
        _train(as_json=json)
        return
    if mqtt:
        _mqtt(as_json=json)
        return
    if idle:
        run_idle_bench(settings, folder, faces, clip, negative, seconds, part, as_json=json)
        return
    if gallery:
        _gallery(GalleryBenchOptions(folder.absolute(), people, faces=faces), as_json=json)
        return
    with tempfile.TemporaryDirectory(prefix="whosthere-bench-") as scratch:
        if clip is None:
            clip = Path(scratch) / "scene.mp4"
            render(clip, threading.Event())
        if ingest:
            _ingest(clip, Path(scratch), as_json=json)
            return
        if http:
            _http(settings, HttpBenchOptions(clip, folder.absolute(), faces), Path(scratch), as_json=json)
            return
        if visits:
            _visits(settings, clip, Path(scratch), as_json=json)
            return
        if soak:
            _soak(settings, clip, minutes, Path(scratch) / "data", as_json=json)
            return
        options = BenchOptions(clip, folder.absolute(), models=layer)
        document = uvloop.run(run_bench(settings, options, note))
        document |= uvloop.run(run_visits(settings, clip, Path(scratch), VISITS_S, note))
        _print(document, as_json=json)


def _gallery(options: "GalleryBenchOptions", *, as_json: bool) -> None:
    from streamer.bench.gallery.run import run_gallery
    from streamer.bench.run import machine

    document = {"machine": machine(), "people": options.people, **run_gallery(options, note)}
    if as_json:
        print_json(document)
    else:
        show_gallery(document)


def _matching(*, as_json: bool) -> None:
    from streamer.bench.gallery.matching import run_matching
    from streamer.bench.run import machine

    document: dict[str, Any] = {"machine": machine(), "gallery": run_matching()}
    if as_json:
        print_json(document)
    else:
        print_line(f"machine: {document['machine']}")
        show_matching(document["gallery"])


def _rerank(*, as_json: bool) -> None:
    from streamer.bench.gallery.rerank import run_rerank
    from streamer.bench.run import machine

    document = {"machine": machine(), "rerank": run_rerank()}
    if as_json:
        print_json(document)
    else:
        show_rerank(document)


def _train(*, as_json: bool) -> None:
    from streamer.bench.gallery.training import run_training
    from streamer.bench.run import machine

    document = {"machine": machine(), **run_training(note)}
    if as_json:
        print_json(document)
    else:
        show_training(document["train"])


def _mqtt(*, as_json: bool) -> None:
    from streamer.bench.mqtt.run import run_mqtt
    from streamer.bench.run import machine

    with tempfile.TemporaryDirectory(prefix="whosthere-bench-") as scratch:
        document: dict[str, Any] = {"machine": machine(), **uvloop.run(run_mqtt(Path(scratch), note))}
    if as_json:
        print_json(document)
    else:
        print_line(f"machine: {document['machine']}")
        show_mqtt(document["mqtt"])


def _ingest(clip: Path, scratch: Path, *, as_json: bool) -> None:
    from streamer.bench.ingest import run_ingest
    from streamer.bench.run import machine

    document = {"machine": machine(), "clip": clip.name, **uvloop.run(run_ingest(clip, scratch, INGEST_S, note))}
    if as_json:
        print_json(document)
    else:
        show_ingest(document["ingest"])


def _http(settings: Settings, options: "HttpBenchOptions", scratch: Path, *, as_json: bool) -> None:
    from streamer.bench.api.run import run_http

    document = uvloop.run(run_http(settings, options, scratch, note))
    if as_json:
        print_json(document)
    else:
        show_http(document)


def _visits(settings: Settings, clip: Path, scratch: Path, *, as_json: bool) -> None:
    from streamer.bench.run import machine
    from streamer.bench.visits.run import run_visits

    cost = uvloop.run(run_visits(settings, clip, scratch, VISITS_S, note))
    document = {"machine": machine(), "clip": clip.name, **cost}
    if as_json:
        print_json(document)
    else:
        show_visits(document)


def _soak(settings: Settings, clip: Path, minutes: float, data: Path, *, as_json: bool) -> None:
    from streamer.bench.run import machine
    from streamer.bench.soak import run_soak

    samples = uvloop.run(run_soak(settings, clip, minutes * 60.0, data, note))
    if as_json:
        print_json({"machine": machine(), "clip": clip.name, "samples": [asdict(sample) for sample in samples]})


def _print(document: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(document)
        return
    print_line(f"machine: {document['machine']}")
    if "clip" in document:
        _show(document)
        print_line()
        show_visits(document)
        print_line()
    show_model_layer(document)


def _show(document: dict[str, Any]) -> None:
    print_line(
        f"clip: {document['clip']}, {document['laps']} times over, {document['frames']} frames; "
        f"best of {document['rounds']} rounds; {document['detector']} + {document['embedder']}"
    )
    print_line()
    d = document
    print_table(
        ["", "frames/s", "faces/s", "CPU s/frame", "ours is"],
        [
            ["ours", d["ours_fps"], d["faces_per_s"], d["cpu_s_per_frame"], ""],
            [
                "peer (insightface over OpenCV)",
                d["peer_fps"],
                d["peer_faces_per_s"],
                d["peer_cpu_s_per_frame"],
                f"{d['ratio_to_peer']} times as fast",
            ],
            ["limit (bare ONNX Runtime)", d["limit_fps"], "", "", f"{d['share_of_limit']:.1%} of it"],
            ["ours as shipped (padding spared)", d["shipped_fps"], "", d["shipped_cpu_s_per_frame"], ""],
        ],
        "",
    )
    print_line(f"agreement on who is seen: {document['track_agreement']:.2%}")
    print_line()
    print_table(
        ["cameras at 10 fps", "events", "told late", "p50 ms", "p95 ms", "p99 ms", "frames dropped", "loop lag p99 ms"],
        [
            [
                cameras,
                row["events"],
                row["told_late"],
                f"{row['p50']:.0f}",
                f"{row['p95']:.0f}",
                f"{row['p99']:.0f}",
                f"{row['dropped_share']:.2%}",
                f"{row['loop_lag_p99_ms']:.1f}",
            ]
            for cameras, row in document["latency_ms"].items()
        ],
        "",
    )
