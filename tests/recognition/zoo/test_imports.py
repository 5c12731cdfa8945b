"""Imports of files and packs: tiny networks with the shapes of real ones, and the real ones where they are."""

import hashlib
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml

from recognition import archive
from recognition.errors import (
    ArchiveInvalid,
    SelfTestFailed,
    SpecInvalid,
    WeightsDigestMismatch,
    WeightsFolderUnwritable,
    WeightsMissing,
)
from recognition.models.manager import ModelManager
from recognition.runtimes import int8_forms
from recognition.runtimes.int8_forms import EXACT, saturates
from recognition.specs.files import bundled, load_specs
from recognition.specs.spec import DetectorSpec, EmbedderSpec
from recognition.zoo.catalogue import CatalogueEntry, load_catalogue
from recognition.zoo.imports import UNMEASURED, import_as, import_entry
from tests.int8_networks import hidden, int8_embedder
from tests.small_disk import fill, small_disk
from tests.tiny_networks import answering, detector, embedder

BUFFALO = load_catalogue()["buffalo_l"]
SFACE = load_catalogue()["sface_2021dec"]
PACK = {
    "det_10g.onnx": detector(),
    "w600k_r50.onnx": embedder(),
    "genderage.onnx": answering(3, 96),
    "2d106det.onnx": answering(212, 192),
    "1k3d68.onnx": answering(3309, 192),
}


def packed(folder: Path, files: Mapping[str, bytes], name: str = "buffalo_l.zip") -> Path:
    with zipfile.ZipFile(folder / name, "w") as pack:
        for member, data in files.items():
            pack.writestr(member, data)
    return folder / name


def take(file: Path, folder: Path, entry: CatalogueEntry = BUFFALO):
    return import_entry(file, entry, folder, load_specs(beside=[folder]))


