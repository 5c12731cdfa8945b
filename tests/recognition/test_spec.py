import hashlib
from pathlib import Path

import pytest
import yaml

from recognition.errors import ModelNotFound, SpecInvalid
from recognition.models.spaces import read_space
from recognition.models.spec import DetectorSpec, EmbedderSpec, bundled, find_spec, load_specs, read_spec

NAMES = {
    "scrfd_500m": "detector",
    "scrfd_2.5g": "detector",
    "yunet_n": "detector",
    "nano_det": "detector",
    "nano_embed": "embedder",
    "arcface_w600k_mbf": "embedder",
    "arcface_mobilefacenet_y1": "embedder",
    "edgeface_xxs": "embedder",
    "mobileface_v2": "embedder",
}


def test_the_promised_specs_are_there():
    assert {name: spec.role for name, spec in load_specs().items()} == NAMES


@pytest.mark.parametrize("name", ["nano_det", "nano_embed"])
def test_our_own_digests_are_those_of_our_files(name):
    spec = load_specs()[name]
    assert spec.sha256 == hashlib.sha256((bundled("nano") / spec.file).read_bytes()).hexdigest()


def test_digests_are_those_of_the_files(shared):
    lines = (shared / "models" / "SHA256SUMS").read_text().splitlines()
    digests = {name: digest for digest, name in (line.split() for line in lines)}
    larger = [spec for name, spec in load_specs().items() if not name.startswith("nano_")]
    assert {spec.file: spec.sha256 for spec in larger} == {spec.file: digests[spec.file] for spec in larger}


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
    for spec in specs:
        assert read_space(spec.space).dim == spec.embedding_size


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
    file = folder / tree["role"] / source.name if tree.get("role") in ("detector", "embedder") else folder / source.name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(tree))
    return file


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"colour": "rgb"}, "colour: unknown key"),
        ({"input__mean": "grey"}, r"input\.mean: input should be a valid number"),
        ({"input__size": [640]}, r"input\.size"),
        ({"sha256": "abc"}, "sha256: string should match"),
        ({"file": "../elsewhere.onnx"}, "file: string should match"),
        ({"licence": ...}, "licence: field required"),
        ({"role": "oracle"}, "role: want detector or embedder"),
        ({"role": ...}, "role: want detector or embedder"),
        ({"engine": "triton"}, "engine: input should be 'onnx'"),
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


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"thresholds__identification": 0.5}, "no row for fmr 0.5"),
        ({"thresholds__table": []}, r"thresholds\.table"),
        ({"space": "no/slash"}, "space: "),
        ({"thresholds__measured_on": ...}, r"thresholds\.measured_on: field required"),
    ],
)
def test_a_broken_embedder_spec(tmp_path, changes, complaint):
    with pytest.raises(SpecInvalid, match=complaint):
        read_spec(write(tmp_path, changes, "edgeface_xxs"))


@pytest.mark.parametrize("text", ["a: [1", "- 1\n- 2\n", "", "\xff\xfe"])
def test_what_is_no_spec_at_all(tmp_path, text):
    file = tmp_path / "detector" / "odd.yaml"
    file.parent.mkdir()
    file.write_text(text, encoding="latin-1")
    with pytest.raises(SpecInvalid, match=r"odd\.yaml"):
        load_specs(tmp_path)


def test_a_spec_in_the_wrong_folder(tmp_path):
    file = write(tmp_path, {})
    (tmp_path / "embedder").mkdir()
    moved = file.rename(tmp_path / "embedder" / file.name)
    with pytest.raises(SpecInvalid, match="role: says detector, but its path says embedder"):
        read_spec(moved)


def test_a_missing_file(tmp_path):
    with pytest.raises(SpecInvalid, match="can't be read"):
        read_spec(tmp_path / "none.yaml")


def test_a_copied_spec_is_read_as_it_is(tmp_path):
    write(tmp_path, {})
    (spec,) = load_specs(tmp_path).values()
    assert isinstance(spec, DetectorSpec)
    assert spec == load_specs()["scrfd_500m"]
