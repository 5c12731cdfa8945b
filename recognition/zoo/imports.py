"""Imports: a file of weights in; verified weights, their specs and spaces in a weights folder out.

Blocks for reads, writes, and for trial runs of networks that had no spec; all of an import is taken in, or nothing.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import yaml

from recognition.archive import WEIGHTS, open_archive
from recognition.checks.portraits import make_sample
from recognition.checks.self_test import self_test
from recognition.checks.spaces import EmbeddingSpace, make_space
from recognition.errors import (
    ArchiveInvalid,
    UnsupportedRuntime,
    WeightsDigestMismatch,
    WeightsMissing,
    WeightsUnreadable,
)
from recognition.runtimes.int8_graph import is_quantised
from recognition.runtimes.onnx_batch_axis import with_batch_axis
from recognition.runtimes.onnx_runner import OnnxRunner
from recognition.runtimes.onnx_session import need_onnxruntime
from recognition.specs.profile import BatchBuckets
from recognition.specs.spec import (
    DETECTOR_BUCKETS,
    EMBEDDER_BUCKETS,
    AnySpec,
    DetectionThresholds,
    DetectorSpec,
    EmbedderSpec,
    InputSpec,
    MatchThresholds,
)
from recognition.zoo.catalogue import CatalogueEntry
from recognition.zoo.identify import Graph, identify
from recognition.zoo.staging import Staging, staging

# Not measured, and said so: above what any ArcFace-family model that was measured here needs at these rates.
UNMEASURED = MatchThresholds.unmeasured(0.4, 0.5)


@dataclass(frozen=True, slots=True)
class Taken:
    """One model that is here now. `written`: its spec came with this import."""

    spec: AnySpec
    written: bool


@dataclass(slots=True)
class ImportReport:
    """What an import took in, and which files of it were left out, and why."""

    taken: list[Taken] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)


def import_as(file: Path, spec: AnySpec, folder: Path) -> ImportReport:
    """Copy the weights of a spec that is known.

    Raises WeightsMissing (no such file), WeightsDigestMismatch, WeightsFolderUnwritable.
    """
    data = read_file(file)
    digest = hashlib.sha256(data).hexdigest()
    if digest != spec.weights_digest:
        raise WeightsDigestMismatch(
            f"{file} ({len(data)} bytes) has sha256 {digest[:12]}…, spec {spec.name} says {spec.short_digest}…: cut "
            f"short, altered or another model; get it again from {spec.source}"
        )
    with staging(folder) as stage:
        stage.write(spec.file, data)
        stage.commit()
    return ImportReport([Taken(spec, written=False)])


def import_entry(file: Path, entry: CatalogueEntry, folder: Path, known: Mapping[str, AnySpec]) -> ImportReport:
    """Take in what a catalogue entry's file holds; specs are written for the networks that have none.

    Raises WeightsMissing, WeightsDigestMismatch (a pinned digest), ArchiveInvalid, WeightsUnreadable,
    SelfTestFailed, UnsupportedRuntime, WeightsFolderUnwritable.
    """
    need_onnxruntime()
    importing = _Importing(file, entry, dict(known), folder)
    with staging(folder) as stage:
        if entry.is_archive:
            with open_archive(file) as archive:
                for member in archive.names:
                    name = PurePosixPath(member).name
                    if name.endswith(".onnx") and not name.startswith("."):
                        importing.take(stage, name, archive.read(member))
        else:
            importing.take(stage, entry.file, read_file(file))
        if not importing.report.taken:
            why = "".join(f"; {name}: {reason}" for name, reason in importing.report.left_out)
            raise ArchiveInvalid(f"{file}: no detector and no embedder is in it{why}")
        stage.commit()
    return importing.report


def read_file(file: Path) -> bytes:
    """The bytes of a file of weights. Raises WeightsMissing."""
    try:
        if file.stat().st_size > WEIGHTS.file_bytes:
            raise WeightsMissing(f"{file} has more than {WEIGHTS.file_bytes >> 30} GiB; that is no file of weights")
        return file.read_bytes()
    except OSError as error:
        raise WeightsMissing(f"{file} can't be read ({error.strerror}); check the path") from None


def digest_of(path: Path) -> str | None:
    """The SHA-256 of a file that may not be there."""
    return hashlib.sha256(read_file(path)).hexdigest() if path.exists() else None


def spec_text(spec: AnySpec, origin: str) -> bytes:
    """A spec's file, as load_specs() finds it beside the weights."""
    tree = spec.model_dump(mode="json")
    return f"# Written by whosthere from {origin}.\n{yaml.safe_dump(tree, sort_keys=False, width=1000)}".encode()


def space_text(space: EmbeddingSpace) -> bytes:
    """A space's file, as read_space() finds it beside the weights."""
    return yaml.safe_dump(space.model_dump(mode="json"), sort_keys=False, width=10_000).encode()


