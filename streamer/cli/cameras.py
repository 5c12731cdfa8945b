"""`cameras list|probe`."""

from dataclasses import asdict
from typing import Annotated

import typer
import uvloop

from streamer.cli.options import (
    AsJson,
    ConfigFile,
    Overrides,
    print_json,
    print_line,
    print_table,
    settings_of,
)
from streamer.errors import CameraUnknown
from streamer.ingest.address import redact
from streamer.ingest.probe import probe as probe_source
from streamer.settings import CameraSettings, camera_url

cameras = typer.Typer(no_args_is_help=True, help="List the configured cameras, or look at one.")


def register(app: typer.Typer) -> None:
    app.add_typer(cameras, name="cameras")


@cameras.command("list", epilog="Example: whosthere cameras list --json")
def list_cameras(config: ConfigFile = None, overrides: Overrides = None, json: AsJson = False) -> None:
    """List the configured cameras (passwords are not shown)."""
    settings = settings_of(config, overrides)
    rows = [
        {
            "name": name,
            "url": redact(c.url),
            "fps": c.fps,
            "pace": c.pace,
            "loop": c.loop,
            "enabled": c.enabled,
        }
        for name, c in settings.cameras.items()
    ]
    if json:
        print_json({"cameras": rows})
    else:
        print_table(
            ["name", "url", "fps", "pace", "loop", "enabled"],
            [list(row.values()) for row in rows],
            "No cameras are configured; add some under `cameras:`.",
        )


@cameras.command("probe", epilog="Example: whosthere cameras probe 'rtsp://${CAM_USER}:${CAM_PASSWORD}@192.0.2.9/h264'")
def probe(
    name_or_url: Annotated[str, typer.Argument(help="A configured camera, or a URL, file or device.")],
    config: ConfigFile = None,
    overrides: Overrides = None,
    transport: Annotated[str | None, typer.Option(help="tcp or udp, for RTSP.")] = None,
    json: AsJson = False,
) -> None:
    """Open a camera, look at its first frame, and say what it sends. ${VAR} in a quoted URL is expanded."""
    settings = settings_of(config, overrides)
    camera = settings.cameras.get(name_or_url)
    if camera is None:
        if not any(mark in name_or_url for mark in "/:."):
            known = ", ".join(settings.cameras) or "none"
            raise CameraUnknown(f"{name_or_url} is no configured camera (there are: {known}) and no URL")
        camera = CameraSettings(url=name_or_url)
    if transport:
        camera = CameraSettings.model_validate({**camera.model_dump(), "transport": transport})
    report = uvloop.run(probe_source(camera_url(camera), camera))
    if json:
        print_json(asdict(report))
    else:
        for key, value in asdict(report).items():
            print_line(f"{key:14} {value}")
