"""Who can be named, by which embedder's faces; nothing crosses the spaces of two."""

import asyncio
import logging
import shutil
import sqlite3
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gallery.errors import GalleryMissing, GalleryUnreadable, MasterKeyWrong
from gallery.people import OwnThreshold
from gallery.storage.store import PersonStore
from recognition.errors import EmbeddingSpaceMismatch
from recognition.recogniser import RecogniserConfig, open_recogniser
from streamer.events.event import IdentityEvent, LatencyMs
from streamer.pipeline.live_gallery import LiveGallery
from streamer.pipeline.match_policy import MatchPolicy
from streamer.pipeline.tracking import KeptFace, Track, Tracker, TrackingRules
from streamer.pipeline.visits import Moment, Verdict, Visits
from streamer.settings import EventsSettings
from streamer.settings_reading import load
from streamer.telemetry.metrics import Metrics
from tests.galleries import keys_of, open_store
from tests.gallery.fakes import near, negative_of, photo_of
from tests.streamer.scripted import (
    SIZE,
    SIZES,
    THRESHOLDS,
    Face,
    embedding_by,
    found,
    known,
    live_gallery_of,
    scripted_recogniser,
    unit,
)

ADA, BOB, STRANGER, EVE = 1, 2, 3, 4


def faces(models: str, look: int = ADA, quality: float = 0.8) -> list[KeptFace]:
    """A track's kept faces of one look, one for each letter; a capital one is poor."""
    return [KeptFace(embedding_by(m.lower(), look), 0.1 if m.isupper() else quality, m.lower()) for m in models]


async def test_people_of_another_embedder_are_told_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = load(overrides=[f"paths.data={tmp_path}"])
    async with open_recogniser(RecogniserConfig("nano_det", "nano_embed", ())) as recogniser:
        embedding = np.eye(1, recogniser.embedder.spec.embedding_size, dtype=np.float32)[0]
        with open_store(settings.gallery_path) as store:
            store.add_person("Ada", [photo_of(embedding, space=recogniser.space)])
            store.add_person("Grace", [photo_of(embedding, space="another.1")])
        with caplog.at_level(logging.WARNING, logger="streamer.pipeline.live_gallery"):
            async with LiveGallery.open(settings, recogniser, Metrics()) as live_gallery:
                assert "1 of 2 people have no template for nano_embed" in caplog.text
                caplog.clear()
                with open_store(settings.gallery_path) as store:
                    store.add_person("Alan", [photo_of(embedding, space=recogniser.space)])
                await live_gallery.refresh()
                assert live_gallery.people == 3
                assert not caplog.text


@pytest.mark.parametrize("how", ["moved over it", "copied over it"])
async def test_another_gallery_gives_nobody_anothers_name(tmp_path, caplog, how):
    """The two galleries' templates have the same numbers."""
    settings = load(overrides=[f"paths.data={tmp_path / 'data'}"])
    other = tmp_path / "other" / "gallery.db"
    async with open_recogniser(RecogniserConfig("nano_det", "nano_embed", ())) as recogniser:
        ada, bob = np.eye(2, recogniser.embedder.spec.embedding_size, dtype=np.float32)
        ids = []
        for path, name, embedding in ((settings.gallery_path, "Ada", ada), (other, "Bob", bob)):
            path.parent.mkdir()
            with open_store(path, keys_of(settings.gallery_path)) as store:
                ids.append(store.add_person(name, [photo_of(embedding, space=recogniser.space)]).id)
        async with LiveGallery.open(settings, recogniser, Metrics()) as live_gallery:

            async def who(embedding: np.ndarray) -> str | None:
                (verdict,) = await live_gallery.identify([[KeptFace(embedding, 0.9, "nano_embed")] * 3])
                return verdict.match.person_id

            assert (await who(ada), await who(bob)) == (ids[0], None)
            if how == "moved over it":
                other.rename(settings.gallery_path)
            else:
                shutil.copyfile(other, settings.gallery_path)
            assert await live_gallery.refresh() == {ids[0]}
            assert (await who(ada), await who(bob)) == (None, ids[1])
            assert live_gallery.trouble == ""
            (line,) = [record for record in caplog.records if getattr(record, "code", "") == "gallery_replaced"]
            assert line.message == f"gallery {settings.gallery_path} was replaced; 1 people are in it"
            for file in settings.gallery_path.parent.glob("gallery.db*"):
                file.unlink()
            with pytest.raises(GalleryMissing):
                await live_gallery.refresh()
            assert live_gallery.trouble.endswith("without anybody; 1 people are served from memory")
            assert (await who(ada), await who(bob)) == (None, ids[1])


