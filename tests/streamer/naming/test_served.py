import asyncio
import logging
from pathlib import Path

import pytest

from gallery.classifier.artifacts import Run, packed
from gallery.classifier.dataset import Dataset
from gallery.classifier.fitting import fit
from gallery.classifier.folder import FILES, make_stale, write
from gallery.people import Profile
from streamer.naming import served
from streamer.naming.served import ServedClassifier
from streamer.telemetry.metrics import Metrics
from tests.gallery.classifier.crowd import FACTS, faces

PEOPLE = {"p000": Profile("Ada"), "p001": Profile("Bob")}


def train(folder: Path, people: int = 2, at: str = "now") -> None:
    dataset = Dataset.of(*faces([3] * people))
    write(folder, packed(fit(dataset), dataset.person_ids, FACTS, {}, Run(at, "0.1.0", "svc")))


def people_of(metrics: Metrics) -> float:
    return metrics.registry.get_sample_value("whosthere_classifier_people")


async def looked(folder: Path, metrics: Metrics | None = None) -> tuple[ServedClassifier, list[None]]:
    changes: list[None] = []
    classifier = ServedClassifier(folder, metrics or Metrics(), lambda: changes.append(None))
    classifier.people_changed(PEOPLE, frozenset())
    classifier.is_wanted = True
    await classifier.look()
    return classifier, changes


async def test_nobody_wants_it_and_nothing_is_loaded(tmp_path):
    train(tmp_path)
    classifier = ServedClassifier(tmp_path, Metrics(), lambda: None)
    await classifier.look()

    assert (classifier.named, classifier.trouble) == (None, None)


async def test_it_counts_whom_it_names(tmp_path):
    train(tmp_path, people=3)
    metrics = Metrics()
    classifier, changes = await looked(tmp_path, metrics)

    assert classifier.named is not None
    assert classifier.named.people == {"p000", "p001"}
    assert (people_of(metrics), len(changes)) == (2, 1)
    classifier.people_changed({"p000": Profile("Ada")}, frozenset())
    assert people_of(metrics) == 1


@pytest.mark.parametrize("name", FILES)
async def test_what_is_broken_is_said_once_and_mended_by_a_training(tmp_path, caplog, name):
    train(tmp_path)
    (tmp_path / name).write_bytes(b"broken")
    metrics = Metrics()
    with caplog.at_level(logging.ERROR, logger="streamer.naming.served"):
        classifier, _ = await looked(tmp_path, metrics)
        await classifier.look()

    assert classifier.named is None
    assert [record.code for record in caplog.records] == ["classifier_damaged"]
    assert people_of(metrics) == 0
    train(tmp_path, at="later")
    await classifier.look()
    assert classifier.named is not None
    assert classifier.trouble is None


async def test_without_scikit_learn_it_says_what_to_install(tmp_path, monkeypatch):
    train(tmp_path)
    monkeypatch.setattr(served, "find_spec", lambda name: None)
    classifier, _ = await looked(tmp_path)

    assert "whosthere[classifier]" in str(classifier.trouble)


async def test_while_it_follows_a_new_one_comes_and_a_stale_one_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(served, "POLL_S", 0.01)
    train(tmp_path)
    classifier, _ = await looked(tmp_path)
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        following = tasks.create_task(classifier.follow())
        train(tmp_path, people=4, at="later")
        while classifier.named is None or len(classifier.named.owners) != 4:
            await asyncio.sleep(0.01)
        make_stale(tmp_path)
        while classifier.named is not None:
            await asyncio.sleep(0.01)
        following.cancel()
    assert classifier.trouble is not None
    assert classifier.trouble.code == "classifier_stale"
