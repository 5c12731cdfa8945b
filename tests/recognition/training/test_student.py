"""A whole training run, tiny, on real photos with the real teacher: its folder is a folder of weights."""

import json
import zipfile

import numpy as np
import pytest

from recognition.errors import PhotoSetInvalid, RunMismatch
from recognition.models.manager import ModelManager
from recognition.specs.files import load_specs
from recognition.training.distil_embedder import EmbedderOptions
from recognition.training.loop import Schedule
from recognition.training.student import make_embedder


@pytest.fixture(scope="module")
def photos(shared, tmp_path_factory):
    """160 photos of about a hundred people."""
    few = tmp_path_factory.mktemp("photos") / "few.zip"
    with zipfile.ZipFile(shared / "faces" / "lfw_train.zip") as whole, zipfile.ZipFile(few, "w") as part:
        for name in [name for name in sorted(whole.namelist()) if name.endswith(".jpg")][:160]:
            part.writestr(name, whole.read(name))
    return few


def options(photos, shared, out, **changes) -> EmbedderOptions:
    plan = {"schedule": Schedule(epochs=2, threads=1, warmup_steps=1), "blends": 40, "batch": 32, "workers": 0}
    return EmbedderOptions(photos, "mobileface_v2", (shared / "models",), out, aligner="yunet_n", **(plan | changes))


def test_a_run_leaves_a_model_that_loads_and_goes_on_where_it_stopped(photos, shared, tmp_path):
    lines: list[str] = []
    spec = make_embedder(options(photos, shared, tmp_path), "mine", lines.append)
    loaded = ModelManager([tmp_path], device="cpu", specs=load_specs(beside=[tmp_path])).open_embedder("mine")
    assert loaded.spec.weights_digest == spec.weights_digest
    assert loaded.max_batch == 8  # batch = single held, so it may be batched
    assert "not measured" in spec.thresholds.measured_on
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["facts"]["teacher"] == "mobileface_v2"
    assert record["epochs_done"] == 2
    assert np.isfinite(record["curve"][-1]["held_out_cosine"])
    assert any(line.startswith("asking the teacher") for line in lines)

    again: list[str] = []
    assert make_embedder(options(photos, shared, tmp_path), "mine", again.append).weights_digest == spec.weights_digest
    assert not any(line.startswith(("asking", "aligning", "blending", "epoch")) for line in again)
    with pytest.raises(RunMismatch):
        make_embedder(options(photos, shared, tmp_path, temperature=0.1), "mine", again.append)


def test_too_few_photos_are_refused_before_the_training(photos, shared, tmp_path):
    with pytest.raises(PhotoSetInvalid, match="a batch has 512"):
        make_embedder(options(photos, shared, tmp_path, batch=512), "mine", print)