@pytest.mark.parametrize("fails", [0, 1, 2])
async def test_another_gallerys_negatives_count_from_when_it_can_be_read(tmp_path, monkeypatch, fails):
    """They have the same numbers as those of before; so many times it can't be read at first."""
    path, other = tmp_path / "data" / "gallery.db", tmp_path / "other.db"
    async with live_gallery_of(tmp_path / "data", {ADA: "a", BOB: "a"}) as (live_gallery, ids):

        async def who() -> list[str | None]:
            verdicts = await live_gallery.identify([faces("aaa", look) for look in (ADA, BOB)])
            return [verdict.match.person_id for verdict in verdicts]

        with open_store(path) as store:
            store.write_copy(other)
            store.add_negative(ids[ADA], negative_of(unit(ADA, SIZES["a"]), space="a.1"))
        with open_store(other, keys_of(path)) as store:
            store.add_negative(ids[BOB], negative_of(unit(BOB, SIZES["a"]), space="a.1"))
        await live_gallery.refresh()
        assert await who() == [None, ids[BOB]]
        other.rename(path)
        whole, left = PersonStore.data_version, [GalleryUnreadable("not now")] * fails
        monkeypatch.setattr(PersonStore, "data_version", lambda self: raised(left) or whole(self))
        for _ in range(fails):
            with pytest.raises(GalleryUnreadable):
                await live_gallery.refresh()
        await live_gallery.refresh()
        assert await who() == [ids[ADA], None]


def raised(left: list[GalleryUnreadable]) -> None:
    if left:
        raise left.pop()


@pytest.mark.parametrize(
    ("table", "column"), [("people", "profile"), ("people", "profile_key"), ("templates", "embedding")]
)
async def test_who_does_not_open_is_left_out_and_said_and_all_others_are_followed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, table: str, column: str
) -> None:
    path = tmp_path / "data" / "gallery.db"
    async with live_gallery_of(tmp_path / "data", {ADA: "a", BOB: "a", EVE: "a"}) as (live_gallery, ids):
        with closing(sqlite3.connect(path)) as db, db:
            db.execute(
                f"UPDATE {table} SET {column} = substr({column}, 1, 20) || x'0000' || substr({column}, 23) "
                f"WHERE {'id' if table == 'people' else 'person_id'} = ?",
                (ids[ADA],),
            )
        with open_store(path) as store:
            store.forget(ids[BOB])
        gone = await live_gallery.refresh()
        assert gone - {ids[ADA]} == {ids[BOB]}
        verdicts = await live_gallery.identify([faces("aa", look) for look in (ADA, BOB, EVE)])
        assert [verdict.match.person_id for verdict in verdicts][1:] == [None, ids[EVE]]
        if column == "profile":  # what only its key opens was open before
            assert verdicts[0].match.person_id is None, "no name without a profile"
    settings = load(overrides=[f"paths.data={tmp_path / 'data'}"])
    caplog.clear()
    with ThreadPoolExecutor(2) as pool:
        async with LiveGallery.open(settings, scripted_recogniser(pool), Metrics()) as live_gallery:
            verdicts = await live_gallery.identify([faces("aa", look) for look in (ADA, BOB, EVE)])
            assert [verdict.match.person_id for verdict in verdicts] == [None, None, ids[EVE]]
            assert ids[ADA] in live_gallery.trouble
            (line,) = [one for one in caplog.records if getattr(one, "code", "") == "gallery_seal_broken"]
            assert (line.levelname, ids[ADA] in line.message) == ("ERROR", True)
            with open_store(path) as store:
                store.forget(ids[ADA])
            await live_gallery.refresh()
            assert live_gallery.trouble == ""


