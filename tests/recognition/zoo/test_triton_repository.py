"""Model repositories for Triton, by what Triton's own protobuf reads in them; served ones are in tests/live."""

import hashlib
from pathlib import Path

import onnx
import pytest

from recognition.errors import (
    RepositoryExists,
    SelfTestFailed,
    SpecInvalid,
    UnsupportedEngine,
    WeightsDigestMismatch,
    WeightsFolderUnwritable,
    WeightsMissing,
)
from recognition.runtimes.onnx_session import open_session
from recognition.runtimes.triton_contract import TensorInfo, agree
from recognition.specs.files import load_specs
from recognition.specs.profile import BatchBuckets, TritonModel
from recognition.specs.spec import AnySpec
from recognition.zoo import triton_repository
from recognition.zoo.triton_config import RepositoryOptions
from recognition.zoo.triton_repository import LICENCES, write_repository
from tests import tiny_networks
from tests.ensembles import tiny_model

pytest.importorskip("tritonclient.grpc", reason="needs Triton's client: pip install -e '.[triton]'")
SPECS = load_specs()
NANO = [SPECS["nano_det"], SPECS["nano_embed"]]


def write(specs: list[AnySpec], out: Path, folders: tuple[Path, ...] = (), **more: object) -> dict:
    """The configurations, by folder, as Triton would read them."""
    from google.protobuf import text_format
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    given = {"names": {}, "options": RepositoryOptions()} | more
    write_repository(specs, folders, out, **given)
    return {file.parent.name: text_format.Parse(file.read_text(), ModelConfig()) for file in out.glob("*/config.pbtxt")}


def metadata(config) -> tuple[list[TensorInfo], list[TensorInfo]]:
    """What a server with this configuration would say of the model's tensors."""
    first = (-1,) if config.max_batch_size else ()
    return tuple(
        [TensorInfo(tensor.name, "FP32", (*first, *tensor.dims)) for tensor in told]
        for told in (config.input, config.output)
    )


def test_a_pack_is_what_its_specs_say(tmp_path):
    configs = write(NANO, tmp_path / "models")

    assert set(configs) == {"nano_det", "nano_embed"}
    for spec in NANO:
        config = configs[spec.name]
        agree(spec, *metadata(config), config.max_batch_size, spec.name)
        assert (config.name, config.backend) == (spec.name, "onnxruntime")
        assert list(config.version_policy.specific.versions) == [spec.version]
        file = tmp_path / "models" / spec.name / str(spec.version) / config.default_model_filename
        assert hashlib.sha256(file.read_bytes()).hexdigest() == spec.weights_digest
        buckets = spec.batch_buckets.cuda
        assert config.max_batch_size == buckets[-1]
        assert list(config.dynamic_batching.preferred_batch_size) == list(buckets[1:])
        assert sorted(warm.batch_size for warm in config.model_warmup) == list(buckets)
        wide, high = spec.input.size
        assert {tuple(warm.inputs["input"].dims) for warm in config.model_warmup} == {(3, high, wide)}
    assert [tuple(output.dims) for output in configs["nano_det"].output][-1] == (-1, 10)
    licences = (tmp_path / "models" / LICENCES).read_text()
    assert all(spec.licence in licences for spec in NANO)


@pytest.mark.parametrize(
    ("device", "kind", "gpus"), [("auto", 0, []), ("cpu", 2, []), ("cuda", 1, []), ("cuda:1", 1, [1])]
)
def test_instances_are_where_they_are_wanted(tmp_path, device, kind, gpus):
    """int8 networks are on the CPU throughout: ONNX Runtime has them nowhere else."""
    tiny = tiny_model(tmp_path / "weights", "tiny", dim=64, seed=1, threshold=0.4).model_copy(
        update={"precision": "fp32"}
    )
    configs = write(
        [tiny, SPECS["nano_embed"]],
        tmp_path / "models",
        (tmp_path / "weights",),
        options=RepositoryOptions(device, instances=2, queue_delay_us=0),
    )

    (group,) = configs["tiny"].instance_group
    assert (group.kind, group.count, list(group.gpus)) == (kind, 2, gpus)
    assert configs["nano_embed"].instance_group[0].kind == 2
    assert configs["tiny"].dynamic_batching.max_queue_delay_microseconds == 0
    assert ("intra_op_thread_count" in configs["tiny"].parameters) == (kind == 2)


def test_a_name_and_a_version_that_the_configuration_asks_for(tmp_path):
    names = {"nano_embed": TritonModel(model="faces", version="7")}
    configs = write([SPECS["nano_embed"]], tmp_path / "models", names=names)

    assert configs["faces"].name == "faces"
    assert (tmp_path / "models/faces/7/model.onnx").is_file()


