"""Names by a trained classifier, alone or beside the gallery: never a stranger's, nor of who is not enrolled."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gallery.classifier.artifacts import Run, packed
from gallery.classifier.dataset import Dataset
from gallery.classifier.errors import ClassifierMissing, ClassifierStale
from gallery.classifier.fitting import fit
from gallery.classifier.folder import make_stale, write
from gallery.people import OwnThreshold
from streamer.pipeline.live_gallery import LiveGallery
from streamer.pipeline.tracking import KeptFace
from tests.galleries import open_store
from tests.gallery.classifier.crowd import FACTS
from tests.gallery.fakes import near
from tests.streamer.scripted import SIZES, embedding_by, live_gallery_of, unit

ADA, BOB, EVE, STRANGER = 1, 2, 3, 9


def train_on(folder: Path, people: Mapping[str, int], model: str = "a", run: str = "1", dim: int | None = None) -> None:
    """people: the look of each class; dim: of a model of before, which gave so many numbers."""
    size = dim or SIZES[model]
    rows = [near(unit(look, size), 0.8, seed=n) for look in people.values() for n in range(6)]
    dataset = Dataset.of(np.stack(rows), [one for one in people for _ in range(6)])
    facts = replace(FACTS, space=f"{model}.1", embedding_size=size)
    write(folder, packed(fit(dataset), dataset.person_ids, facts, {}, Run(run, "0.1.0", "svc")))


def track(look: int, cosine: float = 0.8, model: str = "a") -> list[KeptFace]:
    return [KeptFace(embedding_by(model, look, cosine), 0.8, model)] * 3


async def named(live_gallery: LiveGallery, folder: Path, names: str, *looks: int) -> list[tuple[str, str | None]]:
    live_gallery.classifier._folder = folder
    live_gallery.classifier.is_wanted = True
    await live_gallery.classifier.look()
    verdicts = await live_gallery.identify([track(look) for look in looks], names)
    return [(verdict.match.outcome, verdict.match.person_id) for verdict in verdicts]


UNKNOWN = ("unknown", None)


@pytest.mark.parametrize("names", ["classifier", "both"])
async def test_people_get_their_names_and_strangers_none(tmp_path, names):
    async with live_gallery_of(tmp_path, {ADA: "a", BOB: "a"}) as (live_gallery, ids):
        train_on(tmp_path / "m", {ids[ADA]: ADA, ids[BOB]: BOB})
        told = await named(live_gallery, tmp_path / "m", names, ADA, STRANGER, BOB)

        assert told == [("known", ids[ADA]), UNKNOWN, ("known", ids[BOB])]
        (verdict,) = await live_gallery.identify([track(ADA, 0.45)], names)
        assert verdict.match.best_person == ids[ADA]
        assert (verdict.threshold, verdict.space) == (0.4, "a.1")
        assert (verdict.match.similarity >= 0.4) == (verdict.match.person_id is not None)


async def test_who_was_not_trained_on_is_named_by_the_gallery_alone(tmp_path):
    async with live_gallery_of(tmp_path, {ADA: "a", BOB: "a", EVE: "a"}) as (live_gallery, ids):
        train_on(tmp_path / "m", {ids[ADA]: ADA, ids[BOB]: BOB})

        assert await named(live_gallery, tmp_path / "m", "classifier", EVE) == [UNKNOWN]
        assert await named(live_gallery, tmp_path / "m", "both", EVE) == [("known", ids[EVE])]


async def test_two_of_different_minds_name_nobody(tmp_path):
    async with live_gallery_of(tmp_path, {ADA: "a", BOB: "a", EVE: "a"}) as (live_gallery, ids):
        train_on(tmp_path / "m", {ids[BOB]: ADA, ids[EVE]: EVE})  # it was taught that Ada is Bob
        (told,) = await named(live_gallery, tmp_path / "m", "both", ADA)
        (verdict,) = await live_gallery.identify([track(ADA)], "both")

        assert told == ("ambiguous", None)
        assert verdict.confidence is None


@pytest.mark.parametrize("names", ["classifier", "both"])
async def test_a_name_that_it_does_not_give_itself_is_overruled(tmp_path, monkeypatch, names):
    """Where its own word is another's than the nearest class mean's, by however much."""
    async with live_gallery_of(tmp_path, {ADA: "a", BOB: "a"}) as (live_gallery, ids):
        train_on(tmp_path / "m", {ids[ADA]: ADA, ids[BOB]: BOB})
        assert await named(live_gallery, tmp_path / "m", names, ADA) == [("known", ids[ADA])]
        classifier = live_gallery.classifier.named.classifier
        other = classifier.person_ids.index(ids[BOB])
        monkeypatch.setattr(type(classifier.fitted), "best", lambda self, faces: np.full(len(faces), other))
        (verdict,) = await live_gallery.identify([track(ADA)], names)

    assert (verdict.match.outcome, verdict.match.is_overruled) == ("ambiguous", True)
    assert [one.person_id for one in verdict.match.candidates] == [ids[ADA], ids[BOB]]


@pytest.mark.parametrize("names", ["classifier", "both"])
@pytest.mark.parametrize("dim", [32, 256, 513])
async def test_one_of_faces_of_another_size_is_not_asked(tmp_path, names, dim):
    """The model of the space is another one now, which gives more numbers, or fewer."""
    async with live_gallery_of(tmp_path, {ADA: "a", BOB: "a"}) as (live_gallery, ids):
        train_on(tmp_path / "m", {ids[ADA]: ADA, ids[BOB]: BOB}, dim=dim)
        expected = UNKNOWN if names == "classifier" else ("known", ids[ADA])
        assert await named(live_gallery, tmp_path / "m", names, ADA) == [expected]


@pytest.mark.parametrize("names", ["classifier", "both"])
async def test_a_class_is_who_is_called_so_elsewhere_and_else_nobody(tmp_path, names):
    async with live_gallery_of(tmp_path, {ADA: "a", BOB: "a"}) as (live_gallery, ids):
        train_on(tmp_path / "m", {"1701": ADA, "1702": EVE})
        assert await named(live_gallery, tmp_path / "m", "classifier", ADA, EVE) == [UNKNOWN, UNKNOWN]
        with open_store(tmp_path / "gallery.db") as store:
            store.change(ids[ADA], lambda profile: replace(profile, external_id="1701"))
        await live_gallery.refresh()

        told = await named(live_gallery, tmp_path / "m", names, ADA, EVE)
        assert told == [("known", ids[ADA]), UNKNOWN]


@pytest.mark.parametrize("names", ["classifier", "both"])
async def test_a_persons_own_threshold_holds(tmp_path, names):
    async with live_gallery_of(tmp_path, {ADA: "a", BOB: "a"}) as (live_gallery, ids):
        train_on(tmp_path / "m", {ids[ADA]: ADA, ids[BOB]: BOB})
        with open_store(tmp_path / "gallery.db") as store:
            store.change(ids[ADA], lambda profile: replace(profile, threshold=OwnThreshold("a.1", 0.97)))
        await live_gallery.refresh()

        assert await named(live_gallery, tmp_path / "m", names, ADA, BOB) == [UNKNOWN, ("known", ids[BOB])]


async def test_without_a_classifier_it_names_nobody_and_beside_it_the_gallery_does(tmp_path):
    async with live_gallery_of(tmp_path, {ADA: "a", BOB: "a"}) as (live_gallery, ids):
        assert await named(live_gallery, tmp_path / "none", "classifier", ADA) == [UNKNOWN]
        assert await named(live_gallery, tmp_path / "none", "both", ADA) == [("known", ids[ADA])]
        assert isinstance(live_gallery.classifier.trouble, ClassifierMissing)


async def test_faces_of_another_space_are_not_for_it(tmp_path):
    async with live_gallery_of(tmp_path, {ADA: "a", BOB: "a"}) as (live_gallery, ids):
        train_on(tmp_path / "m", {ids[ADA]: ADA, ids[BOB]: BOB}, model="b")

        assert await named(live_gallery, tmp_path / "m", "classifier", ADA) == [UNKNOWN]
        assert await named(live_gallery, tmp_path / "m", "both", ADA) == [("known", ids[ADA])]


async def test_a_new_one_is_taken_and_everybody_judged_again(tmp_path):
    async with live_gallery_of(tmp_path, {ADA: "a", BOB: "a", EVE: "a"}) as (live_gallery, ids):
        train_on(tmp_path / "m", {ids[ADA]: ADA, ids[BOB]: BOB})
        assert await named(live_gallery, tmp_path / "m", "classifier", EVE) == [UNKNOWN]
        generation = live_gallery.generation
        await live_gallery.classifier.look()
        assert live_gallery.generation == generation, "it is the same"
        train_on(tmp_path / "m", {ids[ADA]: ADA, ids[EVE]: EVE}, run="2")

        assert await named(live_gallery, tmp_path / "m", "classifier", EVE, BOB) == [("known", ids[EVE]), UNKNOWN]
        assert live_gallery.generation > generation


async def test_who_is_forgotten_ends_it(tmp_path):
    async with live_gallery_of(tmp_path, {ADA: "a", BOB: "a", EVE: "a"}) as (live_gallery, ids):
        train_on(tmp_path / "m", {ids[ADA]: ADA, ids[BOB]: BOB})
        assert await named(live_gallery, tmp_path / "m", "classifier", ADA) == [("known", ids[ADA])]
        with open_store(tmp_path / "gallery.db") as store:
            store.forget(ids[ADA])
        await live_gallery.refresh()

        assert live_gallery.classifier.named is None, "at once, before its folder is looked at"
        assert await named(live_gallery, tmp_path / "m", "classifier", ADA, BOB) == [UNKNOWN, UNKNOWN]
        assert isinstance(live_gallery.classifier.trouble, ClassifierStale)
        make_stale(tmp_path / "m")
        assert await named(live_gallery, tmp_path / "m", "classifier", BOB) == [UNKNOWN]
        train_on(tmp_path / "m", {ids[BOB]: BOB, ids[EVE]: EVE}, run="2")
        assert await named(live_gallery, tmp_path / "m", "classifier", BOB) == [("known", ids[BOB])]
