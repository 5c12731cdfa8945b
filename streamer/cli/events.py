"""`events` follows the identity events on the broker."""

import asyncio
import signal
import sys
import time
from typing import Annotated

import orjson
import typer
import uvloop

from streamer.cli.options import AsJson, ConfigFile, Overrides, print_line, settings_of
from streamer.events.event import IdentityEvent
from streamer.mqtt.subscriber import follow
from streamer.settings import Settings


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: whosthere events --camera door")(events)


def events(
    config: ConfigFile = None,
    overrides: Overrides = None,
    camera: Annotated[str | None, typer.Option(help="Only this camera's.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many.")] = None,
    json: AsJson = False,
) -> None:
    """Follow the identity events on the broker: one line each (with --json: one JSON document a line)."""
    uvloop.run(_follow(settings_of(config, overrides, log_level="warning"), camera, count, json))


async def _follow(settings: Settings, camera: str | None, count: int | None, json: bool) -> None:
    def show(event: IdentityEvent) -> None:
        if json:
            print_line(orjson.dumps(event.model_dump(by_alias=True)).decode())
        else:
            print_line(line_of(event))
        sys.stdout.flush()  # somebody waits for it at the other end of a pipe

    following = asyncio.create_task(
        follow(settings.mqtt, on_event=show, camera=camera, count=count), name="follow events"
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, following.cancel)
    try:
        await following
    except asyncio.CancelledError:
        return


def line_of(event: IdentityEvent) -> str:
    """An event as one line of text for people."""
    when = time.strftime("%H:%M:%S", time.localtime(event.captured_at))
    who = "unknown" if event.person is None else event.person.name or event.person.id
    similarity = "" if event.similarity is None else f" similarity {event.similarity:.2f}"
    reason = f" ({event.end_reason})" if event.end_reason else ""
    return f"{when} {event.camera} {event.type} {who}{similarity}{reason}"
