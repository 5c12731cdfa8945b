"""The task of an embedder on a few people, taught by our own weights: what it is fed, and what it starts from."""

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional

from recognition import embed
from recognition.checks.portraits import read_portraits
from recognition.errors import RunMismatch
from recognition.runtimes.onnx_runner import OnnxRunner
from recognition.specs.files import bundled, load_specs
from recognition.specs.spec import EmbedderSpec
from recognition.training.crops import inner
from recognition.training.distil_embedder import EmbedderOptions, EmbedderTask
from recognition.training.embedder_net import NanoEmbedder
from recognition.training.loop import Schedule, rate, train
from recognition.training.quantised import WEIGHT_LIMIT, plain
from tests.int8_networks import dynamic, qdq

PEOPLE = 24  # those numbered 3 and 23 are held out


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """The bundled portraits in other lights under many names; one who is held out has two photos."""
    folder = tmp_path_factory.mktemp("photos")
    portraits = [portrait.image().bgr() for portrait in read_portraits()]
    for number in range(PEOPLE + 1):
        pixels = cv2.convertScaleAbs(portraits[number % len(portraits)], alpha=1 - 0.01 * number)
        person = folder / f"P{number if number < PEOPLE else 3:02}"
        person.mkdir(exist_ok=True)
        cv2.imwrite(str(person / f"{number}.jpg"), pixels)
    return folder


@pytest.fixture(scope="module")
def options(photos, tmp_path_factory):
    schedule = Schedule(epochs=10, threads=1, warmup_steps=2, decay=0.5, figures_every=100)
    out = tmp_path_factory.mktemp("run")
    return EmbedderOptions(photos, "nano_embed", (), out, schedule, aligner="nano_det", blends=10, batch=8, workers=0)


def test_more_crops_are_unspoiled_while_the_rate_falls(options):
    task = EmbedderTask(options, print)
    steps = task.steps_per_epoch
    shares = [task._unspoiled(epoch) for epoch in range(10)]
    rates = [rate(epoch * steps + 2, 10 * steps, options.schedule) for epoch in range(10)]
    assert shares[0] == shares[4] == pytest.approx(0.2)
    assert all(later > earlier for earlier, later in pairwise(shares[5:]))
    assert 0.5 < shares[-1] <= 0.6
    assert np.argsort(shares, kind="stable").tolist() == np.argsort(-np.array(rates), kind="stable").tolist()


def test_a_run_starts_from_the_weights_of_another_and_says_so(options, tmp_path):
    one_epoch = Schedule(epochs=1, threads=1, warmup_steps=1)
    first = EmbedderTask(options, print)
    before = {name: part.clone() for name, part in first.net.state_dict().items()}
    assert "started_from" not in first.facts()
    trained = train(first, one_epoch, tmp_path, print).state_dict()
    assert any(not torch.equal(part, before[name]) for name, part in trained.items())

    second = EmbedderTask(replace(options, start_from=tmp_path), print)
    assert all(torch.equal(part, trained[name]) for name, part in second.net.state_dict().items())
    named = second.facts()["started_from"]
    assert named["facts"] == first.facts()
    assert named["epochs_done"] == 1

    with pytest.raises(RunMismatch, match="no run to start from"):
        EmbedderTask(replace(options, start_from=tmp_path / "gone"), print)


def test_a_run_starts_from_the_file_that_ships(options):
    """What a user has is the ONNX file; its network is the student again, batch normalisations and all."""
    file = bundled("nano") / "nano_embed.onnx"
    task = EmbedderTask(replace(options, start_from=file), print)
    assert task.facts()["started_from"]["file"] == "nano_embed.onnx"
    spec = load_specs()["nano_embed"]
    assert isinstance(spec, EmbedderSpec)
    tensors = embed.prepare(spec, inner(task.crops))
    raw, *_ = OnnxRunner(spec, file.read_bytes(), "cpu", unfused=True).run(tensors)
    wanted = embed.parse(spec, [[row] for row in raw])
    with torch.no_grad():
        got = functional.normalize(task.net.eval()(torch.from_numpy(tensors)), dim=1).numpy()
    assert (got * wanted).sum(axis=1).min() > 0.98
    assert (got * wanted).sum(axis=1).mean() > 0.99


def test_another_network_s_file_is_nothing_to_start_from(options, tmp_path):
    with pytest.raises(RunMismatch, match="no layer features"):
        EmbedderTask(replace(options, start_from=bundled("nano") / "nano_det.onnx"), print)
    (tmp_path / "foreign.onnx").write_bytes(dynamic("ConvInteger").weights)
    with pytest.raises(RunMismatch, match="no layer features"):
        EmbedderTask(replace(options, start_from=tmp_path / "foreign.onnx"), print)
    (tmp_path / "bare.onnx").write_bytes(qdq("Conv", zero_point=False).weights)
    with pytest.raises(RunMismatch, match="without constant weights and biases"):
        EmbedderTask(replace(options, start_from=tmp_path / "bare.onnx"), print)
    (tmp_path / "torn.onnx").write_bytes(b"torn")
    with pytest.raises(RunMismatch, match="no ONNX file"):
        EmbedderTask(replace(options, start_from=tmp_path / "torn.onnx"), print)


def test_what_is_trained_is_rounded_to_seven_bits(options):
    weights = [
        module.weight
        for module in plain(EmbedderTask(options, print).net, NanoEmbedder()).modules()
        if hasattr(module, "weight")
    ]
    kernels = [weight.detach() for weight in weights if weight.ndim > 1]
    assert len(kernels) > 10
    for kernel in kernels:
        steps = kernel.flatten(1) / kernel.flatten(1).abs().amax(1, keepdim=True) * WEIGHT_LIMIT
        assert torch.allclose(steps, steps.round(), atol=1e-3)
