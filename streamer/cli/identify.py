"""`identify`: who is in these photos, by the gallery. Nothing is kept of them."""

import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop

from recognition.errors import ImageError
from recognition.image import read_image
from recognition.recogniser import open_recogniser
from streamer.cli.options import AsJson, ConfigFile, Overrides, print_json, print_line, settings_of
from streamer.model_layer.setup import make_manager, recogniser_config
from streamer.people.identified import photo_document, unread_document
from streamer.pipeline.live_gallery import LiveGallery
from streamer.pipeline.stills import identify_still
from streamer.settings import Names, Settings
from streamer.telemetry.metrics import Metrics


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: whosthere identify party.jpg --json")(identify)


def identify(
    images: Annotated[list[Path], typer.Argument(help="Photos.", metavar="IMAGE")],
    config: ConfigFile = None,
    overrides: Overrides = None,
    names: Annotated[
        Names, typer.Option(help="Whose word a name is: the gallery's, the trained classifier's, or both's.")
    ] = "gallery",
    json: AsJson = False,
) -> None:
    """Say who is in these photos, by the gallery. Exit code 1 where one of them could not be read."""
    settings = settings_of(config, overrides, log_level="error")
    rows, unread = uvloop.run(_identify(settings, images, names))
    if json:
        print_json({"images": rows})
    else:
        for row in rows:
            _show(row)
    for error in unread:
        sys.stderr.write(f"whosthere: {error} [{error.code}]\n")
    if unread:
        raise typer.Exit(1)


async def _identify(
    settings: Settings, images: Sequence[Path], names: Names
) -> tuple[list[dict[str, Any]], list[ImageError]]:
    rows: list[dict[str, Any]] = []
    unread: list[ImageError] = []
    manager = await asyncio.to_thread(make_manager, settings)
    try:
        async with (
            open_recogniser(recogniser_config(settings), manager) as recogniser,
            LiveGallery.open(settings, recogniser, Metrics()) as gallery,
        ):
            await _load_classifier(gallery, names)
            for path in images:
                try:
                    image = await asyncio.to_thread(read_image, path)
                except ImageError as error:
                    unread.append(error)
                    rows.append(unread_document(str(path), error))
                    continue
                faces = await identify_still(image, recogniser, gallery, settings.recognition.min_quality, names)
                rows.append(photo_document(str(path), faces, gallery.name_of))
    finally:
        await asyncio.to_thread(manager.close)
    return rows, unread


async def _load_classifier(gallery: LiveGallery, names: Names) -> None:
    """Raises what keeps it from being used: who asks for it wants to know."""
    gallery.classifier.is_wanted = names != "gallery"
    logging.getLogger("streamer.naming").setLevel(logging.CRITICAL)  # it is raised here, and told as every refusal
    await gallery.classifier.look()
    if gallery.classifier.trouble is not None:
        raise gallery.classifier.trouble


def _alike(candidate: dict[str, Any]) -> str:
    return f"{candidate['name']} {candidate['similarity']:.2f}"


def _similarity(similarity: float | None, threshold: float | None) -> str:
    """With so many digits that what fell short of the threshold looks so."""
    if similarity is None:
        return ""
    if threshold is None:
        return f" similarity {similarity:.2f}"
    digits = 2 if f"{similarity:.2f}" != f"{threshold:.2f}" else 4
    return f" similarity {similarity:.{digits}f} (threshold {threshold:.{digits}f})"


def _show(row: dict[str, Any]) -> None:
    if "error" in row:
        return  # told on stderr
    if not row["faces"]:
        print_line(f"{row['file']}: no face")
    for face in row["faces"]:
        person = face["person"]
        who = face["decision"] if person is None else f"{person['name']} ({person['id']})"
        if face["candidates"]:
            who += f" ({' or '.join(_alike(one) for one in face['candidates'])})"
        if face["ignored"]:
            who += ", ignored"
        similarity = _similarity(face["similarity"], face["threshold"] if person is None else None)
        at = ", ".join(f"{edge:.0f}" for edge in face["box"])
        print_line(f"{row['file']}: {who}{similarity} quality {face['quality']:.2f} at {at}")
