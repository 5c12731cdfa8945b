"""`models triton-repo`: models as the repository of a Triton server, and the configuration that uses them there."""

from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from pydantic import TypeAdapter, ValidationError

from recognition.runtimes.triton_contract import TensorInfo
from recognition.specs.devices import Device
from recognition.specs.files import find_spec, load_specs
from recognition.specs.packs import load_packs
from recognition.specs.profile import TritonModel
from recognition.specs.spec import AnySpec
from recognition.zoo.triton_config import QUEUE_DELAY_US, RepositoryOptions
from recognition.zoo.triton_repository import Written, write_repository
from streamer.cli.options import AsJson, ConfigFile, Overrides, note, print_json, print_line, settings_of
from streamer.settings import Settings


def register(models: typer.Typer) -> None:
    models.command("triton-repo", epilog="Example: whosthere models triton-repo nano --out triton-models")(triton_repo)


def triton_repo(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Models or packs; default: those configured, with the ladder.", metavar="NAME"),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="The folder to write; new, or empty.", metavar="FOLDER")] = Path(
        "triton-models"
    ),
    more: Annotated[
        list[str] | None, typer.Option("--models", help="The same as NAME. Repeatable.", metavar="NAME")
    ] = None,
    device: Annotated[
        str,
        typer.Option(help="Where the server runs them: auto (its GPUs, if any), cpu, cuda, cuda:N.", metavar="DEVICE"),
    ] = "auto",
    instances: Annotated[int, typer.Option(min=1, max=64, help="Of each model, on each device.")] = 1,
    delay_us: Annotated[
        int, typer.Option("--delay-us", min=0, max=1_000_000, help="How long a request may wait for others.")
    ] = QUEUE_DELAY_US,
    plans: Annotated[
        Path | None,
        typer.Option(help="TensorRT's plans, NAME.plan each, in place of the ONNX files.", metavar="FOLDER"),
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Write models as a repository for a Triton server: weights, config.pbtxt, licences; all of it or nothing."""
    if not _is_device(device) or (plans is not None and device == "cpu"):
        raise typer.BadParameter(
            f"{device}: want auto, cpu, cuda or cuda:N{', and no CPU with --plans' if plans else ''}",
            param_hint="--device",
        )
    settings = settings_of(config, overrides, log_level="warning")
    specs = _wanted([*(names or ()), *(more or ())], settings)
    written = write_repository(
        specs,
        settings.paths.models,
        out,
        names=_configured_names(settings),
        options=RepositoryOptions(device, instances, delay_us),
        plans=plans,
        tell=note,
    )
    if json:
        print_json(_document(written, out))
    else:
        _show(written, out)


def _is_device(device: str) -> bool:
    try:
        TypeAdapter(Device).validate_python(device)
    except ValidationError:
        return False
    return True


def _wanted(names: list[str], settings: Settings) -> list[AnySpec]:
    """Specs as their files have them: what the configuration says otherwise is where they run here."""
    known, packs = load_specs(beside=settings.paths.models), load_packs()
    recognition = settings.recognition
    chosen = names or [recognition.detector, recognition.embedder, *recognition.ladder]
    models = [
        part for name in chosen for part in ((packs[name].detector, packs[name].embedder) if name in packs else (name,))
    ]
    return list({spec.name: spec for spec in (find_spec(name, known) for name in models)}.values())


def _configured_names(settings: Settings) -> dict[str, TritonModel]:
    """What the configuration asks a server for already is what the repository calls it."""
    profiles = settings.recognition.profiles.items()
    return {name: profile.triton for name, profile in profiles if profile.triton is not None}


def _document(written: list[Written], out: Path) -> dict[str, Any]:
    return {
        "folder": str(out),
        "models": [
            {
                "name": entry.model.spec.name,
                "model": entry.model.triton.model,
                "version": entry.model.triton.version,
                "backend": entry.model.backend,
                "file": str(out / entry.model.triton.model / entry.model.triton.version / entry.model.file),
                "bytes": entry.size,
                "max_batch_size": entry.model.max_batch,
                "input": _tensor(entry.model.input),
                "outputs": [_tensor(output) for output in entry.model.outputs],
                "licence": entry.model.spec.licence,
            }
            for entry in written
        ],
        "configuration": _configuration(written),
    }


def _tensor(tensor: TensorInfo) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}


def _configuration(written: list[Written]) -> dict[str, Any]:
    """What makes the service ask the server for these."""
    profiles = {
        entry.model.spec.name: {"runtime": "triton", "triton": entry.model.triton.model_dump()} for entry in written
    }
    return {"recognition": {"profiles": profiles, "triton": {"url": "127.0.0.1:8001"}}}


def _show(written: list[Written], out: Path) -> None:
    for entry in written:
        model = entry.model
        batches = f"batches up to {model.max_batch}" if model.max_batch else "one at a time"
        print_line(
            f"here    {out / model.triton.model}: version {model.triton.version}, {model.backend}, {batches}, "
            f"{entry.size / 1e6:.1f} MB"
        )
        print_line(f"licence {model.spec.licence}")
    print_line(f"serve   tritonserver --model-repository={out}")
    print_line("to use  put this into the configuration, with the server's address:")
    text = yaml.safe_dump(_configuration(written), sort_keys=False, default_flow_style=None, width=100)
    print_line("\n".join(f"        {line}" for line in text.splitlines()))
