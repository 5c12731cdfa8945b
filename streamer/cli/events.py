"""`events` follows the identity events on the broker; `--since` reads those of kept visits instead."""

import sys
import time
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Annotated

import orjson
import typer

from gallery.errors import GalleryError, PersonNotFound
from streamer.cli.camera_names import unknown_camera
from streamer.cli.options import AsJson, ConfigFile, Overrides, note, print_line, settings_of
from streamer.events.event import IdentityEvent
from streamer.process import readable_store_of


def register(app: typer.Typer) -> None:
    app.command(epilog='Example: whosthere events --since 8h --person "Ada Lovelace" --pictures seen')(events)


def events(
    config: ConfigFile = None,
    overrides: Overrides = None,
    camera: Annotated[str | None, typer.Option(help="Only this camera's.")] = None,
    person: Annotated[str | None, typer.Option(help="Only this person's: an id, or a name as events have it.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Of kept visits: from so long ago on (8h, 30m, 2d), or a time.", metavar="TIME")
    ] = None,
    until: Annotated[str | None, typer.Option(help="With --since: up to then.", metavar="TIME")] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="With --since: write the visits' pictures there.", metavar="FOLDER")
    ] = None,
    json: AsJson = False,
) -> None:
    """Follow the identity events on the broker: one line each (with --json: one JSON document a line).

    Goes on when the broker is back from an outage. With --since: those of visits that were kept
    (cameras.<name>.snapshots), whether a service runs or not.
    """
    if since is None and (until is not None or pictures is not None):
        raise typer.BadParameter("--until and --pictures are for kept visits; give --since TIME with them")
    settings = settings_of(config, overrides, log_level="warning")
    if since is not None:
        from streamer.cli.kept_events import Asked, kept_events, moment  # and their file, which the broker's do without

        now_at = time.time()
        until_at = float("inf") if until is None else moment(until, now_at)
        asked = Asked(moment(since, now_at), until_at, camera, person, pictures)
        for event, files in islice(kept_events(settings, asked), count):
            print_line(_document(event, files) if json else line_of(event, dated=True))
        return
    if camera is not None and camera not in settings.cameras:
        raise unknown_camera(camera, settings, "check --camera and --config")
    if person is not None and settings.gallery_path.is_file():
        try:
            with readable_store_of(settings) as store:
                store.find(person)
        except PersonNotFound as error:  # who may be enrolled elsewhere, at the service's own machine
            note(f"{error}; waiting for events of {person!r} all the same")
        except GalleryError:
            pass  # it is the service's to say so

    def show(event: IdentityEvent) -> None:
        if json:
            print_line(_document(event))
        else:
            print_line(line_of(event))
        sys.stdout.flush()  # somebody waits for it at the other end of a pipe

    from streamer.cli.live_events import follow  # all of MQTT, which kept visits do without

    follow(settings.mqtt, show, camera=camera, person=person, count=count)


def _document(event: IdentityEvent, pictures: Mapping[str, str] | None = None) -> str:
    """pictures: which files they are in, by kind."""
    document = event.model_dump(by_alias=True)
    return orjson.dumps(document | {"pictures": pictures} if pictures else document).decode()


def line_of(event: IdentityEvent, *, dated: bool = False) -> str:
    """An event as one line of text for people."""
    when = time.strftime("%Y-%m-%d %H:%M:%S" if dated else "%H:%M:%S", time.localtime(event.captured_at))
    who = event.decision if event.person is None else event.person.name or event.person.id
    if event.candidates:
        who += f" ({' or '.join(one.name or one.id for one in event.candidates)})"
    similarity = "" if event.similarity is None else f" similarity {event.similarity:.2f}"
    reason = f" ({event.end_reason})" if event.end_reason else ""
    return f"{when} {event.camera} {event.type} {who}{similarity}{reason}"
