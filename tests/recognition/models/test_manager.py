"""Loading and the self-test, the embedding spaces among them: real weights, and weights spoilt on purpose."""

import hashlib
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from recognition import embed
from recognition.align import aligned_crops
from recognition.checks.self_test import self_test
from recognition.checks.spaces import LEAST_COSINE, embed_probes, make_space, probe_faces, read_space
from recognition.errors import (
    EmbeddingSpaceMismatch,
    ModelNotFound,
    SelfTestFailed,
    SpecInvalid,
    WeightsDigestMismatch,
    WeightsMissing,
)
from recognition.models.device_memory import RamReader
from recognition.models.manager import ModelManager
from recognition.runtimes.onnx_runner import OnnxRunner
from recognition.specs.files import bundled, load_specs
from recognition.specs.profile import SpecProfile
from recognition.specs.spec import DetectorSpec, EmbedderSpec
from tests.conftest import PROJECT

MBF = load_specs()["arcface_w600k_mbf"]
assert isinstance(MBF, EmbedderSpec)


def spec_for(file: Path, **changes: object) -> EmbedderSpec:
    """MBF's spec, made to fit this file."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return MBF.model_copy(update={"local_artifacts": (file.name,), "weights_digest": digest, **changes})


def with_weights(source: Path, target: Path, change) -> Path:
    """A copy of an ONNX file with every large weight changed."""
    model = onnx.load(source)
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) > 500:
            tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor)), tensor.name))
    onnx.save(model, target)
    return target


HERE = [name for name, spec in load_specs().items() if spec.weights_digest]  # the others are for `models convert`


@pytest.mark.parametrize("name", HERE)
def test_every_bundled_model_loads(folders, name):
    model = ModelManager(folders(name), device="cpu").open(name)
    spec = load_specs()[name]
    assert model.spec == spec
    assert (model.name, model.device, model.notes) == (name, "cpu", ())
    assert model.max_batch == spec.batch_buckets.cpu[-1]


@pytest.mark.parametrize("name", [name for name in HERE if load_specs()[name].batch == "dynamic"])
def test_a_batch_of_drawn_faces_is_the_faces_alone(runners, name):
    assert self_test(load_specs()[name], runners(name), batched=True) is None


def test_names_and_roles():
    manager = ModelManager([])
    with pytest.raises(ModelNotFound, match="did you mean yunet_n"):
        manager.open("yunet")
    with pytest.raises(ModelNotFound, match=r"yunet_n: is a detector; what is wanted is one of .*edgeface_xxs"):
        manager.open_embedder("yunet_n")


def test_weights_are_looked_for_and_verified(tmp_path):
    with pytest.raises(WeightsMissing):
        ModelManager([tmp_path]).open("yunet_n")
    (tmp_path / "nano_det.onnx").write_bytes(b"cut short")
    with pytest.raises(WeightsDigestMismatch):
        ModelManager([tmp_path, bundled("nano")]).open("nano_det")


# The trap: one activation scale for a whole batch.


@pytest.fixture(scope="module")
def quantised(weights, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("quantised")
    file, copied = folder / "quantised.onnx", Path(shutil.copy(weights[0] / MBF.file, folder))
    quantize_dynamic(copied, file, weight_type=QuantType.QUInt8)  # it writes beside what it reads
    return file


def test_a_dynamically_quantised_model_runs_one_at_a_time(quantised, tmp_path):
    spec = spec_for(quantised, space="quantised.1")
    space = make_space(spec, OnnxRunner(spec, quantised.read_bytes(), "cpu"))
    (tmp_path / "quantised.1.yaml").write_text(yaml.safe_dump(space.model_dump(mode="json")))
    manager = ModelManager([quantised.parent], device="cpu", specs={spec.name: spec}, spaces=tmp_path)
    model = manager.open(spec.name)
    assert model.max_batch == 1
    assert model.notes[0].startswith("runs one at a time: a face in a batch is not the face alone (cosine 0.")


def test_the_trap_is_real(quantised, find, group):
    """The drawn faces stand for real ones: those differ between batch and single too."""
    spec = spec_for(quantised)
    runner = OnnxRunner(spec, quantised.read_bytes(), "cpu")
    tensors = embed.prepare(spec, aligned_crops(group, find(group).landmarks))
    alone = embed.parse(spec, [runner.run(tensor[None]) for tensor in tensors])
    together = embed.parse(spec, [[row] for row in runner.run(tensors)[0]])
    assert np.sum(alone * together, axis=1).min() < 0.999


# Outputs that no face should be judged by.


def test_outputs_that_are_not_finite_are_refused(weights, tmp_path):
    file = with_weights(weights[0] / MBF.file, tmp_path / "nan.onnx", lambda values: values * np.float32(np.nan))
    spec = spec_for(file)
    with pytest.raises(SelfTestFailed, match="not all outputs are finite"):
        ModelManager([tmp_path], device="cpu", specs={spec.name: spec}).open(spec.name)


def test_outputs_of_another_shape_are_refused():
    spec = load_specs()["nano_embed"].model_copy(update={"embedding_size": 128})
    with pytest.raises(SelfTestFailed, match=r"outputs are \[\d+\] numbers wide, a arcface embedder's \[128\]"):
        ModelManager([], device="cpu", specs={spec.name: spec}).open(spec.name)


def test_a_detector_of_another_family_is_refused():
    spec = load_specs()["nano_det"].model_copy(update={"family": "scrfd"})
    with pytest.raises(SelfTestFailed, match="the spec's family or embedding_size is wrong"):
        ModelManager([], device="cpu", specs={spec.name: spec}).open(spec.name)


# Embedding spaces.


def test_swapped_weights_are_refused(weights):
    """edgeface_xxs makes 512 numbers too, but in a space of its own."""
    edgeface = load_specs()["edgeface_xxs"]
    spec = edgeface.model_copy(update={"space": MBF.space})
    with pytest.raises(EmbeddingSpaceMismatch, match=r"edgeface_xxs: .*space arcface_w600k_mbf\.1 \(cosine -?0\.[0-8]"):
        ModelManager(weights, device="cpu", specs={spec.name: spec}).open(spec.name)


def test_another_preprocessing_is_another_space(weights):
    """The right weights fed with the channels swapped do not pass for the right model."""
    spec = MBF.model_copy(update={"input": MBF.input.model_copy(update={"color_order": "bgr"})})
    with pytest.raises(EmbeddingSpaceMismatch):
        ModelManager(weights, device="cpu", specs={spec.name: spec}).open(spec.name)


def test_half_precision_weights_share_the_space(weights, tmp_path):
    file = with_weights(
        weights[0] / MBF.file, tmp_path / "half.onnx", lambda values: values.astype(np.float16).astype(np.float32)
    )
    spec = spec_for(file)
    model = ModelManager([tmp_path], device="cpu", specs={spec.name: spec}).open(spec.name)
    cosines = np.sum(embed_probes(spec, model) * read_space(MBF.space).embeddings(), axis=1)
    assert LEAST_COSINE < cosines.min() < 1 + 1e-6


def test_a_space_of_another_size_is_refused(weights):
    spec = load_specs()["mobileface_v2"].model_copy(update={"space": MBF.space})
    with pytest.raises(EmbeddingSpaceMismatch, match=r"makes 256 numbers, space arcface_w600k_mbf\.1 has 512"):
        ModelManager(weights, device="cpu", specs={spec.name: spec}).open(spec.name)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "name: [",
        "name: odd\ndim: 4\nprobes: [AAAA]",
        "name: other\ndim: 1\nprobes: [ADw=, ADw=, ADw=]",
        "name: odd\ndim: 9\nprobes: [ADw=, ADw=, ADw=]",
    ],
)
def test_a_broken_space_is_named(tmp_path, text):
    if text is not None:
        (tmp_path / "odd.yaml").write_text(text)
    with pytest.raises(SpecInvalid, match="space odd: "):
        read_space("odd", tmp_path)


def test_the_command_writes_the_file_that_is_shipped(weights):
    done = subprocess.run(
        [sys.executable, "-m", "recognition.checks.spaces", "edgeface_xxs", str(weights[0])],
        capture_output=True,
        text=True,
        check=True,
        cwd=PROJECT,
    )
    stored = (bundled("spaces") / "edgeface_xxs.1.yaml").read_text()
    assert yaml.safe_load(done.stdout).keys() == yaml.safe_load(stored).keys()
    assert done.stdout.splitlines()[0] == stored.splitlines()[0]


def test_the_probes_never_change():
    """Whoever changes them must write every space again."""
    faces = probe_faces()
    assert faces.shape == (4, 112, 112, 3)
    np.testing.assert_allclose(
        faces.astype(np.float64).mean(axis=(1, 2, 3)), [107.47, 87.12, 145.13, 125.96], atol=0.05
    )


def test_models_may_be_loaded_side_by_side():
    """Two threads at once, as a service that switches models does."""
    manager, models = ModelManager([], device="cpu"), []
    threads = [
        threading.Thread(target=lambda name=name: models.append(manager.open(name)))
        for name in ("nano_det", "nano_embed")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {model.name for model in models} == {"nano_det", "nano_embed"}


# Profiles: what the configuration says otherwise.


def test_a_profile_changes_what_is_loaded_and_nothing_else():
    profiles = {"nano_embed": SpecProfile(device_policy="cpu", batch_buckets={"cpu": [1, 2], "cuda": [1]})}
    manager = ModelManager([], device="cuda:5", profiles=profiles)
    model = manager.open_embedder("nano_embed")
    assert (model.device, model.asked, model.buckets) == ("cpu", "cpu", (1, 2))
    assert model.spec == load_specs()["nano_embed"].with_profile(profiles["nano_embed"])
    assert manager.spec("nano_det") == load_specs()["nano_det"]
    assert load_specs()["nano_embed"].device_policy == "auto"


def test_a_profile_may_use_an_alias():
    manager = ModelManager([], profiles={"adaface": SpecProfile(device_policy="cpu")})
    assert manager.spec("adaface_ir101").device_policy == "cpu"


def test_a_profiles_precision_is_for_what_can_compute_in_it():
    torch = MBF.model_copy(update={"engine": "torch", "architecture": "arcface_mbf"})
    half = {MBF.name: SpecProfile(precision="fp16")}
    assert ModelManager([], specs={MBF.name: torch}, profiles=half).spec(MBF.name).precision == "fp16"
    with pytest.raises(SpecInvalid, match=r"recognition\.profiles\.arcface_w600k_mbf: precision: "):
        ModelManager([], profiles=half)
    ModelManager([], profiles={MBF.name: SpecProfile(precision="fp32")})


@pytest.mark.parametrize(
    ("name", "profile", "error", "complaint"),
    [
        ("nano_embd", SpecProfile(device_policy="cpu"), ModelNotFound, "did you mean nano_embed"),
        (
            "nano_embed",
            SpecProfile(runtime="triton"),
            SpecInvalid,
            r"recognition\.profiles\.nano_embed: triton: a model",
        ),
    ],
)
def test_a_profile_that_can_not_be_is_refused_at_the_start(name, profile, error, complaint):
    with pytest.raises(error, match=complaint):
        ModelManager([], profiles={name: profile})


# What opens.


def test_opening_by_name_or_by_role():
    manager = ModelManager([], device="cpu")
    detector, embedder = manager.open("nano_det"), manager.open("nano_embed")
    assert isinstance(detector.spec, DetectorSpec)
    assert manager.open_detector("nano_det") is detector
    assert manager.open_embedder("nano_embed") is embedder
    assert manager.spec_of("adaface", EmbedderSpec).name == "adaface_ir101"
    with pytest.raises(ModelNotFound, match=r"nano_embed: is an embedder; what is wanted is one of nano_det, "):
        manager.open_detector("nano_embed")
    manager.close()
    assert [model.why_not().code for model in (detector, embedder)] == ["runner_dead", "runner_dead"]


def test_a_hidden_gpu_is_not_counted(monkeypatch):
    """The manager's own reader numbers GPUs as CUDA does."""
    seen: list[str | None] = []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-of-nobody")
    monkeypatch.setattr("recognition.models.manager.NvmlReader", lambda visible: seen.append(visible) or RamReader())
    assert ModelManager([]).ledger.room_mib().keys() == {"cpu"}
    assert seen == ["GPU-of-nobody"]
