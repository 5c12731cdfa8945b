import hashlib
import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from recognition.architectures import ARCHITECTURES
from recognition.checks.spaces import read_space
from recognition.errors import ModelNotFound, SpecInvalid
from recognition.specs.files import bundled, find_spec, load_specs, read_spec, schema
from recognition.specs.profile import BatchBuckets, SpecProfile, TritonModel
from recognition.specs.spec import DetectorSpec, EmbedderSpec
from recognition.zoo.convert import spec_for

NAMES = {
    "scrfd_500m": "face_detection",
    "scrfd_2.5g": "face_detection",
    "yunet_n": "face_detection",
    "nano_det": "face_detection",
    "nano_embed": "face_embedding",
    "arcface_w600k_mbf": "face_embedding",
    "arcface_mobilefacenet_y1": "face_embedding",
    "edgeface_xxs": "face_embedding",
    "mobileface_v2": "face_embedding",
    "adaface_ir18": "face_embedding",
    "adaface_ir50": "face_embedding",
    "adaface_ir101": "face_embedding",
    "arcface_r18": "face_embedding",
    "arcface_r34": "face_embedding",
    "arcface_r50": "face_embedding",
    "arcface_r100": "face_embedding",
    "facenet_vggface2": "face_embedding",
    "facenet_casia": "face_embedding",
}
PUBLISHED = {name: spec for name, spec in load_specs().items() if spec.weights_digest is None}


def test_the_promised_specs_are_there():
    assert {name: spec.role for name, spec in load_specs().items()} == NAMES


@pytest.mark.parametrize("name", ["nano_det", "nano_embed"])
def test_our_own_digests_are_those_of_our_files(name):
    spec = load_specs()[name]
    assert spec.weights_digest == hashlib.sha256((bundled("nano") / spec.file).read_bytes()).hexdigest()


def test_digests_are_those_of_the_files(shared):
    lines = (shared / "models" / "SHA256SUMS").read_text().splitlines()
    digests = {name: digest for digest, name in (line.split() for line in lines)}
    larger = [s for s in load_specs().values() if s.weights_digest is not None and not s.name.startswith("nano_")]
    assert {spec.file: spec.weights_digest for spec in larger} == {spec.file: digests[spec.file] for spec in larger}


@pytest.mark.parametrize(
    ("name", "verification", "identification"),
    [
        ("arcface_w600k_mbf", 0.241, 0.347),
        ("arcface_mobilefacenet_y1", 0.318, 0.456),
        ("edgeface_xxs", 0.278, 0.409),
        ("mobileface_v2", 0.363, 0.519),
    ],
)
def test_measured_thresholds(name, verification, identification):
    spec = load_specs()[name]
    assert isinstance(spec, EmbedderSpec)
    assert spec.thresholds.cosine_at(spec.thresholds.verification) == verification
    assert spec.identification_threshold == identification
    assert "LFW" in spec.thresholds.measured_on
    with pytest.raises(ValueError, match=r"no row for fmr 0\.5; the table has 0\.001, 0\.0001, 1e-05"):
        spec.thresholds.cosine_at(0.5)


def test_every_embedder_has_a_space_of_its_own():
    specs = [spec for spec in load_specs().values() if isinstance(spec, EmbedderSpec)]
    assert len({spec.space for spec in specs}) == len(specs)
    for spec in (spec for spec in specs if spec.weights_digest is not None):
        assert read_space(spec.space).dim == spec.embedding_size


@pytest.mark.parametrize("spec", PUBLISHED.values(), ids=PUBLISHED)
def test_a_published_family_is_fed_as_its_converter_feeds_it(spec):
    """Its weights come by `models convert`, whose spec takes this one's place."""
    assert spec.name == spec.architecture
    converted = spec_for(ARCHITECTURES[spec.name], spec.name, f"{spec.name}.1", "0" * 64, spec.source)
    assert spec == converted.model_copy(update={"weights_digest": None})


def test_no_spec_carries_a_figure_that_nobody_measured():
    for spec in load_specs().values():
        if isinstance(spec, EmbedderSpec) and not spec.thresholds.measured:
            assert spec.accuracy is None
            assert spec.needs is None
            assert [row.tmr for row in spec.thresholds.table] == [None] * len(spec.thresholds.table)


