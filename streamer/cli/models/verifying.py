"""`models verify` and `models selftest`: whether weights are unaltered, and whether models behave."""

import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer
import uvloop

from recognition.errors import CodedError
from recognition.models.manager import ModelManager
from recognition.specs.spec import DetectorSpec, EmbedderSpec
from streamer.checks import selftest_model
from streamer.cli.options import AsJson, ConfigFile, Overrides, print_json, print_line, settings_of
from streamer.model_layer.setup import ladder_of, make_manager, verify_model
from streamer.settings import Settings

Names = Annotated[
    list[str] | None, typer.Argument(help="Models; default: those configured, with the ladder.", metavar="MODEL")
]


def register(models: typer.Typer) -> None:
    models.command(epilog="Example: whosthere models verify nano_det")(verify)
    models.command(epilog="Example: whosthere models selftest nano_embed")(selftest)


def verify(names: Names = None, config: ConfigFile = None, overrides: Overrides = None, json: AsJson = False) -> None:
    """Check that weights are where they should be and unaltered (SHA-256)."""
    settings = settings_of(config, overrides, log_level="warning")
    manager = make_manager(settings)

    def one(spec: DetectorSpec | EmbedderSpec) -> str:
        return verify_model(spec, manager, settings.paths.models)

    _report(_chosen(names, settings, manager), one, json)


def selftest(names: Names = None, config: ConfigFile = None, overrides: Overrides = None, json: AsJson = False) -> None:
    """Load models and hold them to what their specs promise: shapes, batch = single, embedding space, portraits."""
    settings = settings_of(config, overrides, log_level="warning")
    chosen = _chosen(names, settings, make_manager(settings))
    _report(chosen, lambda spec: uvloop.run(selftest_model(spec.name, settings)), json)


def _chosen(names: list[str] | None, settings: Settings, manager: ModelManager) -> list[DetectorSpec | EmbedderSpec]:
    wanted = names or [settings.recognition.detector, *ladder_of(settings, manager)]
    return [manager.spec(name) for name in dict.fromkeys(wanted)]


def _report(
    specs: Sequence[DetectorSpec | EmbedderSpec], one: Callable[[DetectorSpec | EmbedderSpec], str], json: bool
) -> None:
    """Run one check for each model; print each outcome; exit 1 if one failed."""
    rows = []
    for spec in specs:
        try:
            rows.append({"name": spec.name, "ok": True, "code": None, "detail": one(spec)})
        except CodedError as error:
            rows.append({"name": spec.name, "ok": False, "code": error.code, "detail": str(error)})
    if json:
        print_json({"models": rows})
    failed = [row for row in rows if not row["ok"]]
    for row in rows if not json else []:
        if row["ok"]:
            print_line(f"ok      {row['name']}: {row['detail']}")
    # What is wrong with the installation is so for every model: it is said once.
    for line in dict.fromkeys(f"{row['detail']} [{row['code']}]" for row in failed):
        sys.stderr.write(f"whosthere: {line}\n")
    if failed:
        raise typer.Exit(1)
