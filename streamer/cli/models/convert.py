"""`models convert`: published checkpoints -> models, with a spec, a space, and a check against PyTorch."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from recognition.architectures import ARCHITECTURES, find_architecture
from recognition.specs.files import load_specs
from recognition.zoo.convert import Converted, Engine, Precision, convert, need_torch
from streamer.cli.models.imports import weights_folder
from streamer.cli.options import AsJson, ConfigFile, Overrides, note, print_json, print_line, settings_of


def register(models: typer.Typer) -> None:
    models.command("convert", epilog="Example: whosthere models convert adaface.ckpt --as adaface_ir101 --out weights")(
        convert_models
    )


def convert_models(
    checkpoint: Annotated[Path, typer.Argument(help="Weights of PyTorch: .pt, .pth or .ckpt.", metavar="CHECKPOINT")],
    architecture: Annotated[
        str, typer.Option("--as", help=f"What it is: {', '.join(ARCHITECTURES)}.", metavar="ARCHITECTURE")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Weights folder; default: the first of paths.models.", metavar="FOLDER")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="What the model is called; default: as --as says.", metavar="NAME")
    ] = None,
    engine: Annotated[Engine, typer.Option(help="What is to run it: ONNX Runtime, or PyTorch itself.")] = "onnx",
    precision: Annotated[
        Precision | None, typer.Option(help="What it computes in; default: fp32. bf16 for torch alone.")
    ] = None,
    fp16: Annotated[bool, typer.Option("--fp16", help="The same as --precision fp16, for GPUs.")] = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Convert a checkpoint as its authors published it; what comes out is held against PyTorch on real faces."""
    if fp16 and precision not in (None, "fp16"):
        raise typer.BadParameter(f"{precision} and --fp16 contradict each other", param_hint="--precision")
    chosen = "fp16" if fp16 else precision or "fp32"
    settings = settings_of(config, overrides, log_level="warning")
    wanted = find_architecture(architecture)
    folder = out or weights_folder(settings)
    need_torch(engine)
    known = load_specs(beside=list(dict.fromkeys((*settings.paths.models, folder))))
    converted = convert(checkpoint, wanted, folder, known=known, name=name, engine=engine, precision=chosen, tell=note)
    if json:
        print_json(_document(converted, wanted.name, wanted.manifest().source, folder))
    else:
        _show(converted, folder)


def _document(converted: Converted, architecture: str, source: str, folder: Path) -> dict[str, Any]:
    spec = converted.spec
    return {
        "name": spec.name,
        "architecture": architecture,
        "layers_from": source,
        "engine": spec.engine,
        "precision": spec.precision,
        "file": str(folder / spec.file),
        "weights_digest": spec.weights_digest,
        "spec": str(folder / "specs" / spec.role / f"{spec.name}.yaml"),
        "space": str(folder / "spaces" / f"{spec.space}.yaml"),
        "licence": spec.licence,
        "parity": asdict(converted.parity),
    }


def _show(converted: Converted, folder: Path) -> None:
    spec, parity = converted.spec, converted.parity
    print_line(f"here    {spec.name}: {folder / spec.file}, {spec.engine} {spec.precision} (spec and space written)")
    print_line(
        f"parity  cosine at least {parity.least_cosine:.6f} on {parity.faces} faces (want {parity.bound}); with red "
        f"and blue swapped {parity.swapped_cosine:.3f}"
    )
    if parity.norm_error is not None:
        print_line(f"        feature norm within {parity.norm_error:.2%}")
    print_line(f"licence {spec.licence}")
    print_line("note    its thresholds are not measured, only on the safe side; measure them with")
    print_line(f"        whosthere models eval {spec.name} --thresholds --images PHOTOS")
    print_line(f"to use  name {folder} in paths.models; recognition: {{embedder: {spec.name}}}")