@pytest.mark.parametrize("how", ["written", "written over", "moved"])
async def test_a_gallery_that_goes_on_was_not_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Also where somebody is enrolled between two looks at the same file."""
    path = tmp_path / "data" / "gallery.db"
    async with live_gallery_of(tmp_path / "data", {ADA: "a"}) as (live_gallery, _):
        version = PersonStore.data_version
        written = False

        def enrolled_just_after(store: PersonStore) -> int:
            nonlocal written
            found = version(store)
            if not written:
                written = True
                with open_store(path) as other:
                    other.add_person("Eve")
                    other.checkpoint()
                if how != "written":
                    copy = path.with_name("copy.db")
                    shutil.copyfile(path, copy)
                    copy.rename(path) if how == "moved" else shutil.copyfile(copy, path)
            return found

        monkeypatch.setattr(PersonStore, "data_version", enrolled_just_after)
        for _ in range(3):
            await live_gallery.refresh()
        assert live_gallery.people == 2
    assert not [one for one in caplog.records if getattr(one, "code", "") == "gallery_replaced"]


async def test_a_gallery_under_another_key_is_not_served_and_said(tmp_path: Path) -> None:
    async with live_gallery_of(tmp_path / "data", {ADA: "a"}) as (live_gallery, ids):
        other = tmp_path / "other" / "gallery.db"
        with open_store(other) as store:
            store.add_person("Eve")
        other.rename(tmp_path / "data" / "gallery.db")
        for _ in range(2):
            with pytest.raises(MasterKeyWrong):
                await live_gallery.refresh()
        assert "is encrypted under" in live_gallery.trouble
        assert "1 people are served from memory" in live_gallery.trouble
        (verdict,) = await live_gallery.identify([faces("aa")])
        assert verdict.match.person_id == ids[ADA]


async def test_a_rekey_is_followed_while_it_serves(tmp_path: Path) -> None:
    path = tmp_path / "gallery.db"
    async with live_gallery_of(tmp_path, {ADA: "a", BOB: "a"}) as (live_gallery, ids):
        with open_store(path) as store:
            key = keys_of(path).begin_rotation(tmp_path)
            store.rekey(key)
            keys_of(path).end_rotation(key)
            assert store.vacuum()
            eve = store.add_person("Eve", [photo_of(unit(STRANGER, SIZES["a"]), 90, "a.1")]).id
            store.rename(ids[BOB], "Robert")
        await live_gallery.refresh()
        verdicts = await live_gallery.identify([faces("aa", look) for look in (ADA, BOB, STRANGER)])
        assert [verdict.match.person_id for verdict in verdicts] == [ids[ADA], ids[BOB], eve]
        assert live_gallery.name_of(ids[BOB]) == "Robert"
        assert live_gallery.trouble == ""


@pytest.mark.parametrize(
    ("own", "similar", "person"),
    [
        (None, 0.41, True),  # the threshold of a is 0.4
        (None, 0.39, False),
        (0.7, 0.69, False),
        (0.7, 0.71, True),
        (0.2, 0.21, True),
        (0.2, 0.19, False),
    ],
)
async def test_a_person_s_own_threshold_is_held_to(
    tmp_path: Path, own: float | None, similar: float, person: bool
) -> None:
    async with live_gallery_of(tmp_path, {ADA: "a"}) as (live_gallery, ids):
        with open_store(tmp_path / "gallery.db") as store:
            space = live_gallery._policies["a"].spaces[0].space
            threshold = None if own is None else OwnThreshold(space, own)
            store.change(ids[ADA], lambda who: replace(who, threshold=threshold))
        await live_gallery.refresh()
        probe = KeptFace(near(unit(ADA, SIZES["a"]), similar), 0.8, "a")
        (verdict,) = await live_gallery.identify([[probe]])
        assert verdict.match.person_id == (ids[ADA] if person else None)
        assert verdict.threshold == (0.4 if own is None else own)
        with open_store(tmp_path / "gallery.db") as store:
            store.change(ids[ADA], lambda who: replace(who, threshold=OwnThreshold("another.1", own or 0.9)))
        await live_gallery.refresh()
        (elsewhere,) = await live_gallery.identify([[probe]])
        assert elsewhere.threshold == 0.4, "cosines of another embedder are on another scale"


async def test_damage_is_told_in_the_background_with_the_way_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = load(overrides=[f"paths.data={tmp_path}"])
    async with live_gallery_of(tmp_path, {ADA: "a"}) as (live_gallery, ids):
        await live_gallery.check_file(settings)
        assert live_gallery.trouble == ""
        await live_gallery.refresh()
        content = bytearray(settings.gallery_path.read_bytes())
        with closing(sqlite3.connect(settings.gallery_path)) as db:
            (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'audit_by_person'").fetchone()
        content[4096 * (page - 1) : 4096 * page] = b"\xff" * 4096
        with settings.gallery_path.open("r+b") as file:  # the same file: nobody has put another in its place
            file.write(content)
        await live_gallery.check_file(settings)
        assert "is damaged" in live_gallery.trouble
        (line,) = [record for record in caplog.records if getattr(record, "code", "") == "gallery_unreadable"]
        assert "restore" in line.message
        (verdict,) = await live_gallery.identify([faces("aa")])
        assert verdict.match.person_id == ids[ADA]


@pytest.mark.parametrize("early", [False, True])
async def test_the_check_of_a_large_gallery_holds_up_no_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, early: bool
) -> None:
    settings = load(overrides=[f"paths.data={tmp_path}"])
    started = threading.Event()

    def endless(store: PersonStore) -> None:
        started.set()
        if early:
            store._interrupted.wait()
        store._rows("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n")

    monkeypatch.setattr(PersonStore, "check", endless)
    async with live_gallery_of(tmp_path, {ADA: "a"}) as (live_gallery, _), asyncio.timeout(20):
        checking = asyncio.create_task(live_gallery.check_file(settings), name="check")
        await asyncio.to_thread(started.wait)
        checking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await checking


async def test_the_faces_of_each_model_are_held_to_its_own_templates_and_threshold(tmp_path: Path) -> None:
    async with live_gallery_of(tmp_path, {ADA: "abc", BOB: "abc"}) as (live_gallery, ids):
        tracks = [faces("a" * 2, ADA), faces("b" * 2, BOB), faces("c" * 2, STRANGER), []]
        verdicts = await live_gallery.identify(tracks)
    assert [verdict.match.person_id for verdict in verdicts] == [ids[ADA], ids[BOB], None, None]
    assert [verdict.threshold for verdict in verdicts] == [0.4, 0.5, 0.6, 0.4]
    assert [verdict.models.embedder for verdict in verdicts] == ["a", "b", "c", "a"]
    assert [verdict.models.signature for verdict in verdicts] == ["d+a", "d+b", "d+c", "d+a"]
    assert [verdict.match.similarity for verdict in verdicts[:2]] == pytest.approx([1.0, 1.0])


async def test_the_index_itself_refuses_faces_of_another_space(tmp_path: Path) -> None:
    async with live_gallery_of(tmp_path, {ADA: "abc"}) as (live_gallery, _):
        live_gallery._indexes["a.1"], live_gallery._indexes["b.1"] = (
            live_gallery._indexes["b.1"],
            live_gallery._indexes["a.1"],
        )
        with pytest.raises(EmbeddingSpaceMismatch, match=r"probes are of space a\.1, the index is of b\.1"):
            await live_gallery.identify([faces("aa")])


async def test_two_sizes_in_one_space_are_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = load(overrides=[f"paths.data={tmp_path}"])
    async with live_gallery_of(tmp_path, {ADA: "a"}) as (live_gallery, ids):
        b = known(settings, "b")

        def in_space(space: str) -> MatchPolicy:
            return replace(b, spaces=(replace(b.spaces[0], space=space),))

        with pytest.raises(EmbeddingSpaceMismatch, match=r"model b: 256 numbers of space a\.1, where others have 512"):
            await live_gallery.add_embedder(in_space("a.1"))
        with open_store(settings.gallery_path) as store:
            eve = store.add_person("Eve", [photo_of(unit(5, 16), space="new.1")]).id
        assert live_gallery.trouble == ""
        await live_gallery.add_embedder(in_space("new.1"))
        assert f"256 numbers in new.1, and those of {eve} have not so many" in live_gallery.trouble
        assert [record.code for record in caplog.records if eve in record.getMessage()] == ["embedding_space_mismatch"]
        await live_gallery.refresh()
        with open_store(settings.gallery_path) as store:
            store.forget(eve)
        await live_gallery.refresh()
        assert live_gallery.trouble == ""
        verdicts = await live_gallery.identify([faces("aa")])
    assert verdicts[0].match.person_id == ids[ADA]


async def test_who_is_enrolled_later_is_found_in_every_known_space(tmp_path: Path) -> None:
    metrics = Metrics()
    async with live_gallery_of(tmp_path, {ADA: "ab"}, metrics) as (live_gallery, _):
        photos = [photo_of(unit(BOB, SIZES[m]), 90 + n, f"{m}.1") for n, m in enumerate("bc")]
        with open_store(tmp_path / "gallery.db") as store:
            bob = store.add_person("Bob", photos).id
        before = live_gallery.generation
        await live_gallery.refresh()
        verdicts = await live_gallery.identify([faces(m * 2, BOB) for m in "abc"])
    assert live_gallery.generation == before + 1
    assert [verdict.match.person_id for verdict in verdicts] == [None, bob, bob]
    counts = {m: metrics.registry.get_sample_value("whosthere_gallery_templates", {"model": m}) for m in "abc"}
    assert counts == {"a": 1, "b": 2, "c": 1}


async def test_who_is_merged_is_gone_by_the_id_and_enrolled_by_it_all_the_same(tmp_path: Path) -> None:
    """Nothing is told of the id any more, and what is kept of its visit is kept on."""
    async with live_gallery_of(tmp_path, {ADA: "ab", BOB: "ab"}, Metrics()) as (live_gallery, ids):
        with open_store(tmp_path / "gallery.db") as store:
            store.merge(ids[ADA], ids[BOB], {})
        assert await live_gallery.refresh() == {ids[ADA]}
        assert live_gallery.renamed == {ids[ADA]: ids[BOB]}
        assert (live_gallery.name_of(ids[ADA]), live_gallery.forgotten) == (None, frozenset())
        assert [live_gallery.is_enrolled(who) for who in (ids[ADA], ids[BOB], "p000000000000")] == [True, True, False]
        verdicts = await live_gallery.identify([faces("aa", ADA), faces("bb", BOB)])
        assert [verdict.match.best_person for verdict in verdicts] == [ids[BOB]] * 2
        with open_store(tmp_path / "gallery.db") as store:
            store.rename(ids[BOB], "Bob the Second")
        assert (await live_gallery.refresh(), live_gallery.renamed) == (set(), {ids[BOB]: ids[BOB]})
        with open_store(tmp_path / "gallery.db") as store:
            store.forget(ids[BOB])
        assert await live_gallery.refresh() == {ids[BOB]}
        assert live_gallery.renamed == {}
        assert live_gallery.forgotten == {ids[ADA], ids[BOB]}
        assert not live_gallery.is_enrolled(ids[ADA])


async def test_a_switch_says_whom_the_new_model_cannot_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with live_gallery_of(tmp_path, {ADA: "ab", BOB: "a", STRANGER: "b"}) as (live_gallery, _):
        generation = live_gallery.generation
        assert "1 of 3 people have no template for a" in caplog.text
        live_gallery.use_embedder("b")
        assert "1 of 3 people have no template for b" in caplog.text
        caplog.clear()
        live_gallery.use_embedder("b")
        assert not caplog.text
        assert live_gallery.serving == "b"
        assert live_gallery.generation == generation  # nothing that was said is wrong now
        with pytest.raises(ValueError, match="never_heard_of"):
            live_gallery.use_embedder("never_heard_of")


async def test_who_has_no_template_of_the_new_model_keeps_the_name_while_most_faces_are_of_the_old(
    tmp_path: Path,
) -> None:
    async with live_gallery_of(tmp_path, {ADA: "a"}) as (live_gallery, ids):
        live_gallery.use_embedder("b")
        verdicts = await live_gallery.identify([faces("aa"), faces("aab"), faces("aaBBB"), faces("aabb"), faces("bb")])
    assert [verdict.match.person_id for verdict in verdicts] == [ids[ADA]] * 3 + [None] * 2
    assert [verdict.models.embedder for verdict in verdicts] == ["a"] * 3 + ["b"] * 2


class Camera:
    """A tracker and visits that are fed one face a frame, embedded by whatever model is said; keeps what was told."""

    def __init__(self) -> None:
        self.tracker = Tracker("cam", TrackingRules(gone_after_s=1.0))
        self.visits = Visits("cam", EventsSettings(), 0.15)
        self.at_s = 0.0
        self.told: list[IdentityEvent] = []

    def see(self, look: int, model: str, quality: float, serving: str) -> list[Sequence[KeptFace]]:
        """One frame; the kept faces of the tracks that have something new to say."""
        self.at_s += 0.2
        seen = found(Face(x=100, look=look, quality=quality))
        sightings, gone = self.tracker.update(seen, SIZE, 1000.0 + self.at_s, self.at_s)
        for track in gone:
            self.close(track)
        worth = self.tracker.to_embed(sightings, seen, self.at_s, serving)
        self.changed = [self.tracker.embedded(s, embedding_by(model, look), model) for s in worth]
        return [track.kept for track in self.changed]

    def close(self, track: Track) -> None:
        self.told += [due.event for due in self.visits.close(track, "left")]

    def tell(self, verdicts: Sequence[Verdict]) -> list[tuple[Verdict, IdentityEvent]]:
        moment = Moment(1000.0 + self.at_s, self.at_s, *SIZE, LatencyMs(decode=0, queue=0, detect=0, embed=0, match=0))
        due = [
            (verdict, due.event)
            for track, verdict in zip(self.changed, verdicts, strict=True)
            for due in self.visits.consider(track, verdict, moment, track.box)
        ]
        self.told += [event for _, event in due]
        return due


STEPS = st.lists(
    st.tuples(
        st.sampled_from("abc"),  # what embeds: a frame that was under way at a switch may still come from another
        st.sampled_from("abc"),  # what serves
        st.sampled_from([ADA, BOB, STRANGER]),
        st.sampled_from([0.05, 0.3, 0.5, 0.8]),
    ),
    min_size=3,
    max_size=40,
)


async def test_no_verdict_and_no_event_ever_mixes_models(tmp_path: Path) -> None:
    templates = {ADA: "abc", BOB: "ab"}
    async with live_gallery_of(tmp_path, templates) as (live_gallery, ids):
        loop = asyncio.get_running_loop()

        def check(verdict: Verdict) -> None:
            model = verdict.models.embedder
            assert {face.model for face in verdict.faces} == {model}
            assert verdict.models.signature == f"d+{model}"
            assert verdict.threshold == THRESHOLDS[model]
            weights = np.array([face.quality for face in verdict.faces])
            votes = {
                ids[look]: float(
                    weights @ [face.embedding @ unit(look, SIZES[model]) for face in verdict.faces] / weights.sum()
                )
                for look, models in templates.items()
                if model in models
            }
            assert verdict.match.similarity == pytest.approx(max(votes.values()), abs=1e-5)
            assert votes[verdict.match.best_person or ""] == pytest.approx(max(votes.values()), abs=1e-5)

        @hypothesis_settings(deadline=None, max_examples=150)
        @given(STEPS)
        def holds(steps: list[tuple[str, str, int, float]]) -> None:
            camera = Camera()
            for model, serving, look, quality in steps:
                live_gallery.use_embedder(serving)
                kept = camera.see(look, model, quality, serving)
                verdicts = asyncio.run_coroutine_threadsafe(live_gallery.identify(kept), loop).result(timeout=30)
                for verdict in verdicts:
                    check(verdict)
                for verdict, event in camera.tell(verdicts):
                    assert event.model == verdict.models
                    assert event.similarity == pytest.approx(verdict.match.similarity, abs=1e-4)
                    assert event.threshold == verdict.threshold
            for track in camera.tracker.clear():
                camera.close(track)
            last: dict[str, IdentityEvent] = {}
            for event in camera.told:
                if event.type == "end":
                    before = last[event.event_id]
                    assert (event.model, event.similarity) == (before.model, before.similarity)
                last[event.event_id] = event

        await asyncio.to_thread(holds)
