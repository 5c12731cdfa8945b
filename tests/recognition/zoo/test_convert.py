"""Checkpoints become ONNX that answers as PyTorch does, or are refused in words; random weights stand for real ones."""

import hashlib
import sys
from types import ModuleType

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra train is not installed: pip install -e '.[train]'")

from recognition.architectures import ARCHITECTURES  # noqa: E402
from recognition.checks.parity import authors_input, check_parity, face_crops  # noqa: E402
from recognition.checks.self_test import self_test  # noqa: E402
from recognition.errors import (  # noqa: E402  # behind the skip, as all that follows
    CheckpointInvalid,
    EmbeddingSpaceMismatch,
    SelfTestFailed,
    SpecInvalid,
    UnsupportedEngine,
    WeightsMissing,
)
from recognition.models.manager import ModelManager  # noqa: E402
from recognition.runtimes.onnx_runner import OnnxRunner  # noqa: E402
from recognition.runtimes.torch_checkpoints import read_checkpoint, weights_of  # noqa: E402
from recognition.specs.files import load_specs  # noqa: E402
from recognition.zoo.convert import OUTPUTS, convert  # noqa: E402
from recognition.zoo.onnx_export import OPSET, to_onnx  # noqa: E402
from recognition.zoo.random_weights import random_network  # noqa: E402
from tests.recognition.random_networks import draft, least_cosine, network, saved, tensors  # noqa: E402

onnx = pytest.importorskip("onnx")

SMALL = ARCHITECTURES["arcface_mbf"]
# Large networks on busy machines.
pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """MobileFaceNet, saved as Lightning and DataParallel save."""
    file = tmp_path_factory.mktemp("checkpoint") / "mbf.ckpt"
    weights = {f"model.module.{name}": part for name, part in network("arcface_mbf").state_dict().items()}
    torch.save({"epoch": 3, "state_dict": weights | {"head.kernel": torch.zeros(2, 2)}}, file)
    return file


@pytest.fixture(scope="module")
def converted(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    return convert(checkpoint, SMALL, folder, known={}), folder


def exported(architecture, net, folder):
    """The network as ONNX, opened as its spec says."""
    spec = draft(architecture)
    file = folder / f"{architecture.name}.onnx"
    to_onnx(net, (3, *spec.input.size), OUTPUTS[architecture.family], (0,), file)
    return spec, OnnxRunner(spec, file.read_bytes(), "cpu")


# Of each family the smallest every time: the others have more of the same blocks.
DEEP = {"adaface_ir50", "adaface_ir101", "arcface_r34", "arcface_r50", "arcface_r100", "facenet_vggface2"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.thorough] * (name in DEEP)) for name in ARCHITECTURES]
)
def test_onnx_answers_as_pytorch(name, tmp_path):
    """Every architecture, at its full depth; a batch is what its faces are alone."""
    architecture = ARCHITECTURES[name]
    net = network.__wrapped__(name)  # not kept: the deep ones are large
    spec, runner = exported(architecture, net, tmp_path)
    parity = check_parity(architecture, net, spec, runner)
    assert parity.faces == 9
    assert parity.least_cosine >= 0.9999
    assert parity.swapped_cosine < 0.9
    assert (parity.norm_error is None) == (architecture.family != "adaface")
    assert self_test(spec, runner, batched=True) is None


@pytest.mark.parametrize(
    "name",
    ["arcface_r18", *(pytest.param(name, marks=pytest.mark.thorough) for name in ("adaface_ir18", "facenet_casia"))],
)
def test_swapped_channels_are_no_parity(name, tmp_path):
    architecture = ARCHITECTURES[name]
    spec, runner = exported(architecture, network(name), tmp_path)
    order = "rgb" if spec.input.color_order == "bgr" else "bgr"
    wrong = spec.model_copy(update={"input": spec.input.model_copy(update={"color_order": order})})
    with pytest.raises(SelfTestFailed, match="not what it was in PyTorch"):
        check_parity(architecture, network(name), wrong, runner)


