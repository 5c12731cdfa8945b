"""`cameras ...`: cameras listed, looked at, found, and changed by command."""

from typing import ClassVar

import typer

from streamer.cli.listed import Listed, ListedGroup


class Cameras(ListedGroup):
    """A module, mostly, for what belongs together."""

    listed: ClassVar = {
        "list": Listed("cameras.listing", "List the cameras and where each comes from (passwords are not shown)."),
        "probe": Listed("cameras.probe", "Open a camera, watch it for a moment, say what it sends and what is odd."),
        "add": Listed("cameras.edits", "Add a camera."),
        "set": Listed("cameras.edits", "Change a camera: those of its keys that are given."),
        "enable": Listed("cameras.edits", "Open a camera again."),
        "disable": Listed("cameras.edits", "Close a camera until it is enabled, over restarts, too."),
        "remove": Listed("cameras.edits", "Take a camera away."),
        "reset": Listed(
            "cameras.edits",
            "Forget what was changed by command: a camera is as the YAML has it again, one that was removed, too.",
        ),
        "discover": Listed(
            "cameras.discover",
            "Find the cameras of the local network by ONVIF; with a login, their streams and the lines to paste.",
        ),
    }


def register(app: typer.Typer) -> None:
    cameras = typer.Typer(
        cls=Cameras,
        no_args_is_help=True,
        help="List cameras, look at one, add, change or remove one.",
        epilog="Example: whosthere cameras probe door",
    )
    app.add_typer(cameras, name="cameras")
