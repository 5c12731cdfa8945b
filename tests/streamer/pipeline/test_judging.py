"""What tracks are judged by: which of their faces, negatives, class means, and who is ignored."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gallery.people import NewNegative, NewTemplate
from recognition.arrays import F32
from streamer.pipeline.judging import voters
from streamer.pipeline.live_gallery import LiveGallery
from streamer.pipeline.tracking import KeptFace
from tests.galleries import open_store
from tests.gallery.fakes import near, photo_of
from tests.streamer.scripted import SIZES, embedding_by, live_gallery_of, unit

ADA, BOB, STRANGER, EVE = 1, 2, 3, 4


def faces(models: str, look: int = ADA, quality: float = 0.8) -> list[KeptFace]:
    """A track's kept faces of one look, one for each letter; a capital one is poor."""
    return [KeptFace(embedding_by(m.lower(), look), 0.1 if m.isupper() else quality, m.lower()) for m in models]


def track(*embeddings: F32) -> list[KeptFace]:
    return [KeptFace(embedding, 0.8, "a") for embedding in embeddings]


def negative(*embeddings: F32, source: str = "event 01JD") -> NewNegative:
    templates = tuple(NewTemplate("a.1", "d+a", one) for one in embeddings)
    return NewNegative(None, np.zeros((5, 2), np.float32), 0.8, source, templates)


async def outcomes(live_gallery: LiveGallery, *tracks: Sequence[KeptFace]) -> list[tuple[str, str | None]]:
    return [(one.match.outcome, one.match.person_id) for one in await live_gallery.identify(tracks)]


@pytest.mark.parametrize(
    ("kept", "serving", "judged_by"),
    [
        ("aa", "a", "aa"),
        ("aa", "b", "aa"),  # right after a switch
        ("aab", "b", "aa"),  # one face of the new model against two: the majority decides
        ("aabb", "b", "bb"),  # as many as of the other: the serving one's
        ("aabb", "a", "aa"),
        ("aabbb", "a", "bbb"),  # back again, and most is known by the model that was left
        ("aaBBBBB", "b", "aa"),  # poor faces outvote nobody
        ("AAb", "b", "b"),
        ("AABB", "b", "BB"),
        ("aabbb", "c", "bbb"),
        ("aaBB", "c", "aa"),
        ("", "a", ""),
    ],
)
def test_a_track_is_judged_by_the_model_of_most_of_its_good_faces(kept: str, serving: str, judged_by: str) -> None:
    chosen = voters(faces(kept), serving, min_quality=0.15)
    assert [face.model for face in chosen] == list(judged_by.lower())


def test_among_equals_that_do_not_serve_those_of_more_quality_are_judged() -> None:
    kept = faces("bb", quality=0.5) + faces("aa", quality=0.6)
    assert [face.model for face in voters(kept, "c", 0.15)] == ["a", "a"]


async def test_one_negative_takes_a_face_away_from_a_person_and_leaves_the_person(tmp_path: Path) -> None:
    ada, dim = unit(ADA, SIZES["a"]), SIZES["a"]
    look_alike = near(ada, 0.6, seed=5)
    again = [near(look_alike, 0.85, seed=n) for n in range(3)]
    own = [near(ada, 0.7, seed=100 + n) for n in range(3)]
    async with live_gallery_of(tmp_path, {ADA: "a", BOB: "a"}) as (live_gallery, ids):
        named = [("known", ids[ADA])] * 3
        assert await outcomes(live_gallery, track(look_alike), track(*again), track(*own)) == named
        with open_store(tmp_path / "gallery.db") as store:
            kept = store.add_negative(ids[ADA], negative(look_alike))
            store.add_negative(ids[BOB], negative(unit(77, dim)))
        await live_gallery.refresh()
        expected = [("unknown", None), ("unknown", None), ("known", ids[ADA])]
        assert await outcomes(live_gallery, track(look_alike), track(*again), track(*own)) == expected
        with open_store(tmp_path / "gallery.db") as store:
            assert store.remove_negative(ids[ADA], kept.id)
        await live_gallery.refresh()
        assert await outcomes(live_gallery, track(look_alike), track(*again), track(*own)) == named


async def test_who_is_not_one_of_two_alike_is_the_other(tmp_path: Path) -> None:
    dim = SIZES["a"]
    twin = near(unit(ADA, dim), 0.9, seed=7)
    async with live_gallery_of(tmp_path, {ADA: "a"}) as (live_gallery, ids):
        with open_store(tmp_path / "gallery.db") as store:
            other = store.add_person("Twin", [photo_of(twin, 900, "a.1")]).id
        await live_gallery.refresh()
        between = near((twin + unit(ADA, dim)) / np.linalg.norm(twin + unit(ADA, dim)), 0.9, seed=8)
        (doubt,) = await live_gallery.identify([track(between, between)])
        assert (doubt.match.outcome, doubt.match.person_id, doubt.confidence) == ("ambiguous", None, None)
        assert {one.person_id for one in doubt.match.candidates} == {ids[ADA], other}
        with open_store(tmp_path / "gallery.db") as store:
            store.add_negative(ids[ADA], negative(between))
        await live_gallery.refresh()
        assert await outcomes(live_gallery, track(between, between)) == [("known", other)]
        with open_store(tmp_path / "gallery.db") as store:
            store.forget(other)
        await live_gallery.refresh()
        assert await outcomes(live_gallery, track(between, between)) == [("unknown", None)]


