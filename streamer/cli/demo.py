"""`demo` runs everything on one machine with nothing else installed."""

from pathlib import Path
from typing import Annotated

import typer
import uvloop

from streamer.cli.options import AsJson, ConfigFile, Overrides, settings_of


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: whosthere demo --seconds 20 --json")(demo)


def demo(
    config: ConfigFile = None,
    overrides: Overrides = None,
    seconds: Annotated[float | None, typer.Option(min=1, help="End after so long; default: Ctrl-C.")] = None,
    source: Annotated[
        str | None, typer.Option(help="A URL, file or configured camera instead of the sample scene.")
    ] = None,
    enrol: Annotated[
        Path | None, typer.Option(help="Enrol these people: one folder of photos per person.", metavar="DIR")
    ] = None,
    json: AsJson = False,
) -> None:
    """Show it working: a broker, a sample camera, the service, and a live table of who is seen."""
    from streamer.demo.run import DemoOptions, run_demo  # its broker takes its time to import

    settings = settings_of(config, overrides, log_level="warning")
    uvloop.run(run_demo(settings, DemoOptions(seconds=seconds, source=source, enrol_folder=enrol, json=json)))
