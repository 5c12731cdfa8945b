"""`models eval`: how well a pack tells people apart, over photos of named people; figures, curves, thresholds."""

import math
from json import dumps
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop

from gallery.evaluation.naming import Naming
from recognition.evaluation.error_rates import FOLDS
from recognition.evaluation.evaluate import Evaluation, OperatingRates, evaluate
from recognition.evaluation.pairs import by_person, read_pairs
from recognition.evaluation.plots import draw_curves
from recognition.photos import PhotoSet
from recognition.specs.files import load_specs
from recognition.specs.packs import load_packs, resolve
from recognition.specs.spec import DetectorSpec
from streamer.cli.models.compare import (
    Against,
    AgainstEmbedder,
    Clips,
    ClipTruth,
    Compare,
    EmptyClips,
    Scenes,
    show_beside,
)
from streamer.cli.models.naming import naming_document, naming_of, show_naming
from streamer.cli.options import AsJson, ConfigFile, Overrides, note, print_json, print_line, print_table, settings_of
from streamer.cli.plots import folder_for_plots
from streamer.cli.progress import progress_of
from streamer.errors import OutputUnwritable
from streamer.model_layer.setup import recogniser_config
from streamer.settings import Settings

_EXPONENTS = {1e-2: "1e-2", 1e-3: "1e-3", 1e-4: "1e-4", 1e-5: "1e-5"}


def register(models: typer.Typer) -> None:
    models.command("eval", epilog="Example: whosthere models eval nano --pairs pairs.csv --images photos.zip")(
        evaluate_model
    )


def evaluate_model(
    name: Annotated[
        str,
        typer.Argument(
            help="A pack's or an embedder's name; with --against a detector's, too.", metavar="PACK_OR_SPEC"
        ),
    ],
    images: Annotated[
        Path, typer.Option(help="Photos in a folder per person: Name/Name_0001.jpg.", metavar="ZIP_OR_FOLDER")
    ],
    pairs: Annotated[
        Path | None, typer.Option(help="image_a,image_b,same: the pairs that accuracy is told of.", metavar="CSV")
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(help="Find faces with this one; default: the pack's or the configured.", metavar="SPEC"),
    ] = None,
    thresholds: Annotated[
        bool, typer.Option("--thresholds", help="Print the thresholds too, as a spec holds them.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the curves; default eval-NAME, none with --json.", metavar="DIR")
    ] = None,
    against: Against = None,
    clip: Clips = None,
    clip_truth: ClipTruth = "scrfd_2.5g",
    empty_clip: EmptyClips = None,
    scenes: Scenes = 120,
    against_embedder: AgainstEmbedder = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Measure how well a detector and an embedder tell people apart, over photos of named people."""
    settings = settings_of(config, overrides, log_level="warning")
    weights, packs = settings.paths.models, load_packs()
    specs = load_specs(beside=weights)
    beside = Compare(against, against_embedder, tuple(clip or ()), clip_truth, tuple(empty_clip or ()), scenes)
    if against is not None and name not in packs and isinstance(specs.get(name), DetectorSpec):
        if detector or pairs or thresholds or out or against_embedder:
            raise typer.BadParameter(f"{name} is a detector, which knows nobody: give --against, --clip and the like")
        _evaluate_detector(name, images, beside, settings, json)
        return
    pack = resolve(name, specs, packs, detector or settings.recognition.detector)
    if detector is not None and detector != pack.detector:
        pack = resolve(pack.embedder, specs, {}, detector)
    beside.check(pack.detector, pack.embedder, specs, weights)
    folder = folder_for_plots(out, None if json else Path(f"eval-{name}"))
    photos = by_person(PhotoSet(images))
    chosen = None if pairs is None else read_pairs(pairs, photos, FOLDS)
    with progress_of(f"{pack.detector} + {pack.embedder}") as told:
        found = uvloop.run(evaluate(pack, recogniser_config(settings), photos, chosen, told))
    compared = beside.measure(pack.detector, pack.embedder, images, weights)
    _tell(found, naming_of(found, settings.gallery), compared, images.name if thresholds else None, json)
    if folder is not None:
        _draw(found, name, folder)


def _evaluate_detector(name: str, images: Path, beside: Compare, settings: Settings, json: bool) -> None:
    weights = settings.paths.models
    beside.check(name, None, load_specs(beside=weights), weights)
    compared = beside.measure(name, None, images, weights)
    if json:
        print_json({"name": name, "detector": name} | compared)
    else:
        show_beside(compared)


def _tell(
    found: Evaluation, naming: Naming | None, compared: dict[str, Any], thresholds_of: str | None, json: bool
) -> None:
    """Everything on stdout; with the spec's thresholds where the photos that they are of are named."""
    thresholds = None if thresholds_of is None else _spec_thresholds(found, thresholds_of)
    if json:
        told = _document(found) | {"naming": naming and naming_document(naming)}
        print_json(told | ({} if thresholds is None else {"thresholds": thresholds}) | compared)
        return
    _show(found)
    if naming is not None:
        show_naming(naming)
    show_beside(compared)
    if thresholds is not None:
        _show_thresholds(thresholds)


def _draw(found: Evaluation, name: str, folder: Path) -> None:
    if found.curve is None:
        note("no curves: they need two people, and one with two photos")
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        drawn = draw_curves(found.curve, name, folder)
    except OSError as error:
        raise OutputUnwritable(f"{folder} can't be written ({error.strerror}); choose another --out") from None
    note(f"curves: {', '.join(map(str, drawn))}")


def _document(found: Evaluation) -> dict[str, Any]:
    accuracy, identification = found.accuracy, found.identification
    return {
        "name": found.pack.name,
        "detector": found.pack.detector,
        "embedder": found.pack.embedder,
        "verification_accuracy": accuracy and accuracy.mean,
        "verification_accuracy_std": accuracy and accuracy.deviation,
        "threshold": accuracy and accuracy.threshold,
        "verification_accuracy_of_found": found.accuracy_of_found and found.accuracy_of_found.mean,
        "tmr": {_EXPONENTS[row.fmr]: row.tmr for row in found.reported},
        "tmr_threshold": {_EXPONENTS[row.fmr]: row.cosine for row in found.reported},
        "fnir_at_fpir_1e-2": identification.fnir,
        "fpir_threshold": identification.threshold,
        "images_without_face": found.without_face,
        "images": found.photos,
        "people": found.people,
        "pairs": found.pairs,
        "pairs_with_both_faces": found.pairs_found,
        "genuine_pairs": found.genuine,
        "impostor_pairs": found.impostors,
        "enrolled_people": identification.enrolled,
        "genuine_probes": identification.genuine_probes,
        "impostor_probes": identification.impostor_probes,
        "device": found.speed.device,
        "detector_ms_per_image": found.speed.detect_ms,
        "embedder_ms_per_face": found.speed.embed_ms,
    }


def _show(found: Evaluation) -> None:
    pack, speed, identification = found.pack, found.speed, found.identification
    print_line(f"{pack.name}: {pack.detector} + {pack.embedder}, {found.photos} photos of {found.people} people")
    print_line(f"rates over {found.genuine} genuine and {found.impostors} impostor pairs; identification over")
    print_line(
        f"{identification.enrolled} enrolled people, {identification.genuine_probes} genuine and "
        f"{identification.impostor_probes} impostor probes"
    )
    rows: list[list[str]] = []
    for what, accuracy, pairs in (
        ("verification accuracy, 10-fold", found.accuracy, f"{found.pairs} pairs"),
        ("  where both faces were found", found.accuracy_of_found, f"{found.pairs_found} pairs"),
    ):
        if accuracy is not None:
            told = f"{accuracy.mean:.2%} ± {accuracy.deviation * 100:.2f}"
            rows.append([what, told, _cosine(accuracy.threshold), pairs])
    for row in found.reported:
        rows.append([f"true-match rate at FMR {_EXPONENTS[row.fmr]}", _share(row.tmr), _cosine(row.cosine), ""])
    rows.append(["FNIR at FPIR 1e-2", _share(identification.fnir), _cosine(identification.threshold), ""])
    rows.append(["photos without a face", str(found.without_face), "", f"{found.photos} photos"])
    where = "one thread" if speed.device == "cpu" else speed.device
    rows.append(["detector, the network alone", f"{speed.detect_ms:.1f} ms a photo", "", where])
    rows.append(
        ["embedder, the network alone", "-" if speed.embed_ms is None else f"{speed.embed_ms:.1f} ms a face", "", where]
    )
    print_table(["", "figure", "at cosine", "over"], rows, "")


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.2%}"


