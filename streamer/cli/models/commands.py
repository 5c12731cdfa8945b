"""`models ...`: the model specs that are known, their weights, and whether they behave."""

import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer
import uvloop

from recognition.errors import CodedError
from recognition.models.manager import ModelManager
from recognition.specs.spec import DetectorSpec, EmbedderSpec
from streamer.cli.models.bench import bench_models
from streamer.cli.models.convert import convert_models
from streamer.cli.models.evaluate import evaluate_model
from streamer.cli.models.imports import bundle_models, import_models
from streamer.cli.models.listing import list_models, show_model
from streamer.cli.models.pull import pull_models
from streamer.cli.models.triton_repo import triton_repo
from streamer.cli.models.use import use_model
from streamer.cli.options import AsJson, ConfigFile, Overrides, print_json, print_line, settings_of
from streamer.model_layer.setup import ladder_of, make_manager, verify_model
from streamer.settings import Settings

models = typer.Typer(
    no_args_is_help=True,
    help="The models that are known, and whether their weights are in order.",
    epilog="Example: whosthere models list",
)

Names = Annotated[
    list[str] | None, typer.Argument(help="Models; default: those configured, with the ladder.", metavar="MODEL")
]


def register(app: typer.Typer) -> None:
    models.command("list", epilog="Example: whosthere models list --json")(list_models)
    models.command("show", epilog="Example: whosthere models show nano_embed --json")(show_model)
    models.command(epilog="Example: whosthere models verify nano_det")(verify)
    models.command(epilog="Example: whosthere models selftest nano_embed")(selftest)
    models.command("use", epilog="Example: whosthere models use arcface_w600k_mbf")(use_model)
    models.command("eval", epilog="Example: whosthere models eval nano --pairs pairs.csv --images photos.zip")(
        evaluate_model
    )
    models.command("bench", epilog="Example: whosthere models bench nano_embed --device cpu")(bench_models)
    models.command("pull", epilog="Example: whosthere models pull buffalo_l --accept-licence")(pull_models)
    models.command("import", epilog="Example: whosthere models import buffalo_l.zip --accept-licence")(import_models)
    models.command("bundle", epilog="Example: whosthere models bundle nano --out nano.zip")(bundle_models)
    models.command("convert", epilog="Example: whosthere models convert adaface.ckpt --as adaface_ir101 --out weights")(
        convert_models
    )
    models.command("triton-repo", epilog="Example: whosthere models triton-repo nano --out triton-models")(triton_repo)
    app.add_typer(models, name="models")


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
    from streamer.checks import selftest_model  # as above

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
