"""`cameras list|probe|discover`; the commands that change cameras are camera_edits.py's."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer
import uvloop

from streamer.cameras import edits
from streamer.cli import camera_edits, discover
from streamer.cli.camera_names import camera_or_url
from streamer.cli.options import AsJson, ConfigFile, Overrides, print_json, print_line, print_table, settings_of
from streamer.ingest.address import publishers_url, redacted_url
from streamer.settings import CameraSettings, Settings

if TYPE_CHECKING:
    from streamer.ingest.probe import ProbeReport

cameras = typer.Typer(
    no_args_is_help=True,
    help="List cameras, look at one, add, change or remove one.",
    epilog="Example: whosthere cameras probe door",
)


def register(app: typer.Typer) -> None:
    camera_edits.register(cameras)
    app.add_typer(cameras, name="cameras")
    discover.register(cameras)


@cameras.command("list", epilog="Example: whosthere cameras list --json")
def list_cameras(config: ConfigFile = None, overrides: Overrides = None, json: AsJson = False) -> None:
    """List the cameras and where each comes from (passwords are not shown)."""
    settings, layers, changes = camera_edits.configured(config, overrides)
    rows = [
        {
            "name": name,
            "url": redacted_url(c.url),
            "fps": c.fps,
            "pace": c.pace,
            "loop": c.loop,
            "enabled": c.enabled,
            "from": edits.whence(name, layers, changes),
            "publish_to": publishers_url(settings.ingest.rtsp, name) if c.is_published else None,
        }
        for name, c in settings.cameras.items()
    ]
    removed = [name for name, change in changes.items() if change is None]
    if json:
        print_json({"cameras": rows, "removed": removed})
        return
    print_table(
        ["name", "url", "fps", "pace", "loop", "enabled", "from", "publish to"],
        [["" if value is None else value for value in row.values()] for row in rows],
        "No cameras are configured; add some under `cameras:`, or by `whosthere cameras add`.",
    )
    for name in removed:
        print_line(f"{name}: removed by command; `whosthere cameras reset {name}` brings it back")


async def _probe(settings: Settings, camera: CameraSettings, name: str, watch_s: float) -> "ProbeReport":
    # Streams and models, which the other commands of this group do without.
    from streamer.cameras.probing import probed
    from streamer.model_layer.setup import open_for_enrolment

    wake_within_s = settings.recognition.wake_within_s
    return await probed(camera, name, watch_s, lambda: open_for_enrolment(settings), wake_within_s)


@cameras.command("probe", epilog="Example: whosthere cameras probe 'rtsp://${CAM_USER}:${CAM_PASSWORD}@192.0.2.9/h264'")
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