def test_a_network_for_one_picture_is_shown_without_a_batch_axis(tmp_path):
    """And is not put into batches: its first axis is not Triton's."""
    detector = one_at_a_time(tmp_path)
    (config,) = write([detector], tmp_path / "models", (tmp_path,)).values()

    assert (config.max_batch_size, config.HasField("dynamic_batching")) == (0, False)
    assert list(config.input[0].dims) == [1, 3, 64, 64]
    assert [list(warm.inputs["input.1"].dims) for warm in config.model_warmup] == [[1, 3, 64, 64]]


def one_at_a_time(folder: Path) -> AnySpec:
    weights = tiny_networks.detector()
    (folder / "one.onnx").write_bytes(weights)
    scrfd = SPECS["scrfd_500m"]
    return scrfd.model_copy(
        update={
            "name": "one",
            "local_artifacts": ("one.onnx",),
            "weights_digest": hashlib.sha256(weights).hexdigest(),
            "input": scrfd.input.model_copy(update={"name": "input.1", "size": (64, 64), "multiple": None}),
            "batch": 1,
            "batch_buckets": BatchBuckets(),
        }
    )


@pytest.mark.shared
@pytest.mark.parametrize("name", ["scrfd_500m", "scrfd_2.5g"])
def test_a_graph_that_was_made_for_one_picture_gets_its_batch_axis_and_says_so(tmp_path, shared, name):
    """Triton takes no batches for outputs whose first axis is not told as variable."""
    (config,) = write([SPECS[name]], tmp_path / "models", (shared / "models",)).values()
    file = tmp_path / "models" / name / "1" / "model.onnx"
    outputs = open_session(file.read_bytes()).get_outputs()

    assert config.max_batch_size == 8
    assert all(isinstance(output.shape[0], str) and len(output.shape) == 3 for output in outputs)
    assert [output.shape[-1] for output in outputs] == [tensor.dims[-1] for tensor in config.output]
    onnx.checker.check_model(str(file))
    agree(SPECS[name], *metadata(config), config.max_batch_size, name)


def test_a_tensorrt_spec_has_onnx_runtime_use_tensorrt(tmp_path):
    tiny = tiny_model(tmp_path / "weights", "tiny", dim=64, seed=1, threshold=0.4)
    spec = tiny.model_copy(update={"engine": "tensorrt", "precision": "fp16"})
    (config,) = write([spec], tmp_path / "models", (tmp_path / "weights",)).values()

    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert (accelerator.name, dict(accelerator.parameters)) == ("tensorrt", {"precision_mode": "FP16"})


def test_plans_take_the_place_of_onnx_files(tmp_path):
    tiny = tiny_model(tmp_path / "weights", "tiny", dim=64, seed=1, threshold=0.4).model_copy(
        update={"precision": "fp32"}
    )
    (tmp_path / "tiny.plan").write_bytes(b"a plan")
    (config,) = write([tiny], tmp_path / "models", (tmp_path / "weights",), plans=tmp_path).values()

    assert (config.backend, config.default_model_filename) == ("tensorrt", "model.plan")
    assert (tmp_path / "models/tiny/2/model.plan").read_bytes() == b"a plan"
    assert config.instance_group[0].kind == 1
    with pytest.raises(WeightsMissing, match=r"tiny\.plan can't be read .*make-tensorrt-plan\.py tiny"):
        write([tiny], tmp_path / "other", (tmp_path / "weights",), plans=tmp_path / "weights")


def ensemble() -> AnySpec:
    return SPECS["nano_embed"].model_copy(
        update={"name": "both", "members": ("nano_embed", "edgeface_xxs"), "merge": "agree", "local_artifacts": ()}
    )