def test_a_network_that_can_not_tell_the_channels_apart_is_refused(tmp_path):
    """Any preparation would pass for right with it."""
    net = random_network(SMALL, authors_input(SMALL, face_crops(draft(SMALL))))
    first = net.layers[0].layers[0].weight
    first.data[:] = first.data.mean(dim=1, keepdim=True)
    spec, runner = exported(SMALL, net, tmp_path)
    with pytest.raises(SelfTestFailed, match="red and blue swapped"):
        check_parity(SMALL, net, spec, runner)


def test_a_checkpoint_becomes_a_model_that_the_manager_loads(converted):
    done, folder = converted
    assert done.spec.precision == "fp32"
    assert done.parity.least_cosine >= 0.9999
    spec = load_specs(folder / "specs")["arcface_mbf"]
    assert spec == done.spec
    assert spec.weights_digest == hashlib.sha256((folder / spec.file).read_bytes()).hexdigest()
    assert "not measured" in spec.thresholds.measured_on
    assert "not known here" in spec.licence
    assert sorted(file.name for file in folder.rglob("*") if file.is_file()) == [
        "arcface_mbf.1.yaml",
        "arcface_mbf.onnx",
        "arcface_mbf.yaml",
    ]
    loaded = ModelManager([folder], device="cpu", specs={spec.name: spec}).open_embedder("arcface_mbf")
    assert (loaded.max_batch, loaded.notes) == (8, ())


def test_the_graph_takes_any_batch_and_its_opset_is_pinned(converted):
    done, folder = converted
    model = onnx.load(folder / done.spec.file)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]
    (entry,) = model.graph.input
    assert [side.dim_param or side.dim_value for side in entry.type.tensor_type.shape.dim] == ["axis0", 3, 112, 112]


def test_half_precision_is_half_as_large_and_of_the_same_space(converted, checkpoint):
    done, folder = converted
    half = convert(checkpoint, SMALL, folder, known={}, precision="fp16")
    assert (half.spec.name, half.spec.precision) == ("arcface_mbf_fp16", "fp16")
    assert half.spec.space == done.spec.space
    assert half.parity.least_cosine >= half.parity.bound == 0.999
    sizes = [(folder / spec.file).stat().st_size for spec in (half.spec, done.spec)]
    assert sizes[0] < 0.55 * sizes[1]
    (entry,) = onnx.load(folder / half.spec.file).graph.input
    assert entry.type.tensor_type.elem_type == onnx.TensorProto.FLOAT


def test_for_pytorch_the_tensors_are_written_with_a_spec_that_shares_the_space(converted, checkpoint):
    onnx_model, folder = converted
    done = convert(checkpoint, SMALL, folder, known=load_specs(beside=[folder]), engine="torch")
    spec = done.spec
    assert (spec.name, spec.engine, spec.precision, spec.architecture) == (
        "arcface_mbf_torch",
        "torch",
        "fp32",
        "arcface_mbf",
    )
    assert (spec.file, spec.space) == ("arcface_mbf_torch.pt", onnx_model.spec.space)
    assert done.parity.least_cosine >= done.parity.bound == 0.9999
    assert load_specs(folder / "specs")[spec.name] == spec
    assert spec.weights_digest == hashlib.sha256((folder / spec.file).read_bytes()).hexdigest()
    written = torch.load(folder / spec.file, weights_only=True)
    assert type(written) is dict
    for name, tensor in network("arcface_mbf").state_dict().items():
        assert torch.equal(written[name], tensor), name
    faces = tensors(spec)
    ours = ModelManager([folder], device="cpu").open_embedder(spec.name).run(faces)
    data = (folder / onnx_model.spec.file).read_bytes()
    assert least_cosine(spec, ours, OnnxRunner(onnx_model.spec, data, "cpu").run(faces)) >= 0.9999


