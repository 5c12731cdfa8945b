"""`bench` measures ours, the peer, the limit and the model layer; `--models` that alone, `--gallery` a large gallery,
`--matching` matching, `--rerank` re-ranking, `--ingest` cameras that publish, `--visits` what a kept visit costs,
`--train` a trained classifier, `--http` the API, `--mqtt` how fast the outbox drains, `--soak` looks for leaks,
`--idle` what quiet cameras cost beside the build before."""

import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import uvloop

from streamer.cli.bench.idle import run_idle_bench
from streamer.cli.bench.model_tables import show_model_layer
from streamer.cli.bench.speed_tables import show_speed
from streamer.cli.bench.tables import (
    show_gallery,
    show_http,
    show_ingest,
    show_matching,
    show_mqtt,
    show_rerank,
    show_training,
    show_visits,
)
from streamer.cli.bench.telling import Telling
from streamer.cli.options import AsJson, ConfigFile, Overrides, print_line, settings_of
from streamer.settings import Settings

if TYPE_CHECKING:
    from streamer.bench.model_layer import ModelBenchOptions
    from streamer.bench.parts import Parts

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
    if not idle and (part or seconds is not None):
        raise typer.BadParameter("--part and --seconds are of --idle; add --idle, or leave them out")
    settings = settings_of(config, overrides, log_level="warning")
    told = Telling(as_json=json)
    wanted = {
        "models": models,
        "matching": matching,
        "rerank": rerank,
        "train": train,
        "mqtt": mqtt,
        "idle": idle,
        "gallery": gallery,
        "ingest": ingest,
        "http": http,
        "visits": visits,
        "soak": soak,
    }
    (kind, *_) = [*(name for name, asked in wanted.items() if asked), "all"]
    with ended_as_by_ctrl_c(), tempfile.TemporaryDirectory(prefix="whosthere-bench-") as name:
        scratch = Path(name)
        if kind == "idle":
            run_idle_bench(settings, folder, faces, clip, negative, seconds, part, told)
            return
        if clip is None and kind in ("ingest", "http", "visits", "soak", "all"):
            clip = _sample_clip(scratch)
        asked = Asked(settings, scratch, folder.absolute(), clip, faces, people, minutes, all_models=all_models)
        told.document(*KINDS[kind](asked, told.parts))


@contextmanager
def ended_as_by_ctrl_c() -> Iterator[None]:
    """Its cameras, brokers and services are processes of their own: they end with it, however it is ended."""
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for on the command line. clip: None where none is needed."""

    settings: Settings
    scratch: Path
    folder: Path
    clip: Path | None
    faces: Path | None
    people: int
    minutes: float
    all_models: bool

    @property
    def film(self) -> Path:
        assert self.clip is not None, "this kind plays a clip"
        return self.clip


Answer = tuple[dict[str, Any], "Callable[[dict[str, Any]], None]"]


def _sample_clip(scratch: Path) -> Path:
    from streamer.demo.scene import render

    clip = scratch / "scene.mp4"
    render(clip, threading.Event())
    return clip


def _all(asked: Asked, parts: "Parts") -> Answer:
    from streamer.bench.run import BenchOptions, run_bench
    from streamer.bench.visits.run import run_visits

    options = BenchOptions(asked.film, asked.folder, models=_layer(asked))
    document = uvloop.run(run_bench(asked.settings, options, parts))
    cost = uvloop.run(
        parts.run("kept visits", run_visits(asked.settings, asked.film, asked.scratch, VISITS_S, parts.say))
    )
    return document | (cost or {"kept_visits": None}), _show_all


def _layer(asked: Asked) -> "ModelBenchOptions":
    from streamer.bench.model_layer import ALL_ARCHITECTURES, SOME_ARCHITECTURES, ModelBenchOptions

    return ModelBenchOptions(ALL_ARCHITECTURES if asked.all_models else SOME_ARCHITECTURES)


def _models(asked: Asked, parts: "Parts") -> Answer:
    from streamer.bench.run import run_models

    return uvloop.run(run_models(asked.settings, _layer(asked), parts)), show_model_layer


def _gallery(asked: Asked, parts: "Parts") -> Answer:
    from streamer.bench.gallery.run import GalleryBenchOptions, run_gallery

    options = GalleryBenchOptions(asked.folder, asked.people, faces=asked.faces)
    return {"people": options.people, **run_gallery(options, parts)}, show_gallery


def _matching(_: Asked, parts: "Parts") -> Answer:
    from streamer.bench.gallery.matching import run_matching

    found = parts.call("matching", run_matching)
    return {"gallery": found}, lambda document: show_matching(document["gallery"] or {})


def _rerank(_: Asked, parts: "Parts") -> Answer:
    from streamer.bench.gallery.rerank import run_rerank

    return {"rerank": parts.call("re-ranking", run_rerank)}, show_rerank


def _train(_: Asked, parts: "Parts") -> Answer:
    from streamer.bench.gallery.training import run_training

    found = parts.call("training", lambda: run_training(parts.say))
    return found or {"train": None}, lambda document: show_training(document["train"])


def _mqtt(asked: Asked, parts: "Parts") -> Answer:
    from streamer.bench.mqtt.run import run_mqtt

    document = uvloop.run(run_mqtt(asked.scratch, parts))
    return document, lambda document: show_mqtt(document["mqtt"])


def _ingest(asked: Asked, parts: "Parts") -> Answer:
    from streamer.bench.ingest import run_ingest

    document = uvloop.run(run_ingest(asked.film, asked.scratch, INGEST_S, parts))
    return {"clip": asked.film.name, **document}, lambda document: show_ingest(document["ingest"])


def _http(asked: Asked, parts: "Parts") -> Answer:
    from streamer.bench.api.run import HttpBenchOptions, run_http

    options = HttpBenchOptions(asked.film, asked.folder, asked.faces)
    return uvloop.run(run_http(asked.settings, options, asked.scratch, parts)), show_http


def _visits(asked: Asked, parts: "Parts") -> Answer:
    from streamer.bench.visits.run import run_visits

    work = run_visits(asked.settings, asked.film, asked.scratch, VISITS_S, parts.say)
    cost = uvloop.run(parts.run("kept visits", work))
    return {"clip": asked.film.name, **(cost or {"kept_visits": None})}, show_visits


def _soak(asked: Asked, parts: "Parts") -> Answer:
    from streamer.bench.soak import run_soak

    work = run_soak(asked.settings, asked.film, asked.minutes * 60.0, asked.scratch / "data", parts)
    samples = [asdict(sample) for sample in uvloop.run(work)]
    return {"clip": asked.film.name, "samples": samples}, lambda _: None  # its lines were told as they came


KINDS: dict[str, "Callable[[Asked, Parts], Answer]"] = {
    "all": _all,
    "models": _models,
    "gallery": _gallery,
    "matching": _matching,
    "rerank": _rerank,
    "train": _train,
    "mqtt": _mqtt,
    "ingest": _ingest,
    "http": _http,
    "visits": _visits,
    "soak": _soak,
}


def _show_all(document: dict[str, Any]) -> None:
    show_speed(document)
    print_line()
    show_visits(document)
    print_line()
    show_model_layer(document)