INPUT = SPECS["nano_embed"].input
REFUSED = {
    "no weights": (lambda: SPECS["edgeface_xxs"], WeightsMissing, "weights edgeface_xxs_512.onnx not found"),
    "weights that are made here": (lambda: SPECS["adaface_ir18"], WeightsMissing, "have to be made here first"),
    "other weights": (
        lambda: SPECS["nano_embed"].model_copy(update={"weights_digest": "0" * 64}),
        WeightsDigestMismatch,
        "the spec says 000000000000",
    ),
    "an ensemble": (ensemble, UnsupportedEngine, "export its members: nano_embed edgeface_xxs"),
    "PyTorch's file": (
        lambda: SPECS["nano_embed"].model_copy(update={"engine": "torch", "architecture": "arcface_mbf"}),
        UnsupportedEngine,
        "whosthere models convert CHECKPOINT --as arcface_mbf",
    ),
    "on a server already": (
        lambda: SPECS["nano_embed"].model_copy(update={"local_artifacts": (), "runtime": "triton"}),
        WeightsMissing,
        "they are on a server already",
    ),
    "another embedding size": (
        lambda: SPECS["nano_embed"].model_copy(update={"embedding_size": 512}),
        SelfTestFailed,
        r"its outputs are \[256\] numbers wide, a arcface embedder's \[512\]",
    ),
    "an output that is not there": (
        lambda: SPECS["nano_embed"].model_copy(update={"feature_norm": True}),
        SelfTestFailed,
        r"\[256\] numbers wide, a arcface embedder's \[256, 1\]",
    ),
    "another input's name": (
        lambda: SPECS["nano_embed"].model_copy(update={"input": INPUT.model_copy(update={"name": "data"})}),
        SelfTestFailed,
        r"its graph takes input \[-1, 3, 112, 112\], its spec says data",
    ),
    "pictures of another size": (
        lambda: SPECS["nano_embed"].model_copy(update={"input": INPUT.model_copy(update={"size": (160, 160)})}),
        SelfTestFailed,
        r"its spec says input \[-1, 3, 160, 160\]; mend the spec",
    ),
    "pictures of any size, for a graph of one": (
        lambda: SPECS["nano_embed"].model_copy(update={"input": INPUT.model_copy(update={"multiple": 16})}),
        SelfTestFailed,
        r"its spec says input \[-1, 3, -1, -1\]; mend the spec",
    ),
    "a name that is a path": (
        lambda: SPECS["nano_embed"].model_copy(update={"triton": TritonModel(model="../x", version="1")}),
        SpecInvalid,
        "can't be a folder's name",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_can_t_be_served_is_refused_and_nothing_is_left(tmp_path, case):
    """Also of the model before it, which could have been."""
    make, error, says = REFUSED[case]
    with pytest.raises(error, match=says):
        write([SPECS["nano_det"], make()], tmp_path / "models")
    assert list(tmp_path.iterdir()) == []


def test_a_network_whose_batch_is_not_its_pictures_is_refused(tmp_path):
    weights = tiny_networks.embedder(64, leaks=True)
    spec = tiny_model(tmp_path / "weights", "tiny", dim=64, seed=1, threshold=0.4)
    (tmp_path / "weights" / spec.file).write_bytes(weights)
    spec = spec.model_copy(update={"weights_digest": hashlib.sha256(weights).hexdigest()})
    with pytest.raises(SelfTestFailed, match="answered otherwise than its pictures alone"):
        write([spec], tmp_path / "models", (tmp_path / "weights",))


def test_a_graph_that_tells_of_one_row_is_refused(tmp_path):
    """ONNX Runtime takes batches of it all the same; Triton would refuse to load it."""
    network = onnx.load_from_string(tiny_networks.embedder(64))
    network.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
    weights = network.SerializeToString()
    spec = tiny_model(tmp_path / "weights", "tiny", dim=64, seed=1, threshold=0.4)
    (tmp_path / "weights" / spec.file).write_bytes(weights)
    spec = spec.model_copy(update={"weights_digest": hashlib.sha256(weights).hexdigest()})
    with pytest.raises(SelfTestFailed, match="does not say that embedding has as many rows as its input"):
        write([spec], tmp_path / "models", (tmp_path / "weights",))


def test_two_of_one_name_are_refused(tmp_path):
    names = {"nano_det": TritonModel(model="nano_embed", version="1")}
    with pytest.raises(SpecInvalid, match="both would be nano_embed on the server"):
        write(NANO, tmp_path / "models", names=names)


def test_int8_has_no_plan(tmp_path):
    with pytest.raises(UnsupportedEngine, match="TensorRT has none; serve its ONNX file"):
        write([SPECS["nano_det"]], tmp_path / "models", plans=tmp_path)


@pytest.mark.parametrize("there", ["a file", "a folder with something"])
def test_nothing_is_written_over(tmp_path, there):
    out = tmp_path / "models"
    kept = out if there == "a file" else out / "config.pbtxt"
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("mine")
    with pytest.raises(RepositoryExists, match="is there already; remove it"):
        write(NANO, out)
    assert kept.read_text() == "mine"


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "models").mkdir()
    assert set(write(NANO, tmp_path / "models")) == {"nano_det", "nano_embed"}


def test_a_disk_that_fills_up_leaves_nothing(tmp_path, monkeypatch):
    real, calls = triton_repository._put, []

    def put(file: Path, data: bytes) -> None:
        calls.append(file)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        real(file, data)

    monkeypatch.setattr(triton_repository, "_put", put)
    with pytest.raises(WeightsFolderUnwritable, match=r"No space left on device.*nothing was changed"):
        write(NANO, tmp_path / "models")
    assert list(tmp_path.iterdir()) == []


def test_every_server_may_read_it(tmp_path):
    """It is no secret, and the server runs as somebody else."""
    write(NANO, tmp_path / "models")
    modes = {path.is_dir(): path.stat().st_mode & 0o777 for path in (tmp_path / "models").rglob("*")}
    assert modes == {True: 0o755, False: 0o644}
    assert (tmp_path / "models").stat().st_mode & 0o777 == 0o755
