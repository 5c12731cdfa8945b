"""One loaded model, real and scripted: what it takes and gives, what it says of itself, when it is available."""

import dataclasses
import time

import numpy as np
import pytest

from recognition.align import aligned_crops
from recognition.checks.portraits import read_portraits
from recognition.errors import InsufficientMemory, RunnerDead, SelfTestFailed, TritonUnavailable, UnsupportedEngine
from recognition.models.manager import ModelManager
from recognition.models.model_runner import ModelRunner
from recognition.reason import Reason
from recognition.specs.files import load_specs
from recognition.specs.spec import DetectorSpec, EmbedderSpec, signature_of
from tests.recognition.scripted_provider import DIM, ScriptedTensors, face, scripted_spec

SPECS = load_specs()


@pytest.fixture(scope="module")
def nano() -> ModelRunner[EmbedderSpec]:
    return ModelManager([], device="cpu").open_embedder("nano_embed")


@pytest.fixture(scope="module")
def nano_det() -> ModelRunner[DetectorSpec]:
    return ModelManager([], device="cpu").open_detector("nano_det")


def runner_on(device: str = "cuda:0", **changes: object) -> tuple[ModelRunner[EmbedderSpec], ScriptedTensors]:
    tensors = ScriptedTensors("a", device, None, 0, 0)
    return ModelRunner(scripted_spec("a", **changes), tensors, provider="scripted", asked="auto"), tensors


# What goes in and comes out.


@pytest.mark.parametrize(
    "batch",
    [
        np.zeros((1, 3, 112, 112), np.float64),
        np.zeros((1, 3, 112, 111), np.float32),
        np.zeros((1, 3, 160, 160), np.float32),
        np.zeros((1, 112, 112, 3), np.float32),
        np.zeros((3, 112, 112), np.float32),
    ],
    ids=lambda batch: f"{batch.dtype} {batch.shape}",
)
def test_a_batch_of_another_shape_never_reaches_the_network(batch):
    runner, tensors = runner_on()
    with pytest.raises(ValueError, match=r"model a: want float32 \(n, 3, 112, 112\), got"):
        runner.run(batch)
    assert tensors.sizes == []
    assert runner.why_not() is None, "it is not the model's fault"


def test_a_detector_takes_smaller_pictures_too(nano_det):
    assert len(nano_det.run(np.zeros((1, 3, 320, 640), np.float32))) == 12
    with pytest.raises(ValueError, match="want float32"):
        nano_det.run(np.zeros((1, 3, 321, 640), np.float32))


@pytest.mark.parametrize("answer", [np.zeros((1, DIM + 1), np.float32), np.float32(1)])
def test_an_answer_of_another_width_is_refused_and_told(answer):
    runner, tensors = runner_on()
    tensors.answer = lambda batch: np.asarray(answer)
    with pytest.raises(SelfTestFailed, match=r"its outputs are \[\d\] numbers wide, a arcface embedder's \[8\]"):
        runner.run(np.zeros((1, 3, 112, 112), np.float32))
    assert runner.why_not().code == "self_test_failed"


def test_faces_go_in_the_largest_buckets_that_fit():
    runner, tensors = runner_on(batch_buckets={"cpu": [1], "cuda": [1, 2, 4, 8]})
    grey = np.stack([face(value) for value in range(20, 40)])
    grey[..., 1:] = 90
    together = runner.predict_embeddings(grey[:15])
    assert tensors.sizes == [8, 4, 2, 1]
    tensors.sizes.clear()
    alone = np.concatenate([runner.predict_embeddings(crop[None]) for crop in grey[:15]])
    assert tensors.sizes == [1] * 15
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("count", [0, 1, 3, 7, 9, 17])
def test_any_number_of_faces_is_answered_in_order(nano, count):
    crops = np.concatenate([aligned_crops(face.image(), face.landmarks[None]) for face in read_portraits()])
    crops = np.resize(crops, (count, *crops.shape[1:]))
    embeddings = nano.predict_embeddings(crops)
    assert (embeddings.shape, embeddings.dtype) == ((count, 256), np.float32)
    for crop, embedding in zip(crops, embeddings, strict=True):
        assert float(nano.predict_embeddings(crop[None])[0] @ embedding) > 0.9999


def test_a_detector_makes_no_embeddings(nano_det):
    with pytest.raises(UnsupportedEngine, match="nano_det: is a detector, which makes no embeddings"):
        nano_det.predict_embeddings(face(1)[None])


# Buckets and tests.


def test_a_server_gets_the_batches_of_a_gpu():
    for device, buckets in (("cpu", (1, 2)), ("cuda:1", (1, 4)), ("triton", (1, 4))):
        runner, _ = runner_on(device, batch_buckets={"cpu": [1, 2], "cuda": [1, 4]})
        assert (runner.buckets, runner.max_batch, runner.on_cpu) == (buckets, buckets[-1], device == "cpu")


