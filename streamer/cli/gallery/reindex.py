"""`gallery reindex`: templates of kept photos for embedders that came later. A running service notices them."""

import sys
from typing import Annotated, Any

import typer
import uvloop

from gallery.enrolment.reindex import ReindexReport
from recognition.errors import CodedError
from recognition.models.manager import ModelManager
from recognition.specs.spec import DetectorSpec, EmbedderSpec, signature_of
from streamer.cli.options import AsJson, ConfigFile, Overrides, print_json, print_line, settings_of
from streamer.cli.progress import progress_of
from streamer.model_layer.coverage import embedders_behind
from streamer.model_layer.setup import ladder_of, make_manager
from streamer.process import make_data_folder, open_gallery
from streamer.settings import Settings

NOTHING = ReindexReport(0, 0, ())


def register(gallery: typer.Typer) -> None:
    gallery.command("reindex", epilog="Example: whosthere gallery reindex arcface_w600k_mbf")(reindex)


def reindex(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Embedders; default: recognition.embedder and the ladder.", metavar="MODEL"),
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Make missing templates from kept photos, for embedders that came after people's enrolment."""
    settings = settings_of(config, overrides, log_level="error")
    make_data_folder(settings.paths.data)
    manager = make_manager(settings)
    rows = [
        row
        for name in dict.fromkeys(names or ladder_of(settings, manager))
        for row in _reindex_named(name, manager, settings)
    ]
    if json:
        print_json({"models": rows})
    else:
        for row in rows:
            _show(row)
    failed = [row for row in rows if not row["ok"]]
    for line in dict.fromkeys(f"{row['why']} [{row['code']}]" for row in failed):
        sys.stderr.write(f"whosthere: {line}\n")
    if failed:
        raise typer.Exit(1)


def _reindex_named(name: str, manager: ModelManager, settings: Settings) -> list[dict[str, Any]]:
    """A row for the model; of two that have to agree, one for each."""
    try:
        specs = embedders_behind(manager, name)
    except CodedError as error:
        return [_failed(name, error)]
    return [_reindex_one(spec, manager, settings) for spec in specs]


def _reindex_one(spec: EmbedderSpec, manager: ModelManager, settings: Settings) -> dict[str, Any]:
    try:
        manager.need(spec.name)
        with open_gallery(settings) as store:
            lacking = store.count_without_template(spec.space) + store.count_negatives_without_template(spec.space)
            report = _made(spec, manager, settings) if lacking else NOTHING
            people = store.count()
            uncovered = people - len(set(store.templates(spec.space).person_ids))
    except CodedError as error:
        return _failed(spec.name, error)
    return {
        "name": spec.name,
        "ok": True,
        "code": None,
        "why": None,
        "space": spec.space,
        "added": report.added,
        "skipped": report.skipped,
        "unusable": [
            {"negative" if photo.is_negative else "photo": photo.photo_id, "person": photo.person_id, "why": photo.why}
            for photo in report.unusable
        ],
        "people": people,
        "people_without_template": uncovered,
    }


def _made(spec: EmbedderSpec, manager: ModelManager, settings: Settings) -> ReindexReport:
    from streamer.model_layer.backfill import reindex_for  # much, which --help does without

    detector = manager.spec_of(settings.recognition.detector, DetectorSpec)
    with progress_of(f"{spec.name}: photos") as told:
        return uvloop.run(
            reindex_for(spec.name, settings, manager, lambda embedder: signature_of(detector, embedder), told)
        )


def _failed(name: str, error: CodedError) -> dict[str, Any]:
    return {"name": name, "ok": False, "code": error.code, "why": str(error)}


def _show(row: dict[str, Any]) -> None:
    if not row["ok"]:
        return
    if not row["people"]:
        print_line(f"{row['name']}: nobody is enrolled yet")
        return
    covered = row["people"] - row["people_without_template"]
    told = f"{row['name']}: {row['added']} made; {covered} of {row['people']} people have a template"
    told += "" if covered == row["people"] else " (the others have no photo that gives one)"
    skipped = f", {row['skipped']} photos skipped (their person was forgotten meanwhile)" if row["skipped"] else ""
    print_line(told + skipped)
    for photo in row["unusable"]:
        which = f"photo {photo['photo']}" if "photo" in photo else f"negative {photo['negative']}"
        print_line(f"unusable  {which} of {photo['person']}: {photo['why']}")