def test_for_pytorch_each_precision_is_held_against_float32_and_keeps_the_whole_weights(tmp_path):
    file, architecture = saved("arcface_r18", tmp_path), ARCHITECTURES["arcface_r18"]
    made = [
        convert(file, architecture, tmp_path / "weights", known={}, engine="torch", precision=precision)
        for precision in ("bf16", "fp16")
    ]
    assert [(done.spec.name, done.spec.precision, done.parity.bound) for done in made] == [
        ("arcface_r18_torch_bf16", "bf16", 0.999),
        ("arcface_r18_torch_fp16", "fp16", 0.999),
    ]
    assert {done.spec.space for done in made} == {"arcface_r18.1"}
    assert made[0].spec.weights_digest == made[1].spec.weights_digest
    assert made[0].parity.least_cosine < 0.99995 < made[1].parity.least_cosine, "was it computed in bfloat16?"


def test_a_precision_in_which_a_network_is_another_one_is_refused(checkpoint, tmp_path):
    """Random weights of MobileFaceNet are: .992 in bfloat16, where real ones have .9996."""
    with pytest.raises(SelfTestFailed, match=r"converted \(torch, bf16\), it is not what it was in PyTorch"):
        convert(checkpoint, SMALL, tmp_path / "weights", known={}, engine="torch", precision="bf16")
    assert not list((tmp_path / "weights").rglob("*.*"))
    with pytest.raises(UnsupportedEngine, match="for bf16 take engine torch"):
        convert(checkpoint, SMALL, tmp_path / "weights", known={}, precision="bf16")


def test_adaface_keeps_its_norm_and_is_loaded_with_it(tmp_path):
    architecture = ARCHITECTURES["adaface_ir18"]
    file = tmp_path / "ir18.ckpt"
    torch.save({"state_dict": {f"model.{k}": v for k, v in network("adaface_ir18").state_dict().items()}}, file)
    done = convert(file, architecture, tmp_path / "weights", known={})
    assert done.spec.feature_norm
    assert done.parity.norm_error < 1e-3
    specs = load_specs(tmp_path / "weights" / "specs")
    runner = ModelManager([tmp_path / "weights"], device="cpu", specs=specs).open_embedder("adaface_ir18")
    crops = authors_input(architecture, face_crops(done.spec))[:2]
    embedding, norm = runner.run(crops.numpy())
    assert (embedding.shape, norm.shape) == ((2, 512), (2, 1))
    with torch.no_grad():
        np.testing.assert_allclose(norm, network("adaface_ir18")(crops)[1].numpy(), rtol=1e-3)


def test_other_weights_do_not_get_into_a_space_or_a_name_that_is_taken(converted, tmp_path):
    done, folder = converted
    file = tmp_path / "other.pt"
    torch.save(network("arcface_mbf", 7).state_dict(), file)
    with pytest.raises(EmbeddingSpaceMismatch, match="give it a --name"):
        convert(file, SMALL, folder, known={})
    with pytest.raises(SpecInvalid, match="a spec of this name is there for other weights"):
        convert(file, SMALL, tmp_path / "new", known={"arcface_mbf": done.spec})
    with pytest.raises(SpecInvalid, match="--name Big Net"):
        convert(file, SMALL, folder, known={}, name="Big Net")
    assert not list((tmp_path / "new").rglob("*.onnx"))


def test_what_wraps_the_weights_is_taken_off():
    tensor = torch.zeros(1)
    plain = {"conv1.weight": tensor}
    for tree in (
        plain,
        {"module.conv1.weight": tensor},
        {"state_dict": {"model.conv1.weight": tensor, "head.kernel": tensor}},
        {"state_dict": {"module.model.conv1.weight": tensor}},
        {"state_dict_backbone": plain, "state_dict_softmax_fc": {"weight": tensor}},
    ):
        assert list(weights_of(tree)) == ["conv1.weight"]
    for tree in ({}, [tensor], {"epoch": 3}, {1: tensor}, None):
        assert weights_of(tree) == {}


def test_another_architecture_is_named_with_the_first_layers_that_do_not_fit(checkpoint):
    with pytest.raises(CheckpointInvalid) as told:
        read_checkpoint(checkpoint, ARCHITECTURES["adaface_ir101"])
    assert "is no adaface_ir101: input_layer.0.weight is missing, input_layer.1.weight is missing, " in str(told.value)
    assert str(told.value).endswith("it fits arcface_mbf")


