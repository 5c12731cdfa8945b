"""Two embedders as one: the documented specs on real weights and faces, and what goes wrong on tiny networks."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from recognition import embed
from recognition.align import aligned_crops
from recognition.checks.portraits import read_portraits
from recognition.checks.spaces import make_space
from recognition.errors import EmbeddingSpaceMismatch, ModelNotFound, SpecInvalid
from recognition.models.ensemble import EnsembleRunner, halves
from recognition.models.manager import ModelManager
from recognition.models.model_runner import ModelRunner
from recognition.reason import Reason
from recognition.runtimes.onnx_runner import OnnxRunner
from recognition.specs.files import load_specs
from recognition.specs.profile import SpecProfile
from recognition.specs.spec import EmbedderSpec
from tests.conftest import PROJECT
from tests.recognition.scripted_provider import ensemble_of
from tests.tiny_networks import embedder, fragile

CONCAT, AGREE = "mbf_edgeface", "mbf_and_edgeface"
MEMBERS = ("arcface_w600k_mbf", "edgeface_xxs")


@pytest.fixture(scope="session")
def faces() -> np.ndarray:
    """(6,112,112,3): the bundled portraits."""
    return np.concatenate([aligned_crops(face.image(), face.landmarks[None]) for face in read_portraits()])


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.asarray((one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1))


# As documented, on real weights.


@pytest.fixture(scope="session")
def documented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights folder with the ensembles of docs/models.md."""
    folder = tmp_path_factory.mktemp("documented")
    blocks = re.findall(r"```yaml\n(.*?)```", (PROJECT / "docs" / "models.md").read_text(), re.DOTALL)
    for text in (block for block in blocks if "\nmembers:" in block):
        file = folder / "specs" / "face_embedding" / f"{yaml.safe_load(text)['name']}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def test_the_documented_specs_load(documented):
    specs = load_specs(beside=[documented])
    merges = {name: specs[name].merge for name in (CONCAT, AGREE)}
    assert merges == {CONCAT: "concat_l2", AGREE: "agree"}
    assert {specs[name].members for name in merges} == {MEMBERS}


@pytest.fixture(scope="module")
def real(weights, documented) -> ModelManager:
    return ModelManager([documented, *weights], device="cpu")


def test_an_ensemble_is_its_members_side_by_side(real, faces):
    parts = [real.open_embedder(name).predict_embeddings(faces) for name in MEMBERS]
    together = real.open_embedder(CONCAT).predict_embeddings(faces)

    assert together.shape == (6, 1024)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)
    assert cosines(together, np.concatenate(parts, axis=1) / np.sqrt(2)).min() > 0.9999
    mean = (parts[0] @ parts[0].T + parts[1] @ parts[1].T) / 2
    np.testing.assert_allclose(together @ together.T, mean, atol=1e-4)


def test_members_that_serve_by_themselves_too_are_loaded_once(real):
    runners = [real.open_embedder(name) for name in (*MEMBERS, CONCAT, AGREE, *MEMBERS)]
    assert sorted(runner.name for runner in real.loaded()) == sorted({*MEMBERS, CONCAT, AGREE})
    assert runners[:2] == runners[4:]
    assert all(runner.notes == () for runner in runners)


def test_a_batch_is_its_faces_alone(real, faces):
    model = real.open_embedder(AGREE)
    alone = np.concatenate([model.predict_embeddings(face[None]) for face in faces])
    assert cosines(alone, model.predict_embeddings(faces)).min() > 0.9999
    assert model.max_batch == 8


def test_the_self_test_holds_for_ensembles(real):
    assert "strangers at most" in real.open_embedder(CONCAT).self_test()


def test_halves_are_the_members_embeddings_again(real, faces):
    together = real.open_embedder(AGREE).predict_embeddings(faces)
    together[3] = 0.0
    for half, name in zip(halves(together, (512, 512)), MEMBERS, strict=True):
        want = real.open_embedder(name).predict_embeddings(faces)
        want[3] = 0.0
        np.testing.assert_allclose(half, want, atol=1e-5)


