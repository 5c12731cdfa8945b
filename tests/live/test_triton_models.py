"""Models that a manager loads from a real Triton server, as a service has them; with real faces."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from recognition import embed
from recognition.align import aligned_crops
from recognition.checks.portraits import read_portraits
from recognition.errors import EmbeddingSpaceMismatch, TritonModelMismatch, TritonUnavailable
from recognition.models import providers
from recognition.models.manager import ModelManager
from recognition.specs.files import load_specs
from recognition.specs.profile import SpecProfile, TritonModel
from recognition.specs.weights import find_weights
from tests.live.triton_server import (
    PATIENT_S,
    ServedModel,
    TritonServer,
    cosines,
    nano_detector,
    nano_embedder,
    need_triton,
    other_weights,
    served_again,
)

# A server starts in seconds, and in a minute where the machine is busy with something else.
pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

SPECS = load_specs()
EMBEDDER = SPECS["nano_embed"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """nano_embed as version 2, nano_det as version 1."""
    need_triton()
    models = [nano_embedder("nano_embed", find_weights(EMBEDDER, []), version=2), nano_detector()]
    with TritonServer(tmp_path_factory.mktemp("triton"), models) as running:
        yield running


ASK = SpecProfile(runtime="triton", triton=TritonModel(model="nano_embed", version="2"))


def manager_of(server: TritonServer, profile: SpecProfile = ASK, name: str = "nano_embed") -> ModelManager:
    triton = providers.TritonServer(server.url, deadline_s=PATIENT_S)
    return ModelManager([], profiles={name: profile}, triton=triton)


def portraits() -> np.ndarray:
    """(6, 112, 112, 3) uint8: everybody of model/faces."""
    return np.concatenate([aligned_crops(face.image(), face.landmarks[None]) for face in read_portraits()])


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Iterator[TritonServer]:
    """A server with the weights that are published, as version 3."""
    need_triton()
    spec = SPECS["arcface_w600k_mbf"]
    model = ServedModel(
        spec.name,
        find_weights(spec, [shared / "models"]),
        ("input.1", (3, 112, 112)),
        [("embedding", (512,))],
        version=3,
    )
    with TritonServer(tmp_path_factory.mktemp("larger"), [model]) as running:
        yield running


def test_a_profile_moves_a_model_to_the_server_and_nothing_else_changes(larger, shared):
    """Its space is held to, its batches are its faces alone, and it is what ONNX Runtime says here."""
    name = "arcface_w600k_mbf"
    profile = SpecProfile(runtime="triton", triton=TritonModel(model=name, version="3"))
    manager = manager_of(larger, profile, name)
    assert manager.why_not(name) is None
    here = ModelManager([shared / "models"], device="cpu").open_embedder(name)
    crops = portraits()

    with manager.get(name) as model:
        together = model.predict_embeddings(crops)
        alone = np.concatenate([model.predict_embeddings(crop[None]) for crop in crops])
        told = model.metadata()

    assert cosines(together, alone).min() > 0.9999
    assert cosines(together, here.predict_embeddings(crops)).min() > 0.9999
    assert (told.device, told.runtime, told.provider, told.fallback) == ("triton", "triton", "triton", None)
    assert told.buckets == SPECS[name].batch_buckets.cuda
    assert told.notes == ("its server takes 8 at a time: larger batches are sent in parts",)
    assert told.signature == here.metadata().signature, "the same weights make the same templates"
    assert [(holding.owner, holding.held_mib) for holding in manager.ledger.holdings()] == [(name, 0.0)]
    assert manager.get(name, "cpu").runner is model, "a device is the server's affair"
    manager.close()
    assert model.why_not() is not None


def test_other_weights_under_the_models_name_are_of_another_space(server, tmp_path):
    server.kill()
    try:
        server.start([nano_embedder("nano_embed", other_weights(tmp_path / "other.onnx"), version=2)])
        manager = manager_of(server)
        with pytest.raises(EmbeddingSpaceMismatch, match=r"nano_embed: .* not those of space nano_embed\.2"):
            manager.get("nano_embed")
        assert (manager.loaded(), manager.ledger.holdings()) == ([], [])
        server.kill()
    finally:
        server.ensure()


def test_another_version_on_the_server_is_refused_by_its_code(server):
    profile = SpecProfile(runtime="triton", triton=TritonModel(model="nano_embed", version="1"))
    with pytest.raises(TritonModelMismatch, match="version 1 is not ready there, but version 2 READY"):
        manager_of(server, profile).get("nano_embed")


def test_a_killed_server_is_told_and_the_same_model_serves_when_it_is_back(server):
    manager = manager_of(server)
    model = manager.open_embedder("nano_embed")
    faces = embed.prepare(model.spec, portraits())
    here = model.run(faces)[0]
    server.kill()
    try:
        with pytest.raises(TritonUnavailable):
            model.run(faces)
        assert model.why_not().code == "triton_unavailable"
        with pytest.raises(TritonUnavailable):
            manager_of(server).get("nano_embed")
        server.start()
    finally:
        server.ensure()

    assert cosines(served_again(server, model, faces), here).min() > 0.9999
    assert model.why_not() is None
    assert manager.open_embedder("nano_embed") is model
    manager.close()


def test_a_hung_server_does_not_keep_other_models_from_loading(server):
    manager = manager_of(server)
    server.hang()
    try:
        with ThreadPoolExecutor(1) as threads:
            hanging = threads.submit(manager.get, "nano_embed")
            assert manager.open_detector("nano_det").why_not() is None
            assert not hanging.done()
            server.go_on()
            assert hanging.result().runner.why_not() is None
    finally:
        server.go_on()
    manager.close()


def test_a_detector_loads_from_the_server_too(server):
    profile = SpecProfile(runtime="triton", triton=TritonModel(model="nano_det", version="1"))
    model = manager_of(server, profile, "nano_det").open_detector("nano_det")
    assert model.self_test() == "finds the one face in each of 6 portraits"


def test_an_ensemble_may_have_a_member_on_the_server(server):
    crops = portraits()
    here = ModelManager([], device="cpu").open_embedder("nano_embed").predict_embeddings(crops)
    spec = EMBEDDER.model_dump(mode="json")
    specs = {
        "nano_embed": EMBEDDER,
        "served": type(EMBEDDER).model_validate({**spec, "name": "served"}).with_profile(ASK),
        "both": type(EMBEDDER).model_validate(
            {
                **spec,
                "name": "both",
                "local_artifacts": [],
                "weights_digest": None,
                "input": {**spec["input"], "name": None, "color_order": "bgr"},
                "embedding_size": 512,
                "space": "nano_embed.2--nano_embed.2",
                "members": ["nano_embed", "served"],
                "merge": "concat_l2",
            }
        ),
    }
    triton = providers.TritonServer(server.url, deadline_s=PATIENT_S)
    manager = ModelManager([], device="cpu", specs=specs, triton=triton)
    together = manager.open_embedder("both").predict_embeddings(crops)
    assert cosines(together, np.concatenate([here, here], axis=1)).min() > 0.9999
    manager.close()
