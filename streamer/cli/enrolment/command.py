"""`enrol`: photos, a clip, a camera or a kept visit -> a person in the gallery; a folder, a CSV, a ZIP or another
program's store of faces -> many.

A running service notices within a second.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import uvloop

from gallery.enrolment.enrol import EnrolReport, Outcome, Pick, Terms, enrol_many
from gallery.enrolment.enrol import enrol as enrol_photos
from gallery.enrolment.listing import Listing
from gallery.enrolment.pictures import enrol_pictures
from gallery.errors import NoPhotoAccepted
from streamer.cli.camera_names import camera_or_url
from streamer.cli.enrolment import telling
from streamer.cli.options import AsJson, ConfigFile, Overrides, note, print_json, settings_of
from streamer.cli.progress import progress_of
from streamer.enrolment.people_source import open_people
from streamer.enrolment.pictures import pictures_of
from streamer.enrolment.visit import enrol_visits
from streamer.ingest.address import redacted_url
from streamer.model_layer.enrolling import EnrolmentDesk
from streamer.model_layer.setup import open_for_enrolment
from streamer.motion.areas import Areas
from streamer.motion.within import finder_within
from streamer.people.enrolment_document import document, nobody
from streamer.process import open_gallery
from streamer.settings import CameraSettings, Settings

CLIPS = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".3gp", ".wmv", ".flv"})
_WORTH_A_BAR = 20
_CLIP_S, _CAMERA_S = 60.0, 10.0

Enrolling = Callable[[EnrolmentDesk, Terms], Coroutine[Any, Any, tuple[EnrolReport, int]]]


def register(app: typer.Typer) -> None:
    app.command(
        epilog='Example: whosthere enrol "Ada Lovelace" ada1.jpg ada2.jpg; whosthere enrol --from people.zip; '
        'whosthere enrol "Ada Lovelace" --from-camera door'
    )(enrol)


def enrol(
    name: Annotated[
        str | None, typer.Argument(help="The person's name (not with --from).", metavar="NAME", show_default=False)
    ] = None,
    images: Annotated[
        list[Path] | None,
        typer.Argument(help="Photos that show this person, or one clip.", metavar="IMAGE|CLIP", show_default=False),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Many people: a folder or ZIP with a folder for each, a CSV with the columns name,file "
            "(external_id,tags), Frigate's or Double Take's folder, or the URL of a CompreFace.",
            metavar="FOLDER|CSV|ZIP|URL",
        ),
    ] = None,
    camera: Annotated[
        str | None, typer.Option("--from-camera", help="Who is before this camera now, alone.", metavar="CAMERA")
    ] = None,
    visit: Annotated[
        str | None, typer.Option("--from-visit", help="Whom a kept visit shows.", metavar="EVENT_ID")
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=1, max=600, help=f"How long a camera is watched ({_CAMERA_S:g}), or a clip ({_CLIP_S:g}).", metavar="S"
        ),
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    pick: Annotated[
        Literal["largest"] | None,
        typer.Option(help="Which face to take where a photo shows several, whoever is beside it."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Enrol somebody who looks like a person of another name.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Enrol a person, or add photos to one; or many people. Good photos are kept, the others named with the reason.

    Of several faces in a photo the one is taken that is by far the largest, or that the person's other photos show
    too. Of all a diverse few are kept. Run again, it goes on where it was.
    """
    photos = images or []
    _check_usage(name, photos, source, camera, visit, seconds)
    settings = settings_of(config, overrides, log_level="warning")
    if source is not None:
        uvloop.run(_many(settings, source, pick, force=force, as_json=json))
        return
    assert name is not None
    if visit is not None:
        _one(settings, _from_visit(name, visit, settings), pick, "faces", force=force, as_json=json)
    elif camera is not None:
        found, called = camera_or_url(settings, camera)
        note(_looking_at(redacted_url(camera), seconds or _CAMERA_S))
        made = _from_pictures(name, found, called, seconds or _CAMERA_S)
        _one(settings, made, pick, "pictures", force=force, as_json=json)
    elif _is_clip(photos[0]):
        note(_looking_at(photos[0].name, seconds or _CLIP_S))
        made = _from_pictures(name, CameraSettings(url=str(photos[0])), photos[0].name, seconds or _CLIP_S)
        _one(settings, made, pick, "pictures", force=force, as_json=json)
    else:
        _one(settings, _from_photos(name, photos), pick, "photos", force=force, as_json=json)


