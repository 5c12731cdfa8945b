import importlib.metadata
import json
from pathlib import Path

import pytest

from gallery.classifier.artifacts import Run, load, packed
from gallery.classifier.dataset import Dataset
from gallery.classifier.errors import ClassifierDamaged, ClassifierMissing, ClassifierOutdated, ClassifierStale
from gallery.classifier.fitting import fit
from gallery.classifier.folder import FILES, write
from recognition.errors import EmbeddingSpaceMismatch
from tests.gallery.classifier.crowd import FACTS, faces
from tests.gallery.fakes import SPACE

STABLE = ("classifier.pkl", "person_id_mapping.json", "embedding_config.json")


def made(sizes: list[int], at: str = "2026-01-01T00:00:00Z", kind: str = "svc") -> dict[str, bytes]:
    dataset = Dataset.of(*faces(sizes))
    metrics = {"accuracy": 1.0, "time": {"trained_at": at}}
    return packed(fit(dataset, kind), dataset.person_ids, FACTS, metrics, Run(at, "0.1.0", kind))


def values(text: bytes) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in text.decode().splitlines())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, made([3, 6, 2]))
    return tmp_path


@pytest.mark.parametrize("kind", ["svc", "knn", "centroid"])
def test_what_was_trained_names_people_and_strangers_nobody(tmp_path, kind):
    write(tmp_path, made([3, 6, 2], kind=kind))
    classifier = load(tmp_path, serving=SPACE)
    probes, people = faces([2, 2, 2, 2], seed=500)
    said = classifier.predict_ids(probes, threshold=0.5)

    assert [one.person_id for one in said] == [*people[:6], None, None]
    assert all(one.best_id is not None for one in said)


def test_only_time_and_id_differ_between_two_runs():
    one, other = made([3, 6, 2]), made([3, 6, 2], at="2026-01-02T00:00:00Z")

    assert {name for name in FILES if one[name] != other[name]} == {"metrics.json", "version.txt"}
    first, second = values(one["version.txt"]), values(other["version.txt"])
    assert {key for key in first if first[key] != second[key]} == {"time", "id"}
    told, again = json.loads(one["metrics.json"]), json.loads(other["metrics.json"])
    assert {key for key in told if told[key] != again[key]} == {"time"}


def test_the_configuration_tells_what_is_a_probability(tmp_path):
    config = json.loads(made([3, 6, 9, 2])["embedding_config.json"])
    small = json.loads(made([3, 4])["embedding_config.json"])["confidence"]

    assert (config["classes"], config["classes_with_probability"]) == (4, 2)
    assert (config["network"], config["image_size"], config["device"], config["space"]) == (
        "fake_embed", [112, 112], "cpu", SPACE
    )  # fmt: skip
    assert "probability among the classes" in config["confidence"]["5_photos_and_more"]
    assert "no probability" in config["confidence"]["2_to_4_photos"]
    assert "no probability" in small["5_photos_and_more"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", ["flip", "longer", "shorter"])
def test_a_changed_file_is_refused(folder, name, change):
    content = (folder / name).read_bytes()
    middle = len(content) // 2
    changed = {
        "flip": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "longer": content + b"\n",
        "shorter": content[:-1],
    }[change]
    (folder / name).write_bytes(changed)
    with pytest.raises(ClassifierDamaged, match="train anew"):
        load(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(folder, name):
    (folder / name).unlink()
    with pytest.raises(ClassifierMissing, match=name):
        load(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_run_is_refused(folder, name):
    (folder / name).write_bytes(made([2, 5], at="2026-01-02T00:00:00Z")[name])
    if name == "embedding_config.json":
        (folder / name).write_bytes(made([2, 5])[name])
    with pytest.raises(ClassifierDamaged):
        load(folder)


def test_nothing_is_unpickled_of_what_was_changed(folder, monkeypatch):
    monkeypatch.setattr("gallery.classifier.artifacts.unpickled", lambda *_: pytest.fail("unpickled"))
    for name in FILES:
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[:-1])
        with pytest.raises(ClassifierDamaged):
            load(folder)
        (folder / name).write_bytes(whole)


@pytest.mark.parametrize("version", ["1.7.2", "1.10.0", "2.0"])
def test_of_another_scikit_learn_it_is_refused(tmp_path, monkeypatch, version):
    with monkeypatch.context() as patch:
        patch.setattr(importlib.metadata, "version", lambda name: version)
        files = made([3, 3])
    write(tmp_path, files)
    with pytest.raises(ClassifierOutdated, match=f"scikit-learn {version}"):
        load(tmp_path)


@pytest.mark.parametrize("serving", ["arcface_w600k_mbf.1", "test_space.2", ""])
def test_of_another_space_it_is_refused(folder, serving):
    with pytest.raises(EmbeddingSpaceMismatch, match=r"test_space\.1"):
        load(folder, serving=serving)


def test_who_was_forgotten_makes_it_stale(folder):
    assert load(folder, forgotten={"p009"}).person_ids == ("p000", "p001", "p002")
    with pytest.raises(ClassifierStale, match="forgotten"):
        load(folder, forgotten={"p001"})