def test_aliases_are_the_largest_of_each_family():
    found = [find_spec(alias, load_specs()).name for alias in ("adaface", "arcface", "facenet")]
    assert found == ["adaface_ir101", "arcface_r100", "facenet_vggface2"]


def test_the_schema_in_the_repository_is_the_specs_own():
    schema_file = json.loads((bundled("specs") / "schema.json").read_text())
    assert schema_file == schema(), "python -m recognition.specs.spec > model/specs/schema.json"
    for file in bundled("specs").glob("*/*.yaml"):
        jsonschema.validate(yaml.safe_load(file.read_text()), schema_file)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(file.read_text()) | {"colour": "rgb"}, schema_file)


def test_what_is_done_to_pixels_has_a_signature_of_its_own():
    specs = load_specs()
    mbf, edge, y1 = (specs[n].preprocessing_signature for n in ("arcface_w600k_mbf", "edgeface_xxs", "mobileface_v2"))
    assert mbf == edge != y1, "the input's name does not count, mean and std do"
    facenet = specs["facenet_casia"]
    assert facenet.preprocessing_signature != facenet.model_copy(update={"crop": "arcface"}).preprocessing_signature


def test_a_profile_changes_what_it_names_and_is_held_to_the_same_rules():
    spec = load_specs()["arcface_w600k_mbf"]
    profile = SpecProfile(device_policy="cuda:1", batch_buckets=BatchBuckets(cpu=(1,), cuda=(1, 64)))
    there = spec.with_profile(profile)
    assert (there.device_policy, there.batch_buckets.cuda, there.name) == ("cuda:1", (1, 64), spec.name)
    assert there.needs == spec.needs is not None
    assert spec.with_profile(SpecProfile()) == spec
    served = spec.with_profile(SpecProfile(runtime="triton", triton=TritonModel(model="mbf", version="1")))
    assert (served.runtime, served.needs) == ("triton", None), "what was measured in this process is not the server's"
    with pytest.raises(SpecInvalid, match=r"arcface_w600k_mbf: precision: with engine onnx it is the file.s, fp32"):
        spec.with_profile(SpecProfile(precision="fp16"))
    with pytest.raises(SpecInvalid, match=r"recognition\.profiles\.arcface_w600k_mbf: triton: a model with runtime"):
        spec.with_profile(SpecProfile(runtime="triton"))


def test_a_mistyped_name_is_answered_with_the_nearest():
    with pytest.raises(ModelNotFound, match="model scrfd_500: there is no spec of this name; did you mean scrfd_500m"):
        find_spec("scrfd_500", load_specs())
    with pytest.raises(ModelNotFound, match="no spec at all"):
        find_spec("scrfd_500m", {})


