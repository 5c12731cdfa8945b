"""Which provider runs what, what it needs for that, and what it says where that is missing."""

import sys
from pathlib import Path

import pytest

from recognition.errors import UnsupportedRuntime, WeightsDigestMismatch, WeightsMissing
from recognition.models.manager import ModelManager
from recognition.models.providers import (
    EnsembleProvider,
    LoadContext,
    OnnxProvider,
    TorchProvider,
    TritonProvider,
    TritonServer,
    default_providers,
)
from recognition.specs.files import load_specs
from recognition.specs.profile import SpecProfile, TritonModel
from recognition.specs.spec import EmbedderSpec

NANO = load_specs()["nano_embed"]
assert isinstance(NANO, EmbedderSpec)
TORCH = NANO.model_copy(
    update={"name": "torched", "engine": "torch", "architecture": "arcface_mbf", "local_artifacts": ("it.pt",)}
)
TRITON = SpecProfile(runtime="triton", triton=TritonModel(model="nano_embed", version="1"))
SERVER = TritonServer("127.0.0.1:1")


@pytest.mark.parametrize(
    ("changes", "provider"),
    [
        ({}, OnnxProvider),
        ({"engine": "tensorrt"}, OnnxProvider),
        ({"engine": "torch"}, TorchProvider),
        ({"runtime": "triton"}, TritonProvider),
        ({"runtime": "triton", "engine": "torch"}, TritonProvider),
        ({"members": ("a", "b")}, EnsembleProvider),
        ({"members": ("a", "b"), "engine": "torch"}, EnsembleProvider),
    ],
)
def test_each_spec_has_one_provider(changes, provider):
    spec = NANO.model_copy(update=changes)
    assert [type(one) for one in default_providers() if one.supports(spec)] == [provider]


def test_detectors_have_providers_too():
    detector = load_specs()["nano_det"]
    assert [type(one) for one in default_providers() if one.supports(detector)] == [OnnxProvider]


# What is missing is said, and breaks nothing else.


@pytest.fixture
def specs(tmp_path: Path) -> dict[str, EmbedderSpec]:
    """One model for each provider: only `nano_embed` can be had as it is."""
    (tmp_path / "it.pt").write_bytes(b"no checkpoint")
    served = NANO.with_profile(TRITON).model_copy(update={"name": "served"})
    missing = NANO.model_copy(update={"name": "missing", "local_artifacts": ("missing.onnx",)})
    unmade = NANO.model_copy(update={"name": "unmade", "weights_digest": None})
    all_of_them = (NANO, TORCH, served, missing, unmade)
    return {spec.name: spec for spec in all_of_them}


def manager_of(specs: dict[str, EmbedderSpec], folder: Path, **more: object) -> ModelManager:
    return ModelManager([folder], device="cpu", specs=specs, **more)


def test_availability_of_each(specs, tmp_path):
    pytest.importorskip("torch", reason="the extra train is not installed")
    pytest.importorskip("tritonclient.grpc", reason="the extra triton is not installed")
    manager = manager_of(specs, tmp_path)
    told = {name: manager.why_not(name) for name in (*specs, "nobody")}
    assert {name: one and one.code for name, one in told.items()} == {
        "nano_embed": None,
        "torched": None,
        "served": "unsupported_runtime",
        "missing": "weights_missing",
        "unmade": "weights_missing",
        "nobody": "model_not_found",
    }
    assert told["served"].why.endswith("no server is configured; set recognition.triton.url")
    assert "missing.onnx not found in" in told["missing"].why
    assert "have to be made here first" in told["unmade"].why
    assert manager.open("nano_embed").why_not() is None


def test_with_a_server_configured_a_model_of_it_may_be_tried(specs, tmp_path):
    pytest.importorskip("tritonclient.grpc", reason="the extra triton is not installed")
    assert manager_of(specs, tmp_path, triton=SERVER).why_not("served") is None


@pytest.mark.parametrize(
    ("library", "name", "advice"),
    [
        ("onnxruntime", "nano_embed", r"pip install 'whosthere\[cpu\]'"),
        ("onnxruntime", "missing", r"pip install 'whosthere\[cpu\]'"),
        ("tritonclient.grpc", "served", r"pip install 'whosthere\[triton\]'"),
    ],
)
def test_software_that_is_not_installed_is_named_before_weights(specs, tmp_path, monkeypatch, library, name, advice):
    monkeypatch.setitem(sys.modules, library, None)
    manager = manager_of(specs, tmp_path, triton=SERVER)
    told = manager.why_not(name)
    assert told.code == "unsupported_runtime"
    with pytest.raises(UnsupportedRuntime, match=advice):
        manager.get(name)


def test_pytorch_that_is_not_installed_is_named(specs, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    told = manager_of(specs, tmp_path).why_not("torched")
    assert told.code == "unsupported_runtime"
    assert "PyTorch" in told.why


# Loading.


def test_onnx_loads_what_the_digest_says():
    runner = OnnxProvider().load(NANO, LoadContext((), "cpu"))
    told = runner.metadata()
    assert (told.provider, told.device_asked, told.device) == ("onnxruntime", "cpu", "cpu")
    runner.close()


def test_what_is_missing_or_altered_is_not_loaded(tmp_path):
    for spec, content, error in (
        (NANO, b"altered", WeightsDigestMismatch),
        (TORCH, b"altered", WeightsDigestMismatch),
        (TORCH, None, WeightsMissing),
    ):
        (tmp_path / spec.file).unlink(missing_ok=True)
        if content is not None:
            (tmp_path / spec.file).write_bytes(content)
        provider = OnnxProvider() if spec is NANO else TorchProvider()
        if spec is TORCH:
            pytest.importorskip("torch", reason="the extra train is not installed")
        with pytest.raises(error):
            provider.load(spec, LoadContext((tmp_path,), "cpu"))


def test_nothing_is_wanted_of_this_machine_for_a_server_but_its_client():
    pytest.importorskip("tritonclient.grpc", reason="the extra triton is not installed")
    served = NANO.with_profile(TRITON)
    assert TritonProvider(SERVER).validate_local_artifacts(served, []) == []
    for refused in (TritonProvider().validate_local_artifacts, lambda spec, _: TritonProvider().load(spec, None)):
        with pytest.raises(UnsupportedRuntime, match=r"set recognition\.triton\.url"):
            refused(served, [])
