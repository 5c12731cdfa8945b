"""`whosthere demo`, all of it: settings and options in, a live table of identity events and a summary out.

It brings its own broker, data folder and, unless told otherwise, camera, and hears of the events as anybody
would: as a subscriber. Runs on the loop; drawing the sample scene has a thread.
"""

import asyncio
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import orjson

from streamer.app import running_service
from streamer.demo.screen import Screen, open_screen
from streamer.demo.stage import prepare, source_camera
from streamer.demo.summary import DemoSummary, Tally
from streamer.demo.truth import SceneTruth
from streamer.events.event import IdentityEvent
from streamer.mqtt.embedded_broker import embedded_broker
from streamer.mqtt.subscriber import follow
from streamer.process import stop_signals
from streamer.settings import Settings

T = TypeVar("T")

# After the service has stopped, its last messages are on their way through the broker.
QUIET_S = 0.3
LAST_WORDS_S = 3.0


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the command line asks for.

    seconds: how long to watch once the service runs; None: until Ctrl-C. source: a configured camera, a URL,
    a device or a file to play instead of the sample scene. enrol_folder: people to enrol, one folder of
    photos each. json: only the summary goes to stdout, as JSON. mqtt_port 0: any free port.
    """

    seconds: float | None = None
    source: str | None = None
    enrol_folder: Path | None = None
    json: bool = False
    mqtt_port: int = 0


async def run_demo(settings: Settings, options: DemoOptions) -> DemoSummary:
    """Get ready, watch, print the summary; Ctrl-C and SIGTERM end it in the same way.

    Raises the CodedErrors of what can't be started (some in an exception group): weights that are missing, a
    source that is not there, photos from which nobody can be enrolled.
    """
    started_s = time.monotonic()
    cameras = source_camera(settings, options.source) if options.source is not None else None
    tally = Tally(scene_is_known=cameras is None)
    screen = open_screen(to_stderr=options.json, log_format=settings.service.log_format)
    with tempfile.TemporaryDirectory(prefix="whosthere-demo-") as name, screen, _stopped_by_signals() as stop:
        folder = Path(name)
        preparing = prepare(settings, folder, cameras, options.enrol_folder, _guarded(screen.note, stop))
        ready = await _unless(stop, preparing)
        if ready is None:
            summary = tally.summary(seconds=0.0, prepared_s=time.monotonic() - started_s, mqtt=None)
        else:
            summary = await _watch(ready, options, tally, screen, stop, started_s)
    _tell(summary, options)
    return summary


async def _watch(
    settings: Settings, options: DemoOptions, tally: Tally, screen: Screen, stop: asyncio.Event, started_s: float
) -> DemoSummary:
    """Run broker, subscriber and service until it is time to stop; the subscriber hears it out."""
    ran_from_s = ran_to_s = time.monotonic()
    listening, heard, truth = asyncio.Event(), asyncio.Event(), SceneTruth()
    note, show = _guarded(screen.note, stop), _guarded(screen.event, stop)

    def hear(event: IdentityEvent) -> None:
        heard.set()
        tally.add(event, time.monotonic() - ran_from_s, truth.shown(event))
        show(event)

    async with embedded_broker(port=options.mqtt_port) as port:
        mqtt = settings.mqtt.model_copy(update={"port": port, "version": "3.1.1"})  # amqtt knows no 5
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(follow(mqtt, on_event=hear, on_listening=listening.set), name="follow events")
            await listening.wait()
            async with running_service(settings.model_copy(update={"mqtt": mqtt}), own_broker=True) as service:
                ran_from_s = time.monotonic()
                truth.camera = service.cameras[0]
                topics = shlex.quote(f"{mqtt.topic_prefix}/#")
                note(f"subscribe with: mosquitto_sub -h {mqtt.host} -p {port} -t {topics} -v")
                note(f"metrics: http://{settings.http.host}:{service.http_port}/metrics")
                note(f"Ctrl-C ends it{f', or {options.seconds:g} s' if options.seconds else ''}")
                with suppress(TimeoutError):
                    async with asyncio.timeout(options.seconds):
                        await stop.wait()
                ran_to_s = time.monotonic()
            await _until_quiet(heard, tally)
            following.cancel()
    return tally.summary(seconds=ran_to_s - ran_from_s, prepared_s=ran_from_s - started_s, mqtt=f"{mqtt.host}:{port}")


async def _until_quiet(heard: asyncio.Event, tally: Tally) -> None:
    """Wait for the `end` of every open visit, and for the broker to have nothing more to say."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LAST_WORDS_S):
            while True:
                heard.clear()
                try:
                    async with asyncio.timeout(QUIET_S):
                        await heard.wait()
                except TimeoutError:
                    if not tally.open_visits:
                        return


async def _unless(stop: asyncio.Event, work: Coroutine[None, None, T]) -> T | None:
    """The work's result; None, the work cancelled, where `stop` comes first."""
    working = asyncio.create_task(work, name="prepare demo")
    stopping = asyncio.create_task(stop.wait(), name="wait for Ctrl-C")
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        working.cancel()
        stopping.cancel()
        await asyncio.wait((working, stopping))


@contextmanager
def _stopped_by_signals() -> Iterator[asyncio.Event]:
    """An event that Ctrl-C, SIGTERM and SIGHUP set, for as long as the context lasts."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    numbers = stop_signals()
    for number in numbers:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _guarded(write: Callable[[T], None], stop: asyncio.Event) -> Callable[[T], None]:
    """`whosthere demo | head`: once nobody reads, the demo is over; raising would only end the subscriber."""

    def guarded(item: T) -> None:
        try:
            write(item)
        except BrokenPipeError:
            stop.set()

    return guarded


def _tell(summary: DemoSummary, options: DemoOptions) -> None:
    """The last word: lines for people, or the JSON document alone on stdout and the lines on stderr."""
    lines = summary.lines()
    if options.source is None:
        lines.append(
            "One photograph of the person who is named stands behind both the scene and the enrolment, and the "
            "strangers are nobody: this shows that everything works together, not how accurate it is."
        )
    people = sys.stderr if options.json else sys.stdout
    people.write("\n".join(lines) + "\n")
    if options.json:
        document = orjson.dumps(summary.document(), option=orjson.OPT_INDENT_2)
        sys.stdout.write(document.decode() + "\n")
