"""Bundles from one weights folder to another, and what may be wrong with one."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from recognition.archive import open_archive
from recognition.errors import ArchiveInvalid, SpecInvalid, WeightsFolderUnwritable, WeightsMissing
from recognition.models.manager import ModelManager
from recognition.specs.files import load_specs
from recognition.zoo.bundles import LICENCES, SUMS, import_bundle, is_bundle, read_licences, write_bundle
from recognition.zoo.catalogue import load_catalogue
from recognition.zoo.imports import import_entry
from tests.recognition.zoo.test_imports import PACK, files, packed

NAMES = ("det_10g", "w600k_r50")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A weights folder with two models that no other machine knows."""
    folder = tmp_path / "here"
    import_entry(packed(tmp_path, PACK), load_catalogue()["buffalo_l"], folder, load_specs())
    return folder


@pytest.fixture
def there(tmp_path: Path) -> Path:
    return tmp_path / "there"


@pytest.fixture
def bundle(here: Path, tmp_path: Path) -> Path:
    known = load_specs(beside=[here])
    write_bundle([known[name] for name in NAMES], [here], tmp_path / "bundle.zip")
    return tmp_path / "bundle.zip"


def repacked(bundle: Path, changes: dict[str, bytes | None], *, honest: bool = False) -> Path:
    """The bundle with files changed, added, or (None) taken out; `honest`: its digests say so."""
    with zipfile.ZipFile(bundle) as old:
        held = {name: old.read(name) for name in old.namelist()}
    held = {name: data for name, data in (held | changes).items() if data is not None}
    if honest:
        lines = (f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in held.items() if name != SUMS)
        held[SUMS] = "".join(lines).encode()
    return packed(bundle.parent, held, "repacked.zip")


def test_there_and_back(here, there, bundle):
    report = import_bundle(bundle, there, load_specs())
    assert [(taken.spec.name, taken.written) for taken in report.taken] == [(name, True) for name in NAMES]
    assert files(there) == files(here)
    assert load_specs(beside=[there]) == load_specs(beside=[here])
    for file in files(here):
        if not file.startswith("specs/"):  # their first lines say where each came from
            assert (there / file).read_bytes() == (here / file).read_bytes()
    manager = ModelManager([there], device="cpu")
    assert [manager.open(name).name for name in NAMES] == list(NAMES)


def test_it_says_what_it_is_and_under_which_terms(bundle, tmp_path):
    with open_archive(bundle) as archive:
        assert is_bundle(archive)
        terms = read_licences(archive)
        sums = archive.read(SUMS).decode()
    assert terms.count("InsightFace: non-commercial research only") == 2
    assert len(sums.splitlines()) == 6
    with open_archive(packed(tmp_path, PACK)) as archive:
        assert not is_bundle(archive)


def test_the_same_models_make_the_same_bundle(here, bundle, tmp_path):
    known = load_specs(beside=[here])
    write_bundle([known[name] for name in NAMES], [here], tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == bundle.read_bytes()


def test_a_model_that_is_known_there_keeps_its_spec(there, tmp_path):
    spec = load_specs()["nano_embed"]
    write_bundle([spec], [], tmp_path / "ours.zip")
    (taken,) = import_bundle(tmp_path / "ours.zip", there, load_specs()).taken
    assert (taken.spec, taken.written) == (spec, False)
    assert files(there) == {spec.file}


def test_twice_changes_nothing(there, bundle):
    import_bundle(bundle, there, load_specs())
    before = files(there)
    report = import_bundle(bundle, there, load_specs(beside=[there]))
    assert [taken.written for taken in report.taken] == [False, False]
    assert files(there) == before


@pytest.mark.parametrize(
    ("changes", "honest", "complaint"),
    [
        ({"weights/w600k_r50.onnx": b"altered"}, False, r"weights/w600k_r50\.onnx in it is altered"),
        ({"weights/w600k_r50.onnx": b"altered"}, True, "the weights of w600k_r50 in it are not those of its spec"),
        ({"specs/face_embedding/w600k_r50.yaml": b"name: x"}, False, r"w600k_r50\.yaml in it is altered"),
        ({"weights/w600k_r50.onnx": None}, False, "does not name the files that are in it"),
        ({"weights/w600k_r50.onnx": None}, True, r"weights/w600k_r50\.onnx is not in it"),
        ({"spaces/w600k_r50.1.yaml": None}, True, r"spaces/w600k_r50\.1\.yaml is not in it"),
        ({"extra.onnx": b"more"}, False, "does not name the files that are in it"),
        ({"pulled.yaml": b"more"}, True, r"pulled\.yaml has no place in a bundle"),
        ({"weights/pulled.yaml": b"more"}, True, "has no place in a bundle"),
        ({SUMS: b"hello"}, False, "does not name the files that are in it"),
        ({SUMS: None}, False, "is no bundle"),
        (
            dict.fromkeys(("specs/face_detection/det_10g.yaml", "specs/face_embedding/w600k_r50.yaml")),
            True,
            "no spec is in it",
        ),
    ],
)
def test_a_bundle_that_is_not_whole_changes_nothing(there, bundle, changes, honest, complaint):
    with pytest.raises(ArchiveInvalid, match=complaint):
        import_bundle(repacked(bundle, changes, honest=honest), there, load_specs())
    assert not there.exists() or files(there) == set()


def test_a_spec_that_is_none(there, bundle):
    with pytest.raises(SpecInvalid, match="role: want face_detection or face_embedding"):
        import_bundle(
            repacked(bundle, {"specs/face_embedding/w600k_r50.yaml": b"name: x"}, honest=True), there, load_specs()
        )
    assert files(there) == set()


def test_a_bundle_never_takes_a_known_name_for_other_weights(here, there, bundle):
    known = load_specs(beside=[here])
    other = known["w600k_r50"].model_copy(update={"weights_digest": "0" * 64})
    with pytest.raises(SpecInvalid, match="its w600k_r50 is known here for other weights"):
        import_bundle(bundle, there, load_specs() | {"w600k_r50": other})
    assert files(there) == set()


@pytest.mark.parametrize("name", ["w600k_r50.onnx", "spaces/w600k_r50.1.yaml"])
def test_nothing_that_lies_there_is_written_over(there, bundle, name):
    (there / name).parent.mkdir(parents=True)
    (there / name).write_bytes(b"my own")
    with pytest.raises(ArchiveInvalid, match=r"is there already with other content|is known here for another model"):
        import_bundle(bundle, there, load_specs())
    assert files(there) == {name}
    assert (there / name).read_bytes() == b"my own"


def test_a_bundle_of_what_is_not_here(tmp_path):
    with pytest.raises(WeightsMissing):
        write_bundle([load_specs()["yunet_n"]], [tmp_path], tmp_path / "bundle.zip")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_can_t_be_written(here, tmp_path):
    with pytest.raises(WeightsFolderUnwritable, match="can't be written"):
        write_bundle([load_specs(beside=[here])["det_10g"]], [here], tmp_path / "none" / "bundle.zip")


def test_the_licences_are_in_it(bundle):
    with zipfile.ZipFile(bundle) as archive:
        assert LICENCES in archive.namelist()
