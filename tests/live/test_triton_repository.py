"""`models triton-repo`: what it writes, served as it is by a real Triton server, and asked by our commands."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from recognition.errors import TritonUnavailable
from recognition.runtimes.onnx_runner import OnnxRunner
from recognition.runtimes.triton_client import TritonEndpoint
from recognition.runtimes.triton_contract import probe_tensor
from recognition.runtimes.triton_runner import TritonRunner
from recognition.specs.files import load_specs
from recognition.specs.weights import read_weights
from tests.command import whosthere
from tests.live.triton_server import PATIENT_S, TritonServer, need_triton

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

MODELS = ("nano_det", "nano_embed")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a repository in triton-models, and the configuration that the command said to use."""
    need_triton()
    folder = tmp_path_factory.mktemp("home")
    written = whosthere("models", "triton-repo", "nano", "--json", cwd=folder)
    assert written.code == 0, written.err
    (folder / "use.yaml").write_text(yaml.safe_dump(written.document["configuration"]))
    return folder


@pytest.fixture(scope="module")
def server(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """It auto-completes nothing: what config.pbtxt says is all that it knows."""
    with TritonServer(tmp_path_factory.mktemp("triton"), [], ready_made=home / "triton-models") as running:
        yield running


@pytest.mark.parametrize("name", MODELS)
def test_a_server_answers_as_the_weights_do_here(server, name):
    spec = load_specs()[name]
    runner = TritonRunner(spec, TritonEndpoint(server.url, name, str(spec.version), PATIENT_S))
    picture = probe_tensor(spec)
    batch = np.concatenate([picture, picture[..., ::-1], picture[:, ::-1]])

    there, here = runner.run(batch), OnnxRunner(spec, read_weights(spec, []), "cpu").run(batch)

    assert runner.notes == (), "it takes the largest batch that the service makes"
    for theirs, ours in zip(there, here, strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-3, atol=1e-3)
    runner.close()


def test_the_configuration_that_it_tells_serves_both_models_from_there(home, server):
    url = f"recognition.triton={{url: '{server.url}', deadline_s: 60}}"
    ended = whosthere("models", "selftest", "--config", "use.yaml", "--set", url, "--json", cwd=home, limit_s=180)

    assert ended.code == 0, ended.err
    told = {row["name"]: row["detail"] for row in ended.document["models"]}
    assert told.keys() == set(MODELS)
    assert all("triton" in detail for detail in told.values()), told


def test_a_server_without_the_weights_says_so_and_is_unavailable(home, server, tmp_path):
    """The repository copied without one model's file: the server starts with the other one."""
    broken = tmp_path / "broken"
    shutil.copytree(home / "triton-models", broken)
    next((broken / "nano_embed").glob("*/model.onnx")).unlink()
    spec = load_specs()["nano_embed"]
    with (
        TritonServer(tmp_path, [], ready_made=broken, keeps_going=True) as running,
        pytest.raises(TritonUnavailable, match="version 2 UNAVAILABLE"),
    ):
        TritonRunner(spec, TritonEndpoint(running.url, "nano_embed", "2", retries=0))