def test_the_test_runs_no_larger_batches_than_there_is_memory_for():
    runner, tensors = runner_on()
    for largest, most in ((1, 1), (2, 2), (3, 2), (8, 4), (None, 4)):
        tensors.sizes.clear()
        runner.check_spec(largest)
        assert max(tensors.sizes) == most
    tensors.sizes.clear()
    runner.warmup(8)
    assert set(tensors.sizes) == {1, 2, 4, 8}


def test_a_model_whose_batches_change_its_answers_runs_one_at_a_time():
    runner, tensors = runner_on()
    tensors.answer = lambda batch: (batch - batch.mean(axis=0)).mean(axis=(2, 3)) @ np.ones((3, DIM)) + 1
    runner.check_spec()
    assert runner.buckets == (1,)
    assert len(runner.notes) == 1
    assert runner.notes[0].startswith("runs one at a time: a face in a batch is not the face alone")
    runner.check_spec()
    assert len(runner.notes) == 1


def test_the_long_test_tells_how_it_did(nano, nano_det):
    assert nano.self_test().startswith("sample 1.0000, one person at least 0.")
    assert nano_det.self_test() == "finds the one face in each of 6 portraits"
    runner, _ = runner_on()
    with pytest.raises(SelfTestFailed, match="two people, for one"):
        runner.self_test()


# Available or not.


def test_a_failure_that_may_pass_is_told_until_a_run_works_again():
    runner, tensors = runner_on()
    assert runner.why_not() is None
    for error in (TritonUnavailable("model a: the server is down"), InsufficientMemory("model a: out of memory")):
        tensors.failing = error
        with pytest.raises(type(error)):
            runner.predict_embeddings(face(9)[None])
        assert runner.why_not() == Reason.of(error)
        tensors.failing = None
        runner.predict_embeddings(face(9)[None])
        assert runner.why_not() is None


def test_a_failure_keeps_no_batch_alive():
    """An error has a traceback, and that has the frames with the batch in them."""
    runner, tensors = runner_on()
    tensors.failing = TritonUnavailable("down")
    with pytest.raises(TritonUnavailable):
        runner.predict_embeddings(face(9)[None])
    assert not [value for value in vars(runner).values() if isinstance(value, BaseException)]


def test_what_is_closed_is_not_available():
    runner, tensors = runner_on()
    runner.close()
    runner.close()
    assert tensors.closed
    assert runner.why_not() == Reason(RunnerDead.code, "model a: was closed")
    with pytest.raises(RuntimeError, match="run after close"):
        runner.predict_embeddings(face(9)[None])


# What it says of itself.


def test_metadata_are_complete(nano):
    told, spec = nano.metadata(), SPECS["nano_embed"]
    assert dataclasses.asdict(told) == {
        "name": "nano_embed",
        "version": 2,
        "role": "face_embedding",
        "runtime": "inprocess",
        "engine": "onnx",
        "precision": "int8",
        "provider": "onnxruntime",
        "device_asked": "cpu",
        "device": "cpu",
        "input_size": (112, 112),
        "buckets": (1, 2, 4, 8),
        "threshold": spec.identification_threshold,
        "weights_digest": spec.weights_digest,
        "preprocessing_signature": spec.preprocessing_signature,
        "signature": signature_of(spec),
        "loaded_at": nano.loaded_at,
        "fallback": None,
        "fallback_reason": None,
        "form": None,
        "notes": (),
    }
    assert 0 <= time.time() - told.loaded_at < 600


def test_a_detectors_threshold_is_its_score(nano_det):
    assert nano_det.metadata().threshold == SPECS["nano_det"].thresholds.score


def test_a_fallback_is_in_the_metadata_and_first_among_the_notes():
    tensors = ScriptedTensors("a", "cpu", None, 0, 0)
    tensors.fallback = Reason("no_gpu", "CUDA sees no GPU")
    runner = ModelRunner(scripted_spec("a"), tensors, provider="scripted", asked="auto", notes=["odd"])
    told = runner.metadata()
    assert (told.device_asked, told.device) == ("auto", "cpu")
    assert (told.fallback, told.fallback_reason) == ("no_gpu", "CUDA sees no GPU")
    assert told.notes == ("device auto took the CPU: CUDA sees no GPU", "odd")


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 99},
        {"weights_digest": "0" * 64},
        {"precision": "fp16"},
        {"name": "another"},
        {"input": {"name": "input", "size": [112, 112], "color_order": "bgr", "mean": 0.0, "std": 1.0}},
        {"crop": "facenet"},
    ],
)
def test_a_signature_changes_with_whatever_changes_answers(changes):
    spec = scripted_spec("a")
    changed = EmbedderSpec.model_validate({**spec.model_dump(mode="json"), **changes})
    assert signature_of(changed) != signature_of(spec)
    assert signature_of(SPECS["nano_det"], changed) != signature_of(SPECS["nano_det"], spec)


def test_a_signature_stays_with_whatever_does_not():
    spec = scripted_spec("a")
    for changes in ({"licence": "another"}, {"batch_buckets": {"cpu": [1], "cuda": [1]}}, {"device_policy": "cpu"}):
        changed = EmbedderSpec.model_validate({**spec.model_dump(mode="json"), **changes})
        assert signature_of(changed) == signature_of(spec)
    assert len(signature_of(spec)) == 16
