"""`models ...`: the model specs that are known, their weights, and whether they behave."""

import sys
from collections.abc import Callable
from typing import Annotated

import typer
import uvloop

from recognition.errors import CodedError, WeightsMissing
from recognition.models.spec import ModelSpec, find_spec, load_specs
from recognition.models.weights import find_weights, read_weights
from streamer.checks import selftest_model
from streamer.cli.models_bench import bench_models
from streamer.cli.models_convert import convert_models
from streamer.cli.models_eval import evaluate_model
from streamer.cli.models_import import bundle_models, import_models
from streamer.cli.models_pull import pull_models
from streamer.cli.options import (
    AsJson,
    ConfigFile,
    Overrides,
    print_json,
    print_line,
    print_table,
    settings_of,
)
from streamer.settings import Settings

models = typer.Typer(no_args_is_help=True, help="The models that are known, and whether their weights are in order.")

Name = Annotated[str, typer.Argument(help="A model's name, as `models list` shows it.", metavar="MODEL")]
Names = Annotated[list[str] | None, typer.Argument(help="Models; default: those configured.", metavar="MODEL")]


def register(app: typer.Typer) -> None:
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
    app.add_typer(models, name="models")


@models.command("list", epilog="Example: whosthere models list --json")
def list_models(config: ConfigFile = None, overrides: Overrides = None, json: AsJson = False) -> None:
    """List every model spec, and whether its weights are here."""
    settings = settings_of(config, overrides)
    rows = [_row(spec, settings) for spec in load_specs(beside=settings.paths.models).values()]
    if json:
        print_json({"models": rows})
    else:
        print_table(
            ["name", "role", "family", "weights", "licence"],
            [[row["name"], row["role"], row["family"], row["weights"] or "missing", row["licence"]] for row in rows],
            "There are no specs; the installation is broken.",
        )


@models.command(epilog="Example: whosthere models show nano_embed --json")
def show(name: Name, config: ConfigFile = None, overrides: Overrides = None, json: AsJson = False) -> None:
    """Show one model's spec."""
    settings = settings_of(config, overrides)
    spec = find_spec(name, load_specs(beside=settings.paths.models))
    document = {**spec.model_dump(mode="json"), "weights": _row(spec, settings)["weights"]}
    if json:
        print_json(document)
    else:
        for key, value in document.items():
            print_line(f"{key:16} {value}")


@models.command(epilog="Example: whosthere models verify nano_det")
def verify(names: Names = None, config: ConfigFile = None, overrides: Overrides = None, json: AsJson = False) -> None:
    """Check that weights are where they should be and unaltered (SHA-256)."""
    settings = settings_of(config, overrides)

    def one(spec: ModelSpec) -> str:
        read_weights(spec, settings.paths.models)
        return f"sha256 {spec.short_digest}… as in the spec"

    _report(_chosen(names, settings), one, json)


@models.command(epilog="Example: whosthere models selftest nano_embed")
def selftest(names: Names = None, config: ConfigFile = None, overrides: Overrides = None, json: AsJson = False) -> None:
    """Load models and hold them to what their specs promise: shapes, batch = single, embedding space, portraits."""
    settings = settings_of(config, overrides, log_level="warning")
    _report(_chosen(names, settings), lambda spec: uvloop.run(selftest_model(spec.name, settings)), json)


def _chosen(names: list[str] | None, settings: Settings) -> list[ModelSpec]:
    specs = load_specs(beside=settings.paths.models)
    return [find_spec(name, specs) for name in names or (settings.recognition.detector, settings.recognition.embedder)]


def _row(spec: ModelSpec, settings: Settings) -> dict[str, str | None]:
    try:
        weights: str | None = str(find_weights(spec, settings.paths.models))
    except WeightsMissing:
        weights = None
    return {
        "name": spec.name,
        "role": spec.role,
        "family": getattr(spec, "family", ""),
        "weights": weights,
        "licence": spec.licence,
    }


def _report(specs: list[ModelSpec], one: Callable[[ModelSpec], str], json: bool) -> None:
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