def _check_usage(
    name: str | None,
    photos: Sequence[Path],
    source: str | None,
    camera: str | None,
    visit: str | None,
    seconds: float | None,
) -> None:
    given = [bool(photos), source is not None, camera is not None, visit is not None]
    if source is not None and name is not None:
        raise typer.BadParameter("--from says who is who: leave out NAME (or quote a path with blanks)")
    if source is None and name is None:
        raise typer.BadParameter("Missing argument 'NAME', or --from FOLDER|CSV|ZIP|URL")
    if not any(given):
        raise typer.BadParameter("Missing argument 'IMAGE', or --from-camera, or --from-visit")
    if sum(given) != 1:
        raise typer.BadParameter("give one of: photos, a clip, --from, --from-camera, --from-visit")
    has_clip = any(_is_clip(photo) for photo in photos)
    if has_clip and len(photos) > 1:
        raise typer.BadParameter("give a clip by itself, and photos by another enrol: they are added")
    if seconds is not None and camera is None and not has_clip:
        raise typer.BadParameter("--seconds is for a camera or a clip")


def _is_clip(path: Path) -> bool:
    return path.suffix.lower() in CLIPS


@asynccontextmanager
async def _desk(settings: Settings) -> AsyncIterator[EnrolmentDesk]:
    with open_gallery(settings) as store:
        async with open_for_enrolment(settings) as recogniser:
            yield EnrolmentDesk(settings, recogniser, store)


def _one(settings: Settings, enrolling: Enrolling, pick: Pick, what: str, *, force: bool, as_json: bool) -> None:
    """One person, from so many of `what`."""

    async def run() -> tuple[EnrolReport, int]:
        async with _desk(settings) as desk:
            return await enrolling(desk, desk.terms(pick, force=force, by_hand=what == "photos"))

    try:
        report, given = uvloop.run(run())
    except NoPhotoAccepted as error:
        if as_json:
            print_json(nobody(error.refused))
        elif len(error.refused) > 1:  # the error's line has room for a few
            telling.show_refused(error.refused)
        raise
    if as_json:
        print_json(document(report))
    else:
        telling.show(report, given, what)


def _from_photos(name: str, photos: Sequence[Path]) -> Enrolling:
    async def enrolling(desk: EnrolmentDesk, terms: Terms) -> tuple[EnrolReport, int]:
        with progress_of("photos") as told:
            progress = told if len(photos) >= _WORTH_A_BAR else _quiet
            report = await enrol_photos(
                name, photos, desk.finder, desk.store, terms, in_flight=desk.in_flight(), progress=progress
            )
        return report, len(photos)

    return enrolling


def _quiet(done: int, total: int) -> None:
    """A handful of photos is done before one could read how far they are."""


def _looking_at(what: str, seconds: float) -> str:
    return f"looking at {what} for {seconds:g} s at most; one person, alone and near, who turns the head a little"


def _from_pictures(name: str, camera: CameraSettings, called: str, seconds: float) -> Enrolling:
    async def enrolling(desk: EnrolmentDesk, terms: Terms) -> tuple[EnrolReport, int]:
        looked = 0

        def count() -> None:
            nonlocal looked
            looked += 1

        async with aclosing(pictures_of(called, camera, seconds)) as pictures:
            finder = finder_within(desk.finder, Areas(camera.masks, camera.regions))
            report = await enrol_pictures(name, Path(called), pictures, finder, desk.store, terms, count)
        return report, looked

    return enrolling


def _from_visit(name: str, event_id: str, settings: Settings) -> Enrolling:
    async def enrolling(desk: EnrolmentDesk, terms: Terms) -> tuple[EnrolReport, int]:
        report = await enrol_visits(name, [event_id], settings, desk.finder, desk.store, terms)
        return report, len(report.taken) + len(report.already) + len(report.left_out) + len(report.refused)

    return enrolling


async def _many(settings: Settings, source: str, pick: Pick, *, force: bool, as_json: bool) -> None:
    tally, people = telling.Tally(), list[dict[str, Any]]()

    def told(outcome: Outcome) -> None:
        tally.count(outcome)
        if as_json:
            people.append(telling.outcome_document(outcome))
        else:
            telling.show_outcome(outcome, tally)

    with open_people(source) as listing:
        telling.show_store(listing)
        await enrol_listing(settings, listing, pick, told, force=force)
    if as_json:
        print_json(telling.people_document(people, tally, listing))
    else:
        telling.show_tally(tally, listing)
    if not tally.passed:
        raise NoPhotoAccepted("no photo was accepted, nobody was enrolled: of each is told why")


async def enrol_listing(
    settings: Settings, listing: Listing, pick: Pick, told: Callable[[Outcome], None], *, force: bool
) -> None:
    """Many people, with a bar; `told` what became of each."""
    looked = 0
    for sitter, error in listing.alike:
        told(Outcome(sitter, None, error))
    async with _desk(settings) as desk:
        with progress_of("photos") as progress:

            def count() -> None:
                nonlocal looked
                looked += 1
                if listing.photos >= _WORTH_A_BAR:
                    progress(looked, listing.photos)

            terms, in_flight = desk.terms(pick, force=force, by_hand=False), desk.in_flight()
            sitters, read = listing.sitters, listing.read
            await enrol_many(
                sitters, desk.finder, desk.store, terms, told, read=read, in_flight=in_flight, looked=count
            )