def _cosine(cosine: float | None) -> str:
    return "too few" if cosine is None else f"{cosine:.3f}"


def _spec_thresholds(found: Evaluation, photos: str) -> dict[str, Any]:
    """The spec's `thresholds`. Rates that the photos can't tell have no row."""
    measured_on = (
        f"{photos}: {found.people} people, all {found.impostors} cross-person pairs, genuine pairs weighted so "
        f"that each person counts once; {found.pack.detector} alignment"
    )
    rows = [_rounded(row) for row in found.for_spec if row.cosine is not None and row.tmr is not None]
    known = [row["fmr"] for row in rows]
    return {
        "measured_on": measured_on,
        "verification": known[0] if known else None,
        "identification": known[-1] if known else None,
        "table": rows,
    }


def _rounded(row: OperatingRates) -> dict[str, float]:
    assert row.cosine is not None
    assert row.tmr is not None
    # Upwards, so that no more impostors pass than the row says.
    return {"fmr": row.fmr, "cosine": math.ceil(row.cosine * 1000) / 1000, "tmr": math.floor(row.tmr * 1000) / 1000}


def _show_thresholds(document: dict[str, Any]) -> None:
    if not document["table"]:
        note("no thresholds: too few photos for a false-match rate of 1e-3")
        return

    def plain(fmr: float) -> str:
        return f"{fmr:.1e}".replace("e-0", "e-")

    print_line("thresholds:")
    print_line(f"  measured_on: {dumps(document['measured_on'], ensure_ascii=False)}")  # a JSON text is a YAML one too
    print_line(f"  verification: {plain(document['verification'])}")
    print_line(f"  identification: {plain(document['identification'])}")
    print_line("  table:")
    for row in document["table"]:
        print_line(f"    - {{fmr: {plain(row['fmr'])}, cosine: {row['cosine']:.3f}, tmr: {row['tmr']:.3f}}}")
