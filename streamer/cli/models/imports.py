"""`models import` and `models bundle`: weights from files, and models as one file, for machines without a network.

Like `models pull`, nothing is taken in before its licence was shown and accepted.
"""

import sys
import zipfile
from pathlib import Path
from typing import Annotated, Any

import typer

from recognition.archive import open_archive
from recognition.errors import LicenceNotAccepted, ModelNotFound, WeightsMissing
from recognition.specs.files import find_spec, load_specs
from recognition.specs.packs import load_packs
from recognition.specs.spec import AnySpec, EmbedderSpec
from recognition.zoo.bundles import import_bundle, is_bundle, read_licences, write_bundle
from recognition.zoo.catalogue import CatalogueEntry, find_entry, load_catalogue
from recognition.zoo.imports import UNMEASURED, ImportReport, digest_of, import_as, import_entry
from streamer.cli.options import AsJson, ConfigFile, Overrides, note, print_json, print_line, settings_of
from streamer.settings import Settings

AcceptLicence = Annotated[bool, typer.Option("--accept-licence", help="The licence is known and accepted: do not ask.")]
OwnCatalogue = Annotated[
    Path | None, typer.Option("--catalogue", help="Another catalogue, for instance of a mirror.", metavar="FILE")
]


def register(models: typer.Typer) -> None:
    models.command("import", epilog="Example: whosthere models import buffalo_l.zip --accept-licence")(import_models)
    models.command("bundle", epilog="Example: whosthere models bundle nano --out nano.zip")(bundle_models)


