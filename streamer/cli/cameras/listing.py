"""`cameras list`: which are configured, and where each comes from."""

import typer

from streamer.cameras import edits
from streamer.cli.cameras.edits import configured
from streamer.cli.options import AsJson, ConfigFile, Overrides, print_json, print_line, print_table
from streamer.ingest.address import publishers_url, redacted_url


def register(cameras: typer.Typer) -> None:
    cameras.command("list", epilog="Example: whosthere cameras list --json")(list_cameras)


def list_cameras(config: ConfigFile = None, overrides: Overrides = None, json: AsJson = False) -> None:
    """List the cameras and where each comes from (passwords are not shown)."""
    settings, layers, changes = configured(config, overrides)
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