def write(folder: Path, changes: dict[str, object], name: str = "scrfd_500m") -> Path:
    """A copy of a bundled spec with some keys changed (`...`: taken out)."""
    (source,) = bundled("specs").glob(f"*/{name}.yaml")
    tree = yaml.safe_load(source.read_text())
    for key, value in changes.items():
        *path, last = key.split("__")
        at = tree
        for part in path:
            at = at[part]
        if value is ...:
            del at[last]
        else:
            at[last] = value
    file = (
        folder / tree["role"] / source.name
        if tree.get("role") in ("face_detection", "face_embedding")
        else folder / source.name
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(tree))
    return file


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"colour": "rgb"}, "colour: unknown key; remove it"),
        ({"precision": ..., "precison": "fp32"}, r"line \d+: precison: unknown key; did you mean precision\?"),
        ({"input__mean": "grey"}, r"input\.mean: input should be a valid number"),
        ({"input__size": [640]}, r"input\.size"),
        ({"weights_digest": "abc"}, "weights_digest: string should match"),
        ({"local_artifacts": ["../elsewhere.onnx"]}, r"local_artifacts\.0: string should match"),
        ({"licence": ...}, "licence: field required"),
        ({"role": "oracle"}, "role: want face_detection or face_embedding"),
        ({"role": ...}, "role: want face_detection or face_embedding"),
        ({"engine": "triton"}, "engine: input should be 'onnx'"),
        ({"engine": "torch"}, "architecture: a model with engine: torch"),
        ({"runtime": "triton"}, "triton: a model with runtime: triton"),
        ({"precision": "fp8"}, "precision: input should be 'fp32'"),
        ({"device_policy": "gpu"}, "device_policy: want auto, cpu, cuda or cuda:N"),
        ({"local_artifacts": []}, "local_artifacts: a model that runs in this process"),
        ({"version": 0}, "version: "),
        (
            {"batch": 1, "batch_buckets": {"cpu": [1, 2]}},
            r"batch_buckets\.cpu: a model with batch: 1 has the one bucket 1",
        ),
        ({"batch": "dynamic", "batch_buckets": {"cuda": [4, 2]}}, r"batch_buckets\.cuda: want rising sizes"),
        ({"name": "another"}, "name: says another, but its path says scrfd_500m"),
    ],
)
def test_a_broken_spec_is_refused_by_file_and_key(tmp_path, changes, complaint):
    file = write(tmp_path, changes)
    with pytest.raises(SpecInvalid, match=complaint) as refused:
        read_spec(file)
    assert str(file) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_broken_spec_is_refused_by_its_line(tmp_path):
    text = next(bundled("specs").glob("*/scrfd_500m.yaml")).read_text()
    file = tmp_path / "face_detection" / "scrfd_500m.yaml"
    file.parent.mkdir()
    for broken, line, complaint in (
        (text.replace("mean: 127.5", "mean: grey"), 10, r"input\.mean"),
        (text + "licences: none\n", len(text.splitlines()) + 1, "licences: unknown key"),
        (text.replace("cuda: [1, 2", "cuda: [4, 2"), 12, r"batch_buckets\.cuda: want rising"),
        (text.replace("name: scrfd_500m", "name: other"), 2, "name: says other"),
        (text.replace("role: face_detection", "role: oracle"), 4, "role: want"),
    ):
        file.write_text(broken)
        with pytest.raises(SpecInvalid, match=rf"scrfd_500m\.yaml line {line}: {complaint}"):
            read_spec(file)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"members": ["edgeface_xxs", "mobileface_v2"]}, "merge: an ensemble has members and merge"),
        ({"merge": "agree"}, "merge: an ensemble has members and merge"),
        ({"merge": "agree", "members": ["nano_embed"], "local_artifacts": []}, "members: want two different"),
        ({"merge": "agree", "members": ["nano_embed", "mobileface_v2"]}, "local_artifacts: an ensemble has none"),
        ({"thresholds__identification": 0.5}, "no row for fmr 0.5"),
        ({"thresholds__table": []}, r"thresholds\.table"),
        ({"thresholds__table": [{"fmr": 1e-5, "cosine": 0.5}]}, r"thresholds\.table\.0\.tmr: field required"),
        ({"space": "no/slash"}, "space: "),
        ({"thresholds__measured_on": ...}, r"thresholds\.measured_on: field required"),
    ],
)
def test_a_broken_embedder_spec(tmp_path, changes, complaint):
    with pytest.raises(SpecInvalid, match=complaint):
        read_spec(write(tmp_path, changes, "edgeface_xxs"))


@pytest.mark.parametrize("text", ["a: [1", "- 1\n- 2\n", "", "\xff\xfe"])
def test_what_is_no_spec_at_all(tmp_path, text):
    file = tmp_path / "face_detection" / "odd.yaml"
    file.parent.mkdir()
    file.write_text(text, encoding="latin-1")
    with pytest.raises(SpecInvalid, match=r"odd\.yaml"):
        load_specs(tmp_path)


def test_a_spec_in_the_wrong_folder(tmp_path):
    file = write(tmp_path, {})
    (tmp_path / "face_embedding").mkdir()
    moved = file.rename(tmp_path / "face_embedding" / file.name)
    with pytest.raises(SpecInvalid, match="role: says face_detection, but its path says face_embedding"):
        read_spec(moved)


def test_a_missing_file(tmp_path):
    with pytest.raises(SpecInvalid, match="can't be read"):
        read_spec(tmp_path / "none.yaml")


def test_a_copied_spec_is_read_as_it_is(tmp_path):
    write(tmp_path, {})
    (spec,) = load_specs(tmp_path).values()
    assert isinstance(spec, DetectorSpec)
    assert spec == load_specs()["scrfd_500m"]
