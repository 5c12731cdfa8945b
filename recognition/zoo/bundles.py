"""Bundles: several models as one zip file, for machines without a network; written here, and taken in again.

A bundle holds weights/, specs/, spaces/, LICENCES.txt and SHA256SUMS, which names every other file. Blocks for the
reads and writes; a bundle is taken in whole or not at all.
"""

import hashlib
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from recognition.archive import Archive, open_archive
from recognition.checks.spaces import read_space
from recognition.errors import ArchiveInvalid, SpecInvalid, WeightsFolderUnwritable
from recognition.specs.files import read_spec
from recognition.specs.spec import AnySpec, EmbedderSpec
from recognition.specs.weights import read_weights
from recognition.whole_file import replacing
from recognition.zoo.imports import ImportReport, Taken, digest_of, space_text, spec_text
from recognition.zoo.staging import Staging, staging

SUMS = "SHA256SUMS"
LICENCES = "LICENCES.txt"
_SPEC = re.compile(r"specs/face_(?:detection|embedding)/[^/]+\.yaml")
_PLACES = re.compile(rf"{_SPEC.pattern}|weights/[^/]+\.onnx|spaces/[^/]+\.yaml|{re.escape(LICENCES)}")
_SUM_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def write_bundle(specs: Sequence[AnySpec], weights_folders: Sequence[Path], out: Path) -> int:
    """Write a bundle of these models; how many bytes it has.

    Raises WeightsMissing, WeightsDigestMismatch, SpecInvalid (a space), WeightsFolderUnwritable.
    """
    sums: dict[str, str] = {}
    try:
        # Weights do not shrink, so they are stored as they are.
        with replacing(out, mode=0o666) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, data in _contents(specs, weights_folders):
                archive.writestr(zipfile.ZipInfo(name), data)
                sums[name] = hashlib.sha256(data).hexdigest()
            lines = (f"{digest}  {name}\n" for name, digest in sorted(sums.items()))
            archive.writestr(zipfile.ZipInfo(SUMS), "".join(lines))
        return out.stat().st_size
    except OSError as error:
        raise WeightsFolderUnwritable(f"{out} can't be written ({error.strerror}); choose another place") from None


def _contents(specs: Sequence[AnySpec], weights_folders: Sequence[Path]) -> Iterator[tuple[str, bytes]]:
    """The files of a bundle, one after the other: not all weights are in memory at once."""
    terms = (f"{spec.name}\n  licence: {spec.licence}\n  source:  {spec.source}\n" for spec in specs)
    yield LICENCES, "".join(terms).encode()
    for spec in specs:
        yield f"weights/{spec.file}", read_weights(spec, weights_folders)
        yield f"specs/{spec.role}/{spec.name}.yaml", spec_text(spec, "a bundle")
        if isinstance(spec, EmbedderSpec):
            yield f"spaces/{spec.space}.yaml", space_text(read_space(spec.space, beside=weights_folders))


def is_bundle(archive: Archive) -> bool:
    """Whether the archive says of itself that it is one of ours."""
    return {SUMS, LICENCES} <= set(archive.names)


def read_licences(archive: Archive) -> str:
    """What a bundle says of the licences in it, for whoever is to accept them. Raises ArchiveInvalid."""
    return archive.read(LICENCES).decode(errors="replace")


def import_bundle(file: Path, folder: Path, known: Mapping[str, AnySpec]) -> ImportReport:
    """Take in all models of a bundle.

    Raises WeightsMissing (no such file), ArchiveInvalid, SpecInvalid, WeightsFolderUnwritable.
    """
    report = ImportReport()
    with open_archive(file) as archive, staging(folder) as stage:
        sums = _read_sums(file, archive)
        for name in filter(_SPEC.fullmatch, sums):
            # Parsed from a place of its own: what is put into the weights folder is written anew.
            spec = read_spec(stage.scratch(name, _verified(file, archive, name, sums)))
            there = known.get(spec.name)
            if there is not None and there.weights_digest not in (None, spec.weights_digest):
                raise SpecInvalid(f"{file}: its {spec.name} is known here for other weights; nothing was taken in")
            _take(stage, file, archive, sums, there or spec, bundled=spec)
            report.taken.append(Taken(there or spec, written=there is None))
        if not report.taken:
            raise ArchiveInvalid(f"{file}: no spec is in it; nothing was taken in")
        stage.commit()
    return report


def _take(
    stage: Staging, file: Path, archive: Archive, sums: Mapping[str, str], spec: AnySpec, *, bundled: AnySpec
) -> None:
    """One model's weights, and where its spec is not known here, its spec and space."""
    weights = _verified(file, archive, f"weights/{bundled.file}", sums)
    if hashlib.sha256(weights).hexdigest() != spec.weights_digest:
        raise ArchiveInvalid(
            f"{file}: the weights of {spec.name} in it are not those of its spec; nothing was taken in"
        )
    if spec is not bundled:
        stage.write(spec.file, weights)
        return
    if digest_of(stage.folder / spec.file) not in (None, spec.weights_digest):
        raise ArchiveInvalid(f"{file}: {stage.folder / spec.file} is there already with other content; move it away")
    stage.write(spec.file, weights)
    stage.write(f"specs/{spec.role}/{spec.name}.yaml", spec_text(spec, file.name))
    if isinstance(spec, EmbedderSpec):
        name = f"spaces/{spec.space}.yaml"
        scratch = stage.scratch(name, _verified(file, archive, name, sums))
        space = space_text(read_space(spec.space, scratch.parent))
        if digest_of(stage.folder / name) not in (None, hashlib.sha256(space).hexdigest()):
            raise ArchiveInvalid(f"{file}: space {spec.space} is known here for another model; nothing was taken in")
        stage.write(name, space)


def _read_sums(file: Path, archive: Archive) -> dict[str, str]:
    """SHA256SUMS: each other file's digest. Raises ArchiveInvalid unless it names exactly the files there are."""
    if SUMS not in archive.names:
        raise ArchiveInvalid(f"{file} is no bundle: no {SUMS} is in it")
    lines = archive.read(SUMS).decode(errors="replace").splitlines()
    found = [_SUM_LINE.fullmatch(line) for line in lines]
    sums = {match[2]: match[1] for match in found if match}
    if len(sums) != len(lines) or set(sums) != set(archive.names) - {SUMS}:
        raise ArchiveInvalid(f"{file}: its {SUMS} does not name the files that are in it; nothing was taken in")
    if strange := [name for name in sums if not _PLACES.fullmatch(name)]:
        raise ArchiveInvalid(f"{file}: {strange[0]} has no place in a bundle; nothing was taken in")
    return sums


def _verified(file: Path, archive: Archive, name: str, sums: Mapping[str, str]) -> bytes:
    if name not in sums:
        raise ArchiveInvalid(f"{file}: {name} is not in it; nothing was taken in")
    data = archive.read(name)
    if hashlib.sha256(data).hexdigest() != sums[name]:
        raise ArchiveInvalid(f"{file}: {name} in it is altered (sha256); get the bundle again")
    return data