@pytest.mark.parametrize("at", [[0], [0, 1, 2], [2]])
async def test_a_face_of_nothing_names_nobody_and_spoils_nobody(tmp_path: Path, at: list[int]) -> None:
    async with live_gallery_of(tmp_path, {ADA: "a", BOB: "a"}) as (live_gallery, ids):
        broken = [unit(ADA, SIZES["a"]) for _ in range(3)]
        for place in at:
            broken[place] = np.full(SIZES["a"], np.nan, np.float32)
        first, second = await live_gallery.identify([track(*broken), track(unit(BOB, SIZES["a"]))])
    assert second.match.person_id == ids[BOB]
    assert np.isfinite(first.match.similarity)
    assert first.match.person_id in (None, ids[ADA])
    if len(at) == 3:
        assert first.match.outcome == "unknown"


@pytest.mark.parametrize("ignored", [(ADA,), (ADA, BOB), ()])
async def test_everybody_ignored_is_known_and_marked(tmp_path: Path, ignored: tuple[int, ...]) -> None:
    async with live_gallery_of(tmp_path, {ADA: "a", BOB: "a"}) as (live_gallery, ids):
        with open_store(tmp_path / "gallery.db") as store:
            for look in ignored:
                store.change(ids[look], lambda profile: replace(profile, ignored=True))
        await live_gallery.refresh()
        verdicts = await live_gallery.identify([track(unit(look, SIZES["a"])) for look in (ADA, BOB, STRANGER)])
    assert [verdict.match.person_id for verdict in verdicts] == [ids[ADA], ids[BOB], None]
    assert [verdict.is_ignored for verdict in verdicts] == [ADA in ignored, BOB in ignored, False]


@pytest.mark.parametrize("count", [1, 5, 1000])
async def test_a_gallery_of_one_person_with_few_or_many_templates(tmp_path: Path, count: int) -> None:
    ada = unit(ADA, SIZES["a"])
    async with live_gallery_of(tmp_path, {ADA: "a"}) as (live_gallery, ids):
        photos = [photo_of(near(ada, 0.7, seed=n), n, "a.1") for n in range(count - 1)]
        with open_store(tmp_path / "gallery.db") as store:
            if photos:
                store.add_photos(ids[ADA], [replace(photo, chip=None) for photo in photos])
        await live_gallery.refresh()
        her, stranger = await live_gallery.identify([track(near(ada, 0.6, seed=5000)), track(unit(50, SIZES["a"]))])
    assert (her.match.outcome, her.match.person_id, her.match.margin) == ("known", ids[ADA], None)
    assert stranger.match.outcome == "unknown"
    assert her.match.similarity == pytest.approx(0.58, abs=0.03)


async def test_a_photo_that_is_left_out_of_the_mean_is_not_hers_any_more_than_its_face(tmp_path: Path) -> None:
    """Somebody else's photo among hers names neither that person nor her by it; her own go on naming her."""
    dim = SIZES["a"]
    ada, wrong = unit(ADA, dim), unit(60, dim)
    own = [near(ada, 0.8, seed=n) for n in range(4)]
    async with live_gallery_of(tmp_path, {ADA: "a"}) as (live_gallery, ids):
        with open_store(tmp_path / "gallery.db") as store:
            store.add_photos(ids[ADA], [photo_of(one, 700 + n, "a.1") for n, one in enumerate([*own, wrong])])
        await live_gallery.refresh()
        found = await outcomes(live_gallery, track(wrong), *(track(one) for one in own))
    assert found == [("unknown", None)] + [("known", ids[ADA])] * 4


@pytest.mark.parametrize("how", ["best", "mean_of_three", "class_mean"])
async def test_without_the_refuted_there_is_a_margin_still(tmp_path: Path, how: str) -> None:
    """Three people, of whom the nearest has many photos and is not it: the other two are equally near."""
    dim = SIZES["a"]
    face = unit(70, dim)
    overrides = [f"gallery.aggregation={how}", "gallery.top_k=3"]
    async with live_gallery_of(tmp_path, {ADA: "a"}, overrides=overrides) as (live_gallery, _):
        with open_store(tmp_path / "gallery.db") as store:
            photos = [photo_of(near(face, 0.9, seed=n), n, "a.1") for n in range(8)]
            nearest = store.add_person("Nearest", photos).id
            others = [
                store.add_person(f"Other {n}", [photo_of(near(face, 0.6, seed=90 + n), 90 + n, "a.1")]) for n in (1, 2)
            ]
            store.add_negative(nearest, negative(face))
        await live_gallery.refresh()
        (verdict,) = await live_gallery.identify([track(face)])
    assert verdict.match.outcome == "ambiguous"
    assert {one.person_id for one in verdict.match.candidates} == {one.id for one in others}