def test_a_neighbour_of_the_same_family_is_told_by_its_shapes(tmp_path):
    with torch.device("meta"):
        tensors = ARCHITECTURES["arcface_r34"].build().state_dict()
    file = tmp_path / "r34.pt"
    torch.save({name: torch.zeros(()).expand(part.shape) for name, part in tensors.items()}, file)
    with pytest.raises(CheckpointInvalid, match=r"layer1\.2\.bn1\.weight is not in it, .* more; it fits arcface_r34$"):
        read_checkpoint(file, ARCHITECTURES["arcface_r18"])


def test_logits_are_left_out_but_must_be_those_of_the_data(tmp_path):
    tensors = {
        name: torch.zeros(()).expand(shape) for name, shape in ARCHITECTURES["facenet_casia"].manifest().tensors.items()
    }
    tensors |= {"logits.weight": torch.zeros(()).expand(10575, 512), "logits.bias": torch.zeros(()).expand(10575)}
    file = tmp_path / "casia.pt"
    torch.save(tensors, file)
    assert "logits.weight" not in read_checkpoint(file, ARCHITECTURES["facenet_casia"])
    with pytest.raises(CheckpointInvalid, match=r"logits\.weight is 10575x512, not 8631x512.*it fits facenet_casia"):
        read_checkpoint(file, ARCHITECTURES["facenet_vggface2"])


def test_weights_that_are_not_finite_are_refused(tmp_path):
    tensors = dict(network("arcface_mbf").state_dict())
    tensors["conv_sep.layers.0.weight"] = tensors["conv_sep.layers.0.weight"] * float("nan")
    torch.save(tensors, tmp_path / "nan.pt")
    with pytest.raises(CheckpointInvalid, match=r"conv_sep\.layers\.0\.weight is not finite"):
        read_checkpoint(tmp_path / "nan.pt", SMALL)


def test_files_that_are_no_checkpoint(checkpoint, tmp_path):
    data = checkpoint.read_bytes()
    for name, content, match in (
        ("short.pt", data[: len(data) // 2], "is cut short or damaged"),
        ("empty.pt", b"", "no PyTorch checkpoint"),
        ("words.pt", b"these are no weights at all\n" * 9, "no PyTorch checkpoint"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointInvalid, match=match):
            read_checkpoint(tmp_path / name, SMALL)
    torch.save({"epoch": 4, "names": ["a"]}, tmp_path / "none.pt")
    with pytest.raises(CheckpointInvalid, match="no tensors by name"):
        read_checkpoint(tmp_path / "none.pt", SMALL)
    with pytest.raises(WeightsMissing, match="no such file"):
        read_checkpoint(tmp_path / "nowhere.pt", SMALL)


class Callback:
    """As training libraries leave them in their checkpoints."""

    def __init__(self):
        self.patience = 3


def test_classes_of_a_training_library_are_not_needed(tmp_path, monkeypatch):
    library = ModuleType("a_training_library")
    monkeypatch.setattr(Callback, "__module__", library.__name__)
    library.Callback = Callback
    monkeypatch.setitem(sys.modules, library.__name__, library)
    tensors = network("arcface_mbf").state_dict()
    torch.save({"callbacks": {Callback: {"best": 1}, "one": Callback()}, "state_dict": tensors}, tmp_path / "a.ckpt")
    monkeypatch.delitem(sys.modules, library.__name__)
    assert read_checkpoint(tmp_path / "a.ckpt", SMALL).keys() == tensors.keys()


class Evil:
    """Runs a command when a plain unpickler loads it."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (exec, (f"open({str(self.mark)!r}, 'w').close()",))


def test_no_code_in_a_checkpoint_is_run(tmp_path):
    mark = tmp_path / "ran"
    torch.save({"evil": Evil(mark), "state_dict": network("arcface_mbf").state_dict()}, tmp_path / "evil.ckpt")
    assert len(read_checkpoint(tmp_path / "evil.ckpt", SMALL)) == len(network("arcface_mbf").state_dict())
    assert not mark.exists()
    torch.load(tmp_path / "evil.ckpt", weights_only=False)
    assert mark.exists(), "it would have been run"
