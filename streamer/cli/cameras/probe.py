"""`cameras probe`: a camera opened and watched for a moment; what it sends, and what is odd."""

from dataclasses import asdict
from typing import Annotated, Literal

import typer
import uvloop

from streamer.cameras.probing import probed
from streamer.cli.camera_names import camera_or_url
from streamer.cli.options import AsJson, ConfigFile, Overrides, print_json, print_line, settings_of
from streamer.ingest.probe import ProbeReport
from streamer.model_layer.setup import open_for_enrolment
from streamer.settings import CameraSettings, Settings


def register(cameras: typer.Typer) -> None:
    cameras.command(
        "probe", epilog="Example: whosthere cameras probe 'rtsp://${CAM_USER}:${CAM_PASSWORD}@192.0.2.9/h264'"
    )(probe)


async def _probe(settings: Settings, camera: CameraSettings, name: str, watch_s: float) -> ProbeReport:
    wake_within_s = settings.recognition.wake_within_s
    return await probed(camera, name, watch_s, lambda: open_for_enrolment(settings), wake_within_s)


def probe(
    name_or_url: Annotated[
        str, typer.Argument(help="A configured camera, or a URL, file or device.", metavar="CAMERA_OR_URL")
    ],
    config: ConfigFile = None,
    overrides: Overrides = None,
    transport: Annotated[Literal["tcp", "udp"] | None, typer.Option(help="For RTSP.")] = None,
    seconds: Annotated[float, typer.Option(min=0, max=60, help="How long it is watched.")] = 4.0,
    json: AsJson = False,
) -> None:
    """Open a camera, watch it for a moment, say what it sends and what is odd. ${VAR} in a quoted URL is expanded."""
    settings = settings_of(config, overrides)
    camera, name = camera_or_url(settings, name_or_url)
    if transport:
        camera = camera.model_copy(update={"transport": transport})
    report = asdict(uvloop.run(_probe(settings, camera, name, seconds)))
    found = {key: round(value, 3) if isinstance(value, float) else value for key, value in report.items()}
    if json:
        print_json(found)
    else:
        for key, value in found.items():
            lines = (value or ("-",)) if isinstance(value, tuple) else ("-" if value is None else value,)
            for number, line in enumerate(lines):
                print_line(f"{'' if number else key:21} {line}")
