import json
import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from gallery.classifier.artifacts import load
from gallery.classifier.errors import TrainingImpossible
from gallery.classifier.folder import write
from gallery.classifier.sources import FaceTable
from gallery.classifier.train import Samples, TrainOptions, distribution, from_gallery, from_table, train
from gallery.people import NewTemplate
from tests.galleries import open_store
from tests.gallery.classifier.crowd import FACTS, ColourEmbedder, encoded
from tests.gallery.fakes import SPACE, near, photo_of, unit

Row = tuple[bytes | str | int | None, object, object]


def table_of(folder: Path, *rows: Row) -> FaceTable:
    with closing(sqlite3.connect(folder / "face.db")) as db, db:
        db.execute("CREATE TABLE face (face_crop_blob, person_id, verified)")
        db.executemany("INSERT INTO face VALUES (?, ?, ?)", rows)
    db.close()
    return FaceTable(folder / "face.db")


def good(person: int, count: int, kind: str = ".png") -> list[Row]:
    return [(encoded(person, number, kind), person, 1) for number in range(count)]


async def samples_of(folder: Path, *rows: Row, embedder: ColourEmbedder | None = None) -> Samples:
    table = table_of(folder, *rows)
    try:
        return await from_table(table, embedder or ColourEmbedder(), lambda done, total: None)
    finally:
        table.close()


@pytest.mark.parametrize("kind", [".png", ".jpg", ".webp"])
async def test_trained_saved_loaded_it_names_people(tmp_path, kind):
    """No weights are needed."""
    rows = [*good(1, 6, kind), *good(2, 3, kind), *good(3, 9, kind)]
    training = await train(await samples_of(tmp_path, *rows), FACTS, TrainOptions())
    write(tmp_path / "out", training.files)
    classifier = load(tmp_path / "out", serving=SPACE)
    probes = np.stack([near(unit(100 + person), 0.8, seed=77) for person in (3, 1, 2, 8, 9)])

    assert [one.person_id for one in classifier.predict_ids(probes, 0.5)] == ["3", "1", "2", None, None]
    assert training.metrics["accuracy"] == 1.0
    assert training.metrics["classes"] == {"kept": 3, "dropped": 0}
    assert training.metrics["samples"]["kept"] == 18


async def test_rows_that_are_no_good_are_counted_by_why(tmp_path, caplog):
    png = encoded(1, 0)
    rows: list[Row] = [
        *good(1, 3),
        *good(2, 3),
        *good(5, 1),
        (b"rubbish", 1, 1),
        (png[: len(png) // 2], 1, 1),
        (None, 1, 1),
        ("text", 2, 1),
        (encoded(1, 9), b"id", 1),
        (png, 1, 1),
        (encoded(7, 0), 7, 0),
        (encoded(7, 1), None, 1),
        (encoded(6, 0), 6, 1),
        (encoded(6, 0), 2, 1),
    ]
    embedder = ColourEmbedder()
    with caplog.at_level(logging.WARNING, logger="gallery.classifier.train"):
        training = await train(await samples_of(tmp_path, *rows, embedder=embedder), FACTS, TrainOptions())

    assert training.metrics["samples"] == {
        "read": len(rows),
        "kept": 6,
        "dropped": 1,
        "skipped": {"corrupt": 5, "duplicate": 1, "of_two_people": 2, "unverified": 2},
        "without_landmarks": 0,
    }
    assert training.metrics["classes"] == {"kept": 2, "dropped": 1}
    told = [record.getMessage() for record in caplog.records]
    assert sum("is corrupt and skipped" in line for line in told) == 5
    assert any("1 people have one usable face alone" in line for line in told)


async def test_many_corrupt_rows_fill_no_log(tmp_path, caplog):
    rows: list[Row] = [*good(1, 2), *good(2, 2), *((b"rubbish %d" % number, 1, 1) for number in range(60))]
    samples = await samples_of(tmp_path, *rows)

    assert samples.skipped["corrupt"] == 60
    assert len(caplog.records) == 21


async def test_nan_and_faceless_crops(tmp_path):
    embedder = ColourEmbedder(broken=frozenset({3}), faceless=frozenset({2}))
    rows = [*good(1, 3), *good(2, 4), *good(3, 5)]
    training = await train(await samples_of(tmp_path, *rows, embedder=embedder), FACTS, TrainOptions())

    assert training.person_ids == ("1", "2")
    assert training.metrics["samples"]["skipped"] == {"no_embedding": 5}
    assert training.metrics["samples"]["without_landmarks"] == 4


@pytest.mark.parametrize("sizes", [{}, {1: 5}, {1: 1, 2: 1, 3: 1}, {1: 7, 2: 1}])
async def test_one_class_or_none_is_no_training(tmp_path, sizes):
    rows = [row for person, count in sizes.items() for row in good(person, count)]
    samples = await samples_of(tmp_path, *rows)
    with pytest.raises(TrainingImpossible, match="two usable verified faces"):
        await train(samples, FACTS, TrainOptions())


async def test_two_trainings_differ_in_time_and_id_alone(tmp_path):
    made, rows = [], [*good(1, 6), *good(2, 3), *good(3, 8)]
    for name, order in (("one", rows), ("two", rows[::-1])):
        (tmp_path / name).mkdir()
        samples = await samples_of(tmp_path / name, *order)
        made.append((await train(samples, FACTS, TrainOptions())).files)

    for name in ("classifier.pkl", "person_id_mapping.json", "embedding_config.json"):
        assert made[0][name] == made[1][name], name
    one, two = (json.loads(files["metrics.json"]) for files in made)
    assert one | {"time": None} == two | {"time": None}


async def test_the_forgotten_are_left_out(tmp_path):
    table = table_of(tmp_path, *good(1, 3), *good(2, 3), *good(3, 3))
    samples = await from_table(table, ColourEmbedder(), lambda done, total: None, forgotten={"2"})
    table.close()

    assert set(samples.person_ids) == {"1", "3"}
    assert samples.skipped["forgotten"] == 3


async def test_of_the_gallery_templates_are_taken_and_chips_embedded_where_they_lack(tmp_path):
    embedder, other = ColourEmbedder(), NewTemplate("another.1", "0" * 16, unit(5))
    with open_store(tmp_path / "gallery.db") as store:
        ada = store.add_person("Ada", [photo_of(near(unit(1), 0.9, n), n) for n in range(3)])
        bob = store.add_person("Bob", [photo_of(near(unit(2), 0.9, n), 10 + n) for n in range(2)])
        store.add_person("Eve", [photo_of(other.embedding, 20 + n, space="another.1") for n in range(2)])
        samples = await from_gallery(store, embedder, lambda done, total: None)

    assert embedder.asked == 2
    assert samples.person_ids[:5] == [ada.id] * 3 + [bob.id] * 2
    assert len(samples.person_ids) == 7
    training = await train(samples, FACTS, TrainOptions())
    assert {ada.id, bob.id} < set(training.person_ids)


def test_the_distribution_is_told_without_saying_who():
    assert (
        distribution([2, 4, 5, 30, 60])
        == "5 people: 2 with 2 to 4, 1 with 5 to 9, 1 with 20 to 49, 1 with 50 and more faces"
    )