@dataclass(slots=True)
class _Importing:
    """One file of a catalogue entry, while it is taken apart."""

    file: Path
    entry: CatalogueEntry
    known: dict[str, AnySpec]
    folder: Path
    report: ImportReport = field(default_factory=ImportReport)

    def take(self, stage: Staging, name: str, data: bytes) -> None:
        digest = hashlib.sha256(data).hexdigest()
        if not self.entry.is_archive and self.entry.sha256 not in (None, digest):
            raise WeightsDigestMismatch(
                f"{self.file} ({len(data)} bytes) has sha256 {digest[:12]}…, the catalogue says "
                f"{(self.entry.sha256 or '')[:12]}…: cut short or another file; get it again from {self.entry.url}"
            )
        spec = next((spec for spec in self.known.values() if spec.weights_digest == digest), None)
        written = spec is None
        if spec is None:
            try:
                graph = identify(name, data)
            except (WeightsUnreadable, UnsupportedRuntime) as error:
                graph = str(error)
            if isinstance(graph, Graph) and graph.family not in self.entry.inputs:
                graph = f"is a network of the {graph.family} family, which {self.entry.name} should not hold"
            if isinstance(graph, str):
                self.report.left_out.append((name, graph))
                return
            spec = self._try(stage, self._spec(self._name(name, digest), name, graph, data), data)
            stage.write(f"specs/{spec.role}/{spec.name}.yaml", spec_text(spec, self.entry.url))
            self.known[spec.name] = spec
        if all(spec.name != taken.spec.name for taken in self.report.taken):
            stage.write(spec.file, data)
            self.report.taken.append(Taken(spec, written))

    def _name(self, file: str, digest: str) -> str:
        """The file's own name where it is free, with the entry's before it where it is not."""
        single = not self.entry.is_archive
        stem = self.entry.name if single else re.sub(r"[^a-z0-9._-]", "_", file.removesuffix(".onnx").lower())
        for name in (stem.lstrip("._-")[:64], f"{self.entry.name}_{stem}"[:64]):
            free = name not in self.known and all(spec.file != f"{name}.onnx" for spec in self.known.values())
            there = self.folder / f"{name}.onnx"
            if name and free and digest_of(there) in (None, digest):
                return name
        raise ArchiveInvalid(
            f"{self.file}: {stem}.onnx and {self.entry.name}_{stem}.onnx are in {self.folder} or in a spec already, "
            "with other content; move them away"
        )

    def _spec(self, name: str, file: str, graph: Graph, data: bytes) -> AnySpec:
        pixels = self.entry.inputs[graph.family]
        restored = graph.family == "scrfd"  # its last reshapes drop the batch axis
        batches = restored or graph.takes_batches
        common = {
            "name": name,
            "version": 1,
            "engine": "onnx",
            "precision": "int8" if is_quantised(data) else "fp32",
            "local_artifacts": (f"{name}.onnx",),
            "weights_digest": hashlib.sha256(data).hexdigest(),
            "input": InputSpec(name=graph.input, size=graph.size, multiple=graph.multiple, **pixels.model_dump()),
            "batch": "restore" if restored else "dynamic" if batches else 1,
            "licence": self.entry.licence,
            "source": f"{self.entry.url} ({file})" if self.entry.is_archive else self.entry.url,
        }
        if graph.family == "arcface":
            return EmbedderSpec.model_validate(
                common
                | {"role": "face_embedding", "family": "arcface", "embedding_size": graph.embedding_size}
                | {"space": f"{name}.1"[-64:], "thresholds": UNMEASURED}
                | {"batch_buckets": EMBEDDER_BUCKETS if batches else BatchBuckets()}
            )
        return DetectorSpec.model_validate(
            common
            | {"role": "face_detection", "family": graph.family, "thresholds": DetectionThresholds(score=0.5, nms=0.4)}
            | {"batch_buckets": DETECTOR_BUCKETS if batches else BatchBuckets()}
        )

    def _try(self, stage: Staging, spec: AnySpec, data: bytes) -> AnySpec:
        """Run the model as the manager would; one whose batches are not what its singles are runs one at a time."""
        runner = OnnxRunner(spec, data, "cpu")
        self_test(spec, runner, batched=False)
        if not _takes_batches(spec, data):
            spec = spec.model_copy(update={"batch": 1, "batch_buckets": BatchBuckets()})
        if isinstance(spec, EmbedderSpec):
            stage.write(f"spaces/{spec.space}.yaml", space_text(make_space(spec, runner)))
            return spec.model_copy(update={"sample": make_sample(spec, runner)})
        return spec


def _takes_batches(spec: AnySpec, data: bytes) -> bool:
    """Whether a batch's answers are those of its items alone, after the edit that `restore` asks for."""
    if spec.batch == 1:
        return True
    try:
        graph = with_batch_axis(data, f"model {spec.name}") if spec.batch == "restore" else data
    except WeightsUnreadable:
        return False
    return self_test(spec, OnnxRunner(spec, graph, "cpu"), batched=True) is None