def test_halves_of_unlike_sizes():
    one, other = np.array([[1.0, 0.0]], np.float32), np.array([[0.6, 0.0, 0.8]], np.float32)
    joined = np.concatenate([one, other], axis=1) / np.float32(np.sqrt(2))
    np.testing.assert_allclose(halves(joined, (2, 3))[0], one, atol=1e-6)
    np.testing.assert_allclose(halves(joined, (2, 3))[1], other, atol=1e-6)


# On tiny networks.


class Tiny:
    """A weights folder with networks of tests.tiny_networks, their specs and spaces."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.specs: dict[str, EmbedderSpec] = {}

    def add(self, name: str, network: bytes, **changes: object) -> EmbedderSpec:
        (self.folder / f"{name}.onnx").write_bytes(network)
        like = load_specs()["arcface_w600k_mbf"]
        spec = EmbedderSpec.model_validate(
            {
                **like.model_dump(mode="json"),
                "name": name,
                "local_artifacts": [f"{name}.onnx"],
                "weights_digest": hashlib.sha256(network).hexdigest(),
                "space": f"{name}.1",
                "embedding_size": 64,
                "sample": None,
                **changes,
            }
        )
        space = make_space(spec, OnnxRunner(spec, network, "cpu"))
        (self.folder / f"{name}.1.yaml").write_text(yaml.safe_dump(space.model_dump(mode="json")))
        self.specs[name] = spec
        return spec

    def join(self, *members: EmbedderSpec, **changes: object) -> EmbedderSpec:
        spec = ensemble_of(*members, **changes)
        self.specs[spec.name] = spec
        return spec

    def manager(self, **more: object) -> ModelManager:
        return ModelManager([self.folder], device="cpu", specs=self.specs, spaces=self.folder, **more)


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return Tiny(tmp_path)


def test_each_member_gets_its_own_colours_and_scale(tiny, faces):
    rgb = tiny.add("rgb", embedder(seed=1))
    blue_first = {"name": "input.1", "size": [112, 112], "color_order": "bgr", "mean": 0.0, "std": 255.0}
    bgr = tiny.add("bgr", embedder(seed=1), input=blue_first)
    tiny.join(rgb, bgr)
    manager = tiny.manager()

    coloured = faces.copy()
    coloured[..., 0] = 20
    parts = [manager.get(name).runner.predict_embeddings(coloured) for name in ("rgb", "bgr")]
    together = manager.get("both").runner.predict_embeddings(coloured)

    for half, part in zip(halves(together, (64, 64)), parts, strict=True):
        assert cosines(half, part).min() > 0.99999
    assert cosines(parts[0], parts[1]).max() < 0.999


@pytest.mark.parametrize("gives", ["nan", "zeros"])
def test_a_face_that_one_member_can_make_nothing_of_is_unusable(tiny, faces, gives):
    tiny.join(tiny.add("sound", embedder()), tiny.add("fragile", fragile(gives=gives)))
    black = faces.copy()
    black[4] = 0
    together = tiny.manager().get("both").runner.predict_embeddings(black)
    assert embed.usable(together).tolist() == [place != 4 for place in range(6)]


def test_a_member_that_takes_one_at_a_time_gets_one_at_a_time(tiny, faces):
    leaky = tiny.add("leaky", embedder(seed=3, leaks=True))
    tiny.join(tiny.add("sound", embedder()), leaky)
    manager = tiny.manager()
    model = manager.get("both").runner

    assert model.max_batch == 8, "the ensemble as such may batch: its answers don't depend on it"
    (note,) = model.notes
    assert note.startswith("leaky: runs one at a time: a face in a batch is not the face alone")
    alone = np.concatenate([model.predict_embeddings(face[None]) for face in faces])
    assert cosines(alone, model.predict_embeddings(faces)).min() > 0.99999


def test_a_members_fallback_is_the_ensembles(tiny):
    members = [tiny.add("one", embedder(seed=1)), tiny.add("other", embedder(seed=2))]
    spec = tiny.join(*members)
    fallback = Reason("no_gpu", "CUDA sees no GPU")
    runners = []
    for member in members:
        tensors = OnnxRunner(member, (tiny.folder / member.file).read_bytes(), "cpu")
        runners.append(ModelRunner(member, tensors, provider="onnxruntime", asked="auto", notes=["odd"]))
    runners[1].fallback = fallback
    tensors = EnsembleRunner(spec, runners)
    assert (tensors.device, tensors.fallback) == ("cpu", fallback)


def test_its_digest_and_signature_change_with_its_members(tiny):
    one, other = tiny.add("one", embedder(seed=1)), tiny.add("other", embedder(seed=2))
    tiny.join(one, other)
    before = tiny.manager()
    digest = before.spec("both").weights_digest
    assert digest is not None
    assert before.get("both").runner.metadata().weights_digest == digest
    tiny.specs["other"] = other.model_copy(update={"version": 2})
    assert tiny.manager().spec("both").weights_digest not in (None, digest)
    tiny.specs["other"] = other.model_copy(update={"engine": "torch", "architecture": "arcface_mbf"})
    half = {"other": SpecProfile(precision="fp16")}
    assert tiny.manager(profiles=half).spec("both").weights_digest not in (None, digest)
    tiny.specs["other"] = other.model_copy(update={"weights_digest": None})
    assert tiny.manager().spec("both").weights_digest is None


# What does not go together.


@pytest.mark.parametrize(
    ("changes", "error", "complaint"),
    [
        ({"input": {"size": [112, 112], "color_order": "rgb", "mean": 0.0, "std": 1.0}}, SpecInvalid, "plain pixels"),
        ({"embedding_size": 127}, SpecInvalid, "embedding_size: its members' add up to 128"),
        ({"feature_norm": True}, SpecInvalid, "and no feature_norm"),
        ({"members": ["one", "facenet"], "space": "one.1--f.1"}, SpecInvalid, r"facenet takes facenet crops of \(160"),
        ({"members": ["one", "both"]}, SpecInvalid, "both is an ensemble itself; name its members"),
        ({"members": ["one", "nano_det"]}, ModelNotFound, "nano_det: is a detector"),
        ({"members": ["one", "nobody"]}, ModelNotFound, "model nobody: there is no spec of this name"),
        ({"space": "one.1"}, EmbeddingSpaceMismatch, r"of these members, in this order, it is one\.1--other\.1"),
        ({"space": "other.1--one.1"}, EmbeddingSpaceMismatch, r"it is one\.1--other\.1"),
    ],
)
def test_members_that_do_not_go_together_are_refused_before_any_is_loaded(tiny, changes, error, complaint):
    one, other = tiny.add("one", embedder(seed=1)), tiny.add("other", embedder(seed=2))
    tiny.specs["nano_det"] = load_specs()["nano_det"]
    square = {"name": "input.1", "size": [160, 160], "color_order": "rgb", "mean": 0.0, "std": 1.0}
    facenet = one.model_copy(update={"name": "facenet", "crop": "facenet", "space": "f.1"})
    tiny.specs["facenet"] = EmbedderSpec.model_validate({**facenet.model_dump(mode="json"), "input": square})
    tiny.join(one, other, **changes)
    manager = tiny.manager()

    with pytest.raises(error, match=complaint):
        manager.get("both")
    assert manager.loaded() == []
    why_not = manager.why_not("both")
    assert why_not.code == error.code
    assert re.search(complaint, why_not.why)
    assert manager.why_not("one") is None


def test_two_names_of_one_model_are_no_two_models(tiny):
    adaface = load_specs()["adaface_ir101"]
    tiny.specs["adaface_ir101"] = adaface
    tiny.join(adaface, adaface, members=["adaface", "adaface_ir101"])
    with pytest.raises(SpecInvalid, match="both: members: want two different models"):
        tiny.manager().get("both")


def test_ensembles_of_each_other_are_refused(tiny):
    """Each would wait for the other's load."""
    one = tiny.add("one", embedder(seed=1))
    for name, other in (("left", "right"), ("right", "left")):
        tiny.specs[name] = ensemble_of(one, one, name=name, members=["one", other])
    with pytest.raises(SpecInvalid, match="is an ensemble itself"):
        tiny.manager().get("left")


def test_a_member_whose_weights_are_missing_makes_the_ensemble_unavailable(tiny):
    tiny.join(tiny.add("one", embedder(seed=1)), tiny.add("other", embedder(seed=2)))
    (tiny.folder / "other.onnx").unlink()
    manager = tiny.manager()
    why_not = manager.why_not("both")
    assert why_not.code == "weights_missing"
    assert why_not.why.startswith("model other: ")
