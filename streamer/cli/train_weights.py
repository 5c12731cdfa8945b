"""`train-weights detector|embedder`: distil small weights of one's own from a teacher and photos."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recognition.errors import TrainingUnavailable
from streamer.cli.options import ConfigFile, Overrides, note, print_line, settings_of
from streamer.cli.progress import progress_of

if TYPE_CHECKING:
    from recognition.training.loop import Schedule

train_weights = typer.Typer(
    no_args_is_help=True,
    help="Distil small weights of your own from a teacher and photos that you may use.",
    epilog="Example: whosthere train-weights embedder --help",
)

Data = Annotated[Path, typer.Option(help="Photos in a folder per person: Name/Name_0001.jpg.", metavar="ZIP_OR_FOLDER")]
Teacher = Annotated[str, typer.Option(help="The model to learn from, as `models list` names it.", metavar="SPEC")]
Out = Annotated[
    Path, typer.Option(help="Folder of the run: a run that lies there already is gone on with.", metavar="DIR")
]
Epochs = Annotated[int, typer.Option(min=1, help="How often to go over the data.")]
Seed = Annotated[int, typer.Option(help="The same seed and data give the same run, but for rounding.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Threads = Annotated[int, typer.Option(min=0, help="CPU threads; 0: one per core.")]
Decay = Annotated[float, typer.Option(min=0.01, max=1.0, help="Share of the epochs in which the rate falls to 0.")]
LearningRate = Annotated[float, typer.Option(min=1e-6, help="Of AdamW, between warm-up and decay.")]
WeightDecay = Annotated[float, typer.Option(min=0.0, help="Of AdamW.")]
StartFrom = Annotated[
    Path | None, typer.Option(help="First weights: a run's --out, or the ONNX file of one.", metavar="DIR_OR_FILE")
]
Name = Annotated[str, typer.Option(help="What the new model is called.", metavar="NAME")]


def register(app: typer.Typer) -> None:
    app.add_typer(train_weights, name="train-weights")


@train_weights.command(
    epilog="Example: whosthere train-weights embedder --data photos.zip --teacher mobileface_v2 --out runs/mine"
)
def embedder(
    data: Data,
    teacher: Teacher,
    out: Out,
    aligner: Annotated[
        str, typer.Option(help="The detector that finds and aligns the photos' faces.", metavar="SPEC")
    ] = "yunet_n",
    name: Name = "my_embed",
    epochs: Epochs = 56,
    blends: Annotated[int, typer.Option(min=0, help="How many mixtures of two faces join the photos.")] = 40_000,
    seed: Seed = 0,
    decay: Decay = 0.4,
    learning_rate: LearningRate = 2e-3,
    weight_decay: WeightDecay = 0.02,
    start_from: StartFrom = None,
    device: Device = "auto",
    threads: Threads = 0,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Distil an embedder: it learns to put faces where the teacher puts them."""
    settings = settings_of(config, overrides, log_level="warning")
    schedule = _schedule(epochs, seed, decay, learning_rate, weight_decay, device, threads)
    from recognition.training.distil_embedder import EmbedderOptions
    from recognition.training.student import make_embedder

    options = EmbedderOptions(
        data, teacher, settings.paths.models, out, schedule, aligner=aligner, blends=blends, start_from=start_from
    )
    with progress_of("training") as told:
        spec = make_embedder(options, name, note, told)
    _tell(out, spec.name, f"whosthere models eval {spec.name} --thresholds --images … measures its thresholds")


@train_weights.command(
    epilog="Example: whosthere train-weights detector --data photos.zip --teacher yunet_n --out runs/mine"
)
def detector(
    data: Data,
    teacher: Teacher,
    out: Out,
    name: Name = "my_det",
    epochs: Epochs = 190,
    scenes: Annotated[int, typer.Option(min=16, help="Scenes composed for each epoch.")] = 2400,
    seed: Seed = 0,
    decay: Decay = 0.3,
    learning_rate: LearningRate = 2.5e-3,
    weight_decay: WeightDecay = 1e-3,
    start_from: StartFrom = None,
    device: Device = "auto",
    threads: Threads = 0,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Distil a detector: it learns to find the teacher's faces in scenes composed of the photos."""
    settings = settings_of(config, overrides, log_level="warning")
    schedule = _schedule(epochs, seed, decay, learning_rate, weight_decay, device, threads)
    from recognition.training.distil_detector import DetectorOptions
    from recognition.training.student import make_detector

    options = DetectorOptions(data, teacher, settings.paths.models, out, schedule, scenes=scenes, start_from=start_from)
    with progress_of("training") as told:
        spec = make_detector(options, name, note, told)
    _tell(out, spec.name, "its thresholds stand in its spec")


def _schedule(
    epochs: int, seed: int, decay: float, learning_rate: float, weight_decay: float, device: str, threads: int
) -> "Schedule":
    """Raises TrainingUnavailable where PyTorch and its company are not installed."""
    missing = [package for package in ("torch", "onnx", "matplotlib") if find_spec(package) is None]
    if missing:
        raise TrainingUnavailable(f"training needs {', '.join(missing)}; pip install 'whosthere[train]'")
    from recognition.training.loop import Schedule

    return Schedule(
        epochs,
        seed=seed,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        decay=decay,
        device=device,
        threads=threads,
    )


def _tell(out: Path, name: str, more: str) -> None:
    print_line(f"{out / name}.onnx is ready; name {out} in paths.models to use it as {name}")
    print_line(f"{more}; {out}/run.json and curves.png tell how it was trained")
