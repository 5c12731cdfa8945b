"""Trains a student and ships it: its folder becomes a folder of weights that paths.models may name.

Blocks for hours. NAME.onnx with its spec, and an embedder's space, lie where load_specs() looks for them.
"""

import hashlib
from pathlib import Path

from recognition.checks.portraits import make_sample
from recognition.checks.spaces import make_space
from recognition.runtimes.onnx_runner import OnnxRunner
from recognition.specs.spec import (
    DETECTOR_BUCKETS,
    EMBEDDER_BUCKETS,
    DetectionThresholds,
    DetectorSpec,
    EmbedderSpec,
    InputSpec,
)
from recognition.training.detector_net import NanoDetector
from recognition.training.distil_detector import DetectorOptions, DetectorTask
from recognition.training.distil_embedder import EmbedderOptions, EmbedderTask
from recognition.training.embedder_net import DIM, NanoEmbedder
from recognition.training.export_detector import export_detector
from recognition.training.export_embedder import export_embedder
from recognition.training.loop import Say, Told, train, untold
from recognition.zoo.imports import UNMEASURED, space_text, spec_text
from recognition.zoo.onnx_export import INPUT

_LICENCE = "yours, as far as the terms of the teacher and of the photos allow"


def make_embedder(options: EmbedderOptions, name: str, say: Say, told: Told = untold) -> EmbedderSpec:
    """Train, or go on training, then write the student. Raises TrainingError and what photos and weights raise."""
    task = EmbedderTask(options, say)
    net = train(task, options.schedule, options.out, say, told)
    assert isinstance(net, NanoEmbedder)
    say("writing the network in int8")
    export_embedder(net, task.crops, options.out / f"{name}.onnx")
    return ship_embedder(options.out, name, options.teacher)


def make_detector(options: DetectorOptions, name: str, say: Say, told: Told = untold) -> DetectorSpec:
    """As make_embedder. The score to believe is the one at .1 false alarms a scene of people held out."""
    task = DetectorTask(options, say)
    net = train(task, options.schedule, options.out, say, told)
    assert isinstance(net, NanoDetector)
    say("writing the network in int8")
    export_detector(net, task.photos, options.out / f"{name}.onnx")
    score = max(0.3, round(task.figures(net)["held_out_threshold"], 2))
    return ship_detector(options.out, name, options.teacher, score)


def ship_embedder(out: Path, name: str, teacher: str) -> EmbedderSpec:
    """Write the spec and the space of `out`/NAME.onnx. Thresholds are not measured yet, and the spec says so."""
    data = (out / f"{name}.onnx").read_bytes()
    spec = EmbedderSpec(
        name=name,
        version=1,
        role="face_embedding",
        family="arcface",
        engine="onnx",
        precision="int8",
        local_artifacts=(f"{name}.onnx",),
        weights_digest=hashlib.sha256(data).hexdigest(),
        input=InputSpec(name=INPUT, size=(112, 112), color_order="rgb", mean=0.0, std=1.0),
        batch="dynamic",
        batch_buckets=EMBEDDER_BUCKETS,
        embedding_size=DIM,
        space=f"{name}.1",
        thresholds=UNMEASURED,
        licence=_LICENCE,
        source=_source(teacher),
    )
    runner = OnnxRunner(spec, data, "cpu")
    spec, space = spec.model_copy(update={"sample": make_sample(spec, runner)}), make_space(spec, runner)
    _write(out / "spaces" / f"{spec.space}.yaml", space_text(space))
    _write(out / "specs" / spec.role / f"{name}.yaml", spec_text(spec, _source(teacher)))
    return spec


def ship_detector(out: Path, name: str, teacher: str, score: float) -> DetectorSpec:
    """Write the spec of `out`/NAME.onnx; `score`: from which on a face is to be believed."""
    spec = DetectorSpec(
        name=name,
        version=1,
        role="face_detection",
        family="yunet",
        engine="onnx",
        precision="int8",
        local_artifacts=(f"{name}.onnx",),
        weights_digest=hashlib.sha256((out / f"{name}.onnx").read_bytes()).hexdigest(),
        input=InputSpec(name=INPUT, size=(640, 640), color_order="bgr", mean=0.0, std=1.0, multiple=32),
        batch="dynamic",
        batch_buckets=DETECTOR_BUCKETS,
        thresholds=DetectionThresholds(score=score, nms=0.4),
        licence=_LICENCE,
        source=_source(teacher),
    )
    _write(out / "specs" / spec.role / f"{name}.yaml", spec_text(spec, _source(teacher)))
    return spec


def _source(teacher: str) -> str:
    return f"whosthere train-weights, distilled from {teacher}"


def _write(file: Path, text: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text)