def import_models(
    file: Annotated[Path, typer.Argument(help="A network (.onnx), a pack (.zip) or a bundle (.zip).", metavar="FILE")],
    name: Annotated[
        str | None,
        typer.Option(
            "--as",
            help="The spec, or the catalogue's entry, that it is. A pack's file name says it too.",
            metavar="NAME",
        ),
    ] = None,
    accept_licence: AcceptLicence = False,
    catalogue: OwnCatalogue = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Take weights from a file into the first folder of paths.models; of a pack or bundle, all or nothing."""
    settings = settings_of(config, overrides)
    folder = weights_folder(settings)
    known = load_specs(beside=settings.paths.models)
    if file.suffix == ".zip" or (file.is_file() and zipfile.is_zipfile(file)):
        report = _import_archive(file, name, folder, known, load_catalogue(catalogue), accept_licence)
    else:
        report = _import_network(file, name, folder, known, load_catalogue(catalogue), accept_licence)
    if json:
        print_json(report_document(report))
    else:
        show_report(report, folder)


def bundle_models(
    names: Annotated[list[str], typer.Argument(help="Models or packs.", metavar="NAME")],
    out: Annotated[Path, typer.Option("--out", help="The bundle to write.", metavar="FILE.zip")],
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Write models as one file (weights, specs, spaces, licences, digests), for `models import` elsewhere."""
    settings = settings_of(config, overrides)
    known, packs = load_specs(beside=settings.paths.models), load_packs()
    models = [part for name in names for part in _models_of(name, packs)]
    specs = [find_spec(name, known) for name in dict.fromkeys(models)]
    size = write_bundle(specs, settings.paths.models, out)
    for spec in specs:
        note(f"{spec.name}: {spec.licence}; whoever gets the bundle is bound by it too")
    if json:
        print_json({"file": str(out), "bytes": size, "models": [_row(spec) for spec in specs]})
    else:
        print_line(f"{out}: {', '.join(spec.name for spec in specs)}, {size / 1e6:.1f} MB")


def _models_of(name: str, packs: dict[str, Any]) -> tuple[str, ...]:
    return (packs[name].detector, packs[name].embedder) if name in packs else (name,)


def _import_archive(
    file: Path,
    name: str | None,
    folder: Path,
    known: dict[str, AnySpec],
    entries: dict[str, CatalogueEntry],
    accepted: bool,
) -> ImportReport:
    with open_archive(file) as archive:
        licences = read_licences(archive) if is_bundle(archive) else None
    if licences is not None:
        note(f"{file}: a bundle\n{licences.rstrip()}")
        accept(str(file), accepted)
        return import_bundle(file, folder, known)
    packs = {key: entry for key, entry in entries.items() if entry.is_archive}
    if name is None and file.stem not in packs:
        raise ModelNotFound(f"{file}: which pack is it? Say --as with one of {', '.join(packs)}")
    return _import_entry(file, find_entry(name or file.stem, packs), folder, known, accepted)


def _import_network(
    file: Path,
    name: str | None,
    folder: Path,
    known: dict[str, AnySpec],
    entries: dict[str, CatalogueEntry],
    accepted: bool,
) -> ImportReport:
    if name is None:
        name = _name_by_digest(file, known, entries)
    if name not in known and name in entries:
        return _import_entry(file, entries[name], folder, known, accepted)
    spec = find_spec(name, known)
    note(f"{spec.name}: {spec.source}\n  licence  {spec.licence}")
    accept(spec.name, accepted)
    return import_as(file, spec, folder)


def _name_by_digest(file: Path, known: dict[str, AnySpec], entries: dict[str, CatalogueEntry]) -> str:
    digest = digest_of(file)
    if digest is None:
        raise WeightsMissing(f"{file}: there is no such file; check the path")
    for name, known_digest in (
        *((spec.name, spec.weights_digest) for spec in known.values()),
        *((entry.name, entry.sha256) for entry in entries.values()),
    ):
        if known_digest == digest:
            return name
    raise ModelNotFound(f"{file}: no spec is known with its sha256 ({digest[:12]}…); say --as SPEC which it should be")


def _import_entry(
    file: Path, entry: CatalogueEntry, folder: Path, known: dict[str, AnySpec], accepted: bool
) -> ImportReport:
    note(f"{entry.name}: {entry.what}\n  licence  {entry.licence}\n           {entry.licence_url}")
    accept(entry.name, accepted)
    return import_entry(file, entry, folder, known)


# What pull and import share.


def weights_folder(settings: Settings) -> Path:
    """Where new weights go. Raises WeightsMissing where paths.models names no folder."""
    if not settings.paths.models:
        raise WeightsMissing("paths.models names no folder to put weights into; name one")
    return settings.paths.models[0]


def accept(what: str, accepted: bool) -> None:
    """Have the licence that was shown accepted, by the option or by an answer on a terminal.

    Raises LicenceNotAccepted.
    """
    if accepted:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise LicenceNotAccepted(f"{what}: read the licence above; if you accept it, say so with --accept-licence")
    if not typer.confirm("Do you accept this licence, and will you keep to it?", err=True):
        raise LicenceNotAccepted(f"{what}: the licence was not accepted; nothing was changed")


def report_document(report: ImportReport) -> dict[str, Any]:
    """What was taken in, as --json prints it."""
    return {
        "models": [_row(taken.spec) | {"spec_written": taken.written} for taken in report.taken],
        "left_out": [{"file": file, "why": why} for file, why in report.left_out],
    }


def show_report(report: ImportReport, folder: Path) -> None:
    """What was taken in, for people, and what is left for them to do."""
    for taken in report.taken:
        spec = taken.spec
        print_line(
            f"here    {spec.name}: {spec.kind}, {folder / spec.file}{' (spec written)' if taken.written else ''}"
        )
    for file, why in report.left_out:
        print_line(f"left    {file}: {why}")
    for spec in (taken.spec for taken in report.taken):
        if isinstance(spec, EmbedderSpec) and spec.thresholds == UNMEASURED:
            print_line(
                f"note    {spec.name}: its thresholds are not measured, only on the safe side; measure them with"
            )
            print_line(f"        whosthere models eval {spec.name} --thresholds --images PHOTOS")
    of_kind = {kind: [t.spec.name for t in report.taken if t.spec.kind == kind] for kind in ("detector", "embedder")}
    use = ", ".join(f"{role}: {' or '.join(names)}" for role, names in of_kind.items() if names)
    print_line(f"to use  recognition: {{{use}}}")


def _row(spec: AnySpec) -> dict[str, str | None]:
    return {
        "name": spec.name,
        "role": spec.role,
        "file": spec.file,
        "weights_digest": spec.weights_digest,
        "licence": spec.licence,
    }