def files(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def test_a_pack_is_told_apart_by_its_shapes(tmp_path):
    folder = tmp_path / "weights"
    report = take(packed(tmp_path, PACK), folder)
    assert [(taken.spec.name, taken.spec.role, taken.written) for taken in report.taken] == [
        ("det_10g", "face_detection", True),
        ("w600k_r50", "face_embedding", True),
    ]
    assert [name for name, _ in report.left_out] == ["genderage.onnx", "2d106det.onnx", "1k3d68.onnx"]
    assert files(folder) == {
        "det_10g.onnx",
        "w600k_r50.onnx",
        "specs/face_detection/det_10g.yaml",
        "specs/face_embedding/w600k_r50.yaml",
        "spaces/w600k_r50.1.yaml",
    }


def test_the_specs_say_all_that_is_known_and_no_more(tmp_path):
    folder = tmp_path / "weights"
    take(packed(tmp_path, PACK), folder)
    specs = load_specs(beside=[folder])
    found, known = specs["det_10g"], specs["w600k_r50"]
    assert isinstance(found, DetectorSpec)
    assert isinstance(known, EmbedderSpec)
    assert (found.family, found.input.size, found.input.mean, found.input.std) == ("scrfd", (64, 64), 127.5, 128.0)
    assert (known.embedding_size, known.batch, known.input.std, known.space) == (64, "dynamic", 127.5, "w600k_r50.1")
    assert known.weights_digest == hashlib.sha256(PACK["w600k_r50.onnx"]).hexdigest()
    assert known.thresholds == UNMEASURED
    assert known.thresholds.measured_on.startswith("not measured")
    assert [row.tmr for row in known.thresholds.table] == [None, None]
    for spec in (found, known):
        assert spec.licence == BUFFALO.licence
        assert BUFFALO.url in spec.source


def test_unmeasured_thresholds_are_stricter_than_any_measured_one():
    for spec in load_specs().values():
        if isinstance(spec, EmbedderSpec) and spec.embedding_size == 512 and spec.thresholds.measured:
            for use in ("verification", "identification"):
                assert UNMEASURED.cosine_at(getattr(UNMEASURED, use)) > spec.thresholds.cosine_at(
                    1e-5 if use == "identification" else 1e-3
                )


def test_what_was_imported_is_loaded_by_its_name_alone(tmp_path):
    folder = tmp_path / "weights"
    take(packed(tmp_path, PACK), folder)
    manager = ModelManager([tmp_path / "empty", folder], device="cpu")
    assert manager.open_embedder("w600k_r50").max_batch == 8
    assert manager.open_detector("det_10g").spec.file == "det_10g.onnx"


def test_a_model_that_batches_change_gets_no_batches(tmp_path):
    folder = tmp_path / "weights"
    take(packed(tmp_path, {"leaky.onnx": embedder(leaks=True)}), folder)
    assert load_specs(beside=[folder])["leaky"].batch == 1


def test_int8_is_said_to_be_int8_and_runs_in_the_form_that_is_right_here(tmp_path):
    folder = tmp_path / "weights"
    take(packed(tmp_path, {"w600k_r50.onnx": int8_embedder(tmp_path)}), folder)
    assert load_specs(beside=[folder])["w600k_r50"].precision == "int8"
    manager = ModelManager([folder], device="cpu")
    form = EXACT if saturates() else None
    assert manager.planned_form("w600k_r50", "cpu") == form
    assert manager.planned_form("w600k_r50", "cuda:0") is None
    assert manager.open_embedder("w600k_r50").metadata().form == form


def test_int8_that_can_t_be_right_here_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(int8_forms, "saturates", lambda: True)
    report = take(packed(tmp_path, {"odd.onnx": hidden(), "w600k_r50.onnx": embedder()}), tmp_path / "weights")
    assert [taken.spec.name for taken in report.taken] == ["w600k_r50"]
    ((name, why),) = report.left_out
    assert name == "odd.onnx"
    assert "no VNNI" in why


def test_again_changes_nothing(tmp_path):
    folder, pack = tmp_path / "weights", packed(tmp_path, PACK)
    take(pack, folder)
    before = {name: (folder / name).read_bytes() for name in files(folder)}
    assert [taken.written for taken in take(pack, folder).taken] == [False, False]
    assert {name: (folder / name).read_bytes() for name in files(folder)} == before


def test_weights_that_were_damaged_are_put_right(tmp_path):
    folder, pack = tmp_path / "weights", packed(tmp_path, PACK)
    take(pack, folder)
    (folder / "det_10g.onnx").write_bytes(b"damaged")
    take(pack, folder)
    assert (folder / "det_10g.onnx").read_bytes() == PACK["det_10g.onnx"]


def test_another_pack_s_file_of_the_same_name_gets_its_pack_s_name(tmp_path):
    folder = tmp_path / "weights"
    take(packed(tmp_path, PACK), folder)
    report = take(
        packed(tmp_path, {"buffalo_s/w600k_r50.onnx": embedder(seed=1)}), folder, load_catalogue()["buffalo_s"]
    )
    assert [taken.spec.name for taken in report.taken] == ["buffalo_s_w600k_r50"]
    assert (folder / "w600k_r50.onnx").read_bytes() == PACK["w600k_r50.onnx"]


def test_a_file_that_lies_there_is_never_written_over(tmp_path):
    folder = tmp_path / "weights"
    folder.mkdir()
    for name in ("w600k_r50.onnx", "buffalo_l_w600k_r50.onnx"):
        (folder / name).write_bytes(b"my own")
    with pytest.raises(ArchiveInvalid, match="move them away"):
        take(packed(tmp_path, PACK), folder)
    assert (folder / "w600k_r50.onnx").read_bytes() == b"my own"
    assert files(folder) == {"w600k_r50.onnx", "buffalo_l_w600k_r50.onnx"}


def test_all_or_nothing(tmp_path):
    folder = tmp_path / "weights"
    with pytest.raises(SelfTestFailed, match="not all outputs are finite"):
        take(packed(tmp_path, {**PACK, "z_broken.onnx": embedder(fill=np.nan)}), folder)
    assert list(folder.iterdir()) == []


def test_a_full_disk_changes_nothing(tmp_path):
    with small_disk(1) as disk:
        fill(disk)
        with pytest.raises(WeightsFolderUnwritable, match="No space left on device"):
            take(packed(tmp_path, PACK), disk)
        assert [file.name for file in disk.iterdir()] == ["hog"]


def test_a_pack_with_nothing_in_it_says_what_was_seen(tmp_path):
    pack = packed(tmp_path, {"genderage.onnx": PACK["genderage.onnx"], "odd.onnx": b"odd", "notes.txt": b"hello"})
    with pytest.raises(
        ArchiveInvalid, match=r"no detector and no embedder .*tells age and sex.*odd\.onnx: .*can't load"
    ):
        take(pack, tmp_path / "weights")


def test_a_network_alone_from_the_catalogue_is_held_to_its_digest(tmp_path):
    file = tmp_path / "face_recognition_sface_2021dec.onnx"
    file.write_bytes(embedder(128))
    with pytest.raises(WeightsDigestMismatch, match="the catalogue says 0ba9fbfa01b5"):
        take(file, tmp_path / "weights", SFACE)
    pinned = SFACE.model_copy(update={"sha256": hashlib.sha256(file.read_bytes()).hexdigest()})
    (taken,) = take(file, tmp_path / "weights", pinned).taken
    assert (taken.spec.name, taken.spec.input.mean, taken.spec.input.std) == ("sface_2021dec", 0.0, 1.0)
    assert taken.spec.licence == "Apache-2.0"


def test_a_family_that_the_entry_does_not_name_is_left_out(tmp_path):
    only = BUFFALO.model_copy(update={"inputs": {"arcface": BUFFALO.inputs["arcface"]}})
    report = take(packed(tmp_path, PACK), tmp_path / "weights", only)
    assert ("det_10g.onnx", "is a network of the scrfd family, which buffalo_l should not hold") in report.left_out


# Archives that nobody should open.


@pytest.mark.parametrize("name", ["../det.onnx", "/etc/det.onnx", "a/../../det.onnx", "..\\det.onnx", "C:det.onnx"])
def test_names_that_lead_outside(tmp_path, name):
    with pytest.raises(ArchiveInvalid, match="wants to be put outside"):
        take(packed(tmp_path, {**PACK, name: PACK["det_10g.onnx"]}), tmp_path / "weights")
    assert not (tmp_path / "weights").exists() or files(tmp_path / "weights") == set()


def test_links(tmp_path):
    pack = packed(tmp_path, PACK)
    link = zipfile.ZipInfo("link.onnx")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(pack, "a") as archive_:
        archive_.writestr(link, "/etc/passwd")
    with pytest.raises(ArchiveInvalid, match=r"link\.onnx in it is a link"):
        take(pack, tmp_path / "weights")


def test_bombs(tmp_path, monkeypatch):
    pack = tmp_path / "buffalo_l.zip"
    with zipfile.ZipFile(pack, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("det.onnx", bytes(50 << 20))
    with pytest.raises(ArchiveInvalid, match="would unpack to 52428800 bytes"):
        take(pack, tmp_path / "weights")
    monkeypatch.setattr(archive, "WEIGHTS", replace(archive.WEIGHTS, total_bytes=1000))
    with pytest.raises(ArchiveInvalid, match="would unpack to more than"):
        take(packed(tmp_path, PACK), tmp_path / "weights")
    monkeypatch.setattr(archive, "WEIGHTS", replace(archive.WEIGHTS, files=3))
    with pytest.raises(ArchiveInvalid, match="holds 5 files"):
        take(packed(tmp_path, PACK), tmp_path / "weights")


@pytest.mark.parametrize("how", ["cut short", "text", "empty"])
def test_what_is_no_archive(tmp_path, how):
    pack = packed(tmp_path, PACK)
    data = pack.read_bytes()
    pack.write_bytes({"cut short": data[: len(data) // 2], "text": b"<html>Sign in</html>", "empty": b""}[how])
    with pytest.raises(ArchiveInvalid, match="is no zip file, or is cut short"):
        take(pack, tmp_path / "weights")


def test_a_damaged_member(tmp_path):
    pack = packed(tmp_path, PACK)
    data = bytearray(pack.read_bytes())
    data[data.index(PACK["w600k_r50.onnx"]) + 500] ^= 1
    pack.write_bytes(data)
    with pytest.raises(ArchiveInvalid, match=r"w600k_r50\.onnx in it is damaged"):
        take(pack, tmp_path / "weights")
    assert files(tmp_path / "weights") == set()


def test_no_such_file(tmp_path):
    with pytest.raises(WeightsMissing, match="there is no such file"):
        take(tmp_path / "buffalo_l.zip", tmp_path / "weights")


# Specs beside the weights.


def test_a_spec_beside_the_weights_can_t_take_a_known_name(tmp_path):
    folder = tmp_path / "weights"
    take(packed(tmp_path, {"scrfd_mine.onnx": detector()}), folder)
    written = folder / "specs" / "face_detection" / "scrfd_mine.yaml"
    tree = yaml.safe_load(written.read_text()) | {"name": "scrfd_500m"}
    (written.parent / "scrfd_500m.yaml").write_text(yaml.safe_dump(tree))
    with pytest.raises(SpecInvalid, match=r"scrfd_500m\.yaml: name: scrfd_500m is known already for other weights"):
        load_specs(beside=[folder])


# The real ones.


def test_a_known_spec_s_file(tmp_path):
    spec, other = load_specs()["nano_embed"], load_specs()["yunet_n"]
    file = bundled("nano") / spec.file
    report = import_as(file, spec, tmp_path)
    assert [(taken.spec, taken.written) for taken in report.taken] == [(spec, False)]
    assert ModelManager([tmp_path], device="cpu").open("nano_embed").spec == spec
    told = f"has sha256 {spec.weights_digest[:12]}…, spec yunet_n says {other.weights_digest[:12]}…"
    with pytest.raises(WeightsDigestMismatch, match=told):
        import_as(file, other, tmp_path)
    assert files(tmp_path) == {spec.file}


def test_real_networks_as_buffalo_s_packs_them(shared, tmp_path):
    models = shared / "models"
    recogniser = onnx.load(models / "arcface_w600k_mbf.onnx")
    recogniser.producer_name = "another exporter"  # other bytes, the same network
    pack = packed(
        tmp_path,
        {
            "det_500m.onnx": (models / "scrfd_500m_bnkps_dynamic.onnx").read_bytes(),
            "w600k_mbf.onnx": recogniser.SerializeToString(),
            "genderage.onnx": PACK["genderage.onnx"],
        },
        "buffalo_s.zip",
    )
    report = take(pack, tmp_path / "weights", load_catalogue()["buffalo_s"])
    assert [(taken.spec.name, taken.written) for taken in report.taken] == [("scrfd_500m", False), ("w600k_mbf", True)]
    manager = ModelManager([tmp_path / "weights"], device="cpu")
    ours, theirs = manager.open_embedder("w600k_mbf").spec, load_specs()["arcface_w600k_mbf"]
    assert (ours.input, ours.batch, ours.batch_buckets) == (theirs.input, theirs.batch, theirs.batch_buckets)
    assert manager.open_detector("scrfd_500m").spec == load_specs()["scrfd_500m"]
