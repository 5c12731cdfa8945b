"""`train`: a classifier of people's own photos, for cameras with `names: classifier` or `both`."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
import uvloop

from gallery.classifier.errors import ClassifierStale, ClassifierUnavailable, TrainingImpossible
from gallery.classifier.folder import make_stale, write
from gallery.errors import TargetUnwritable
from gallery.people import Profile
from recognition.recogniser import open_recogniser
from recognition.specs.spec import EmbedderSpec
from streamer import __version__
from streamer.cli.options import AsJson, ConfigFile, Overrides, note, print_json, print_line, settings_of
from streamer.cli.progress import progress_of
from streamer.model_layer.setup import make_manager, recogniser_config
from streamer.naming.places import note_place
from streamer.pipeline.match_policy import own_threshold_spec
from streamer.process import make_data_folder, open_gallery
from streamer.settings import Settings

if TYPE_CHECKING:
    from gallery.classifier.embedding import CropEmbedder
    from gallery.classifier.sources import FaceTable
    from gallery.classifier.train import Samples, Training, TrainOptions

GALLERY = "gallery"


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: whosthere train --source faces.db --out model")(train)


def train(
    source: Annotated[
        str, typer.Option(help="Whose faces: `gallery`, or a SQLite file with a table `face`.", metavar="gallery|FILE")
    ] = GALLERY,
    embedder: Annotated[
        str | None, typer.Option(help="Network that embeds them; default: recognition.embedder.", metavar="SPEC")
    ] = None,
    classifier: Annotated[
        Literal["svc", "knn", "centroid"], typer.Option(help="Linear SVC, nearest face, or nearest mean.")
    ] = "svc",
    out: Annotated[
        Path | None, typer.Option(help="Folder for its files; default: paths.classifier.", metavar="DIR")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="The same faces and seed give the same bytes.")] = 42,
    validation_share: Annotated[
        float, typer.Option(min=0.01, max=0.9, help="Share of each person's faces that its accuracy is measured on.")
    ] = 0.2,
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Train a classifier on verified faces of people: of the gallery, or of a table `face` in a SQLite file.

    Cameras with `names: classifier` or `both` use it, a running service within two seconds. What is written is
    personal data: keep it as you keep the gallery.
    """
    settings = settings_of(config, overrides)
    logging.getLogger("gallery.classifier").setLevel(logging.INFO)
    if find_spec("sklearn") is None:
        raise ClassifierUnavailable("training needs scikit-learn; pip install 'whosthere[classifier]'")
    from gallery.classifier.classifier import owners_of
    from gallery.classifier.train import TrainOptions

    out = settings.paths.classifier if out is None else out
    options = TrainOptions(classifier, seed, validation_share, __version__)
    training = uvloop.run(_train(settings, source, embedder, options))
    _refuse_forgotten(settings, training.person_ids)
    _put(settings, out, training)
    try:
        _refuse_forgotten(settings, training.person_ids)
    except ClassifierStale:  # whoever erased them may have looked into the folder before
        make_stale(out)
        raise
    strange = len(training.person_ids) - sum(
        one is not None for one in owners_of(training.person_ids, _enrolled(settings))
    )
    if json:
        print_json({"out": str(out), "people": len(training.person_ids), "not_enrolled": strange} | training.metrics)
    else:
        _show(training.metrics)
        where = "" if out == settings.paths.classifier else f" and `paths.classifier: {out}`"
        print_line(f"{out} has it; a camera uses it by `names: classifier` or `names: both`{where}")
    if strange:
        note(_told_of_strange(strange, len(training.person_ids)))


async def _train(settings: Settings, source: str, name: str | None, options: "TrainOptions") -> "Training":
    from gallery.classifier.embedding import RecogniserEmbedder
    from gallery.classifier.sources import FaceTable
    from gallery.classifier.train import train as train_on

    table = None if source == GALLERY else FaceTable(Path(source))  # before a model is loaded for nothing
    try:
        if table is None and not _enrolled(settings):
            raise TrainingImpossible(
                f"nobody is enrolled in {settings.gallery_path}; enrol people, or give --source FILE"
            )
        manager = await asyncio.to_thread(make_manager, settings)
        try:
            if name is None:
                spec = own_threshold_spec(settings, manager)
            else:
                asked = manager.spec_of(name, EmbedderSpec)
                spec = manager.spec_of(asked.matched_by[0], EmbedderSpec)
            # One face a batch: with others its last bits might be others, and so the files' bytes.
            config = replace(recogniser_config(settings), embedder=spec.name, max_batch=1, embedder_at=None)
            async with open_recogniser(config, manager) as recogniser:
                embedder = RecogniserEmbedder(recogniser)
                with progress_of("faces") as told:
                    samples = await _samples(settings, table, embedder, told)
                return await train_on(samples, embedder.facts, options)
        finally:
            await asyncio.to_thread(manager.close)
    finally:
        if table is not None:
            table.close()


async def _samples(
    settings: Settings, table: "FaceTable | None", embedder: "CropEmbedder", told: Callable[[int, int], None]
) -> "Samples":
    from gallery.classifier.train import from_gallery, from_table

    if table is not None:
        return await from_table(table, embedder, told, _forgotten(settings))
    with open_gallery(settings) as store:
        return await from_gallery(store, embedder, told)


def _enrolled(settings: Settings) -> Mapping[str, Profile]:
    if not settings.gallery_path.exists():
        return {}
    with open_gallery(settings) as store:
        return store.profiles()


def _forgotten(settings: Settings) -> frozenset[str]:
    if not settings.gallery_path.exists():
        return frozenset()
    with open_gallery(settings) as store:
        return store.forgotten()


def _refuse_forgotten(settings: Settings, person_ids: tuple[str, ...]) -> None:
    """Raises ClassifierStale where somebody was forgotten while it was trained."""
    if not _forgotten(settings).isdisjoint(person_ids):
        raise ClassifierStale(
            "somebody was forgotten while the classifier was trained; nothing is written, train again"
        )


def _put(settings: Settings, out: Path, training: "Training") -> None:
    """Raises TargetUnwritable."""
    make_data_folder(settings.paths.data)
    try:
        note_place(settings, out)
    except OSError as error:
        raise TargetUnwritable(
            f"{settings.classifiers_path} can't be written ({error.strerror}), so nobody would be forgotten in {out}"
        ) from None
    write(out, training.files)


def _told_of_strange(strange: int, people: int) -> str:
    return (
        f"warning: {strange} of these {people} people are nobody in the gallery, and are not named: enrol each, or say "
        "who it is: whosthere people set PERSON --external-id THE_PERSON_ID_OF_THE_TABLE"
    )


def _show(metrics: dict[str, Any]) -> None:
    classes, samples, validation = metrics["classes"], metrics["samples"], metrics["validation"]
    print_line(f"trained on {samples['kept']} faces of {classes['kept']} people")
    if classes["dropped"]:
        print_line(f"left out   {classes['dropped']} people with one usable face alone; two are the least")
    told = [f"{count} {name.replace('_', ' ')}" for name, count in samples["skipped"].items()]
    if told:
        print_line(f"skipped    {', '.join(told)} (of {samples['read']} rows)")
    if samples["without_landmarks"]:
        print_line(f"whole      {samples['without_landmarks']} crops in which no face was found went in as they are")
    print_line(
        f"accuracy   {100 * validation['accuracy']:.1f} % of {validation['samples']} faces, by one that was trained on "
        f"the other {validation['trained_on']}"
    )
