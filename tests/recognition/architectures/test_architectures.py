"""The networks hold what the published checkpoints hold, name for name and shape for shape."""

import re

import pytest

torch = pytest.importorskip("torch", reason="the extra train is not installed: pip install -e '.[train]'")

from recognition.architectures import ALIASES, ARCHITECTURES, find_architecture  # noqa: E402
from recognition.errors import ModelNotFound  # noqa: E402  # behind the skip


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_tensor_is_called_and_shaped_as_in_its_authors_checkpoints(name):
    architecture = ARCHITECTURES[name]
    with torch.device("meta"):
        net = architecture.build()
    manifest = architecture.manifest()
    assert {key: tuple(tensor.shape) for key, tensor in net.state_dict().items()} == dict(manifest.tensors)
    assert re.search(r"^[\w-]+/[\w-]+ [\w/]+\.py at [0-9a-f]{12}$", manifest.source)


def test_ir101_has_the_261_mb_of_parameters_that_its_checkpoint_has():
    with torch.device("meta"):
        net = ARCHITECTURES["adaface_ir101"].build()
    assert sum(parameter.numel() for parameter in net.parameters()) * 4 / 1e6 == pytest.approx(260.6, abs=0.1)


def test_the_datasets_of_facenet_differ_in_their_logits_alone():
    one, other = (ARCHITECTURES[f"facenet_{name}"].manifest() for name in ("vggface2", "casia"))
    assert one.tensors == other.tensors
    assert (one.optional["logits.weight"], other.optional["logits.weight"]) == ((8631, 512), (10575, 512))


def test_an_alias_is_the_largest_of_its_family_and_a_wrong_name_gets_the_nearest():
    assert {alias: find_architecture(alias).name for alias in ALIASES} == {
        "adaface": "adaface_ir101",
        "arcface": "arcface_r100",
        "facenet": "facenet_vggface2",
    }
    with pytest.raises(ModelNotFound, match="did you mean arcface_r50"):
        find_architecture("arcface_r51")
