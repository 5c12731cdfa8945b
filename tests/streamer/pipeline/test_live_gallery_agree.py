"""Ensembles whose members have to agree: nobody is named unless both name that person, each in its own space."""

import asyncio
import logging
import zipfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gallery.enrolment.enrol import Gate, Terms, enrol
from recognition.image import read_image
from recognition.recogniser import Recogniser
from recognition.specs.files import load_specs
from recognition.specs.spec import EmbedderSpec
from streamer.events.event import Due
from streamer.events.outbox import Outbox
from streamer.ingest.source import open_source
from streamer.ingest.stream import StreamEnded
from streamer.model_layer.layer import open_models
from streamer.model_layer.setup import make_manager, open_for_enrolment
from streamer.pipeline.camera import camera_path
from streamer.pipeline.camera_path import close_visits, run_camera
from streamer.pipeline.live_gallery import LiveGallery
from streamer.pipeline.match_policy import MatchPolicy, enrolling_threshold
from streamer.pipeline.tracking import KeptFace
from streamer.pipeline.visits import Verdict
from streamer.process import make_data_folder
from streamer.settings import CameraSettings, Settings
from streamer.settings_reading import load
from streamer.telemetry.metrics import Metrics
from tests.ensembles import Colour, coloured_faces, ensemble, tiny_model
from tests.faces import KNOWN, STRANGERS, write_film, write_photo
from tests.galleries import open_store
from tests.gallery.fakes import photo_of
from tests.streamer.scripted import embedding_by, known, live_gallery_of

ADA, BOB, STRANGER = 1, 2, 3
RED, BLUE, GREEN = (0, 0, 255), (255, 0, 0), (0, 255, 0)
GATE = Gate(min_face_px=48, min_quality=0.25)


# Scripted faces: what the members say alone is known from the same live gallery.


def pair_of(settings: Settings) -> MatchPolicy:
    """a and b of the scripted embedders, as one."""
    a, b = known(settings, "a"), known(settings, "b")
    models = a.models.model_copy(update={"embedder": "pair", "signature": "d+pair"})
    return MatchPolicy(models, (*a.spaces, *b.spaces))


@dataclass(frozen=True)
class Sight:
    """How one face looks to each of the two, and how near it is to that look's template."""

    looks: tuple[int, int]
    cosines: tuple[float, float]
    quality: float

    def by(self, model: str) -> KeptFace:
        """The face as a, b or both have it."""
        halves = [embedding_by(m, look, cosine) for m, look, cosine in zip("ab", self.looks, self.cosines, strict=True)]
        joined = np.concatenate(halves) / np.float32(np.sqrt(2))
        return KeptFace({"a": halves[0], "b": halves[1], "pair": joined}[model], self.quality, model)


LOOKS = st.sampled_from([ADA, ADA, BOB, STRANGER])
COSINES = st.floats(0.3, 0.99)
SIGHTS = st.lists(
    st.builds(Sight, st.tuples(LOOKS, LOOKS), st.tuples(COSINES, COSINES), st.floats(0.1, 1)), min_size=1, max_size=3
)


def is_close(verdict: Verdict) -> bool:
    """Whether a similarity that is a little other would be another verdict."""
    match = verdict.match
    assert match.margin is not None
    return min(abs(match.similarity - verdict.threshold), abs(match.margin - 0.05), match.margin) < 1e-4


async def test_nobody_is_named_unless_both_name_that_person(tmp_path: Path) -> None:
    async with live_gallery_of(tmp_path, {ADA: "ab", BOB: "ab", 7: "a", 8: "b"}) as (live_gallery, _):
        await live_gallery.add_embedder(pair_of(load(overrides=[f"paths.data={tmp_path}"])))
        loop = asyncio.get_running_loop()
        seen: set[tuple[str, bool]] = set()

        @hypothesis_settings(deadline=None, max_examples=200)
        @given(SIGHTS)
        def holds(sights: list[Sight]) -> None:
            tracks = [[sight.by(model) for sight in sights] for model in ("a", "b", "pair")]
            judged = asyncio.run_coroutine_threadsafe(live_gallery.identify(tracks), loop).result(timeout=30)
            first, second, both = judged
            # Halves were divided and multiplied by the root of two: what rounding decides is left out.
            assume(not any(is_close(one) for one in (first, second)))
            named = {first.match.person_id, second.match.person_id}
            assert both.match.person_id == (named.pop() if len(named) == 1 else None)
            assert (both.match.outcome == "known") == (both.match.person_id is not None)
            assert (both.models.embedder, both.models.signature) == ("pair", "d+pair")
            weakest = first if both.space == "a.1" else second
            assert (both.threshold, weakest.models.embedder) == (weakest.threshold, both.space[0])
            assert both.match.similarity == pytest.approx(weakest.match.similarity, abs=1e-5)
            assert both.match.margin == pytest.approx(weakest.match.margin, abs=1e-5)
            if both.match.outcome != "ambiguous":
                assert both.confidence == pytest.approx(weakest.confidence, abs=1e-3)
                assert weakest.match.similarity - weakest.threshold <= min(
                    one.match.similarity - one.threshold + 1e-5 for one in (first, second)
                )
            else:
                assert both.confidence is None
            bests = {first.match.best_person, second.match.best_person}
            assert both.match.best_person == (bests.pop() if len(bests) == 1 else None)
            seen.add((both.match.outcome, len({first.match.outcome, second.match.outcome}) == 1))

        await asyncio.to_thread(holds)
    # The search has met every kind, so that what holds does not hold for want of cases.
    assert {("known", True), ("unknown", True), ("unknown", False), ("ambiguous", True)} <= seen


async def test_a_track_of_nobody_s_faces_is_unknown(tmp_path: Path) -> None:
    async with live_gallery_of(tmp_path, {ADA: "ab"}) as (live_gallery, _):
        await live_gallery.add_embedder(pair_of(load(overrides=[f"paths.data={tmp_path}"])))
        live_gallery.use_embedder("pair")
        (verdict,) = await live_gallery.identify([[]])
    assert (verdict.match.outcome, verdict.models.embedder) == ("unknown", "pair")


async def test_who_lacks_a_template_for_one_of_them_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Metrics()
    async with live_gallery_of(tmp_path, {ADA: "a", BOB: "b", STRANGER: "ab", 4: "b"}, metrics) as (live_gallery, _):
        await live_gallery.add_embedder(pair_of(load(overrides=[f"paths.data={tmp_path}"])))
        with caplog.at_level(logging.WARNING, logger="streamer.pipeline.live_gallery"):
            live_gallery.use_embedder("pair")
    assert "3 of 4 people have no template for pair and can't be named" in caplog.text
    assert metrics.registry.get_sample_value("whosthere_gallery_templates", {"model": "pair"}) == 2


# Real networks of a few bytes, and a real gallery.


@asynccontextmanager
async def serving(folder: Path, embedder: str) -> AsyncIterator[tuple[Recogniser, LiveGallery]]:
    """Models and gallery of a service that has this embedder."""
    settings = settings_of(folder, embedder)
    make_data_folder(settings.paths.data)
    metrics = Metrics()
    async with (
        open_models(settings, metrics, make_manager(settings, portraits=False)) as models,
        LiveGallery.open(settings, models.recogniser, metrics) as live_gallery,
    ):
        await models.attach(live_gallery, lambda _: None)
        yield models.recogniser, live_gallery


def settings_of(folder: Path, embedder: str, *folders: Path, detector: str = "nano_det") -> Settings:
    """Those of a service with its data in this folder, and its weights in this one and the others."""
    models = ", ".join(f'"{each}"' for each in (folder, *folders))
    return load(
        overrides=[
            f"paths.models=[{models}]",
            f"paths.data={folder / 'var'}",
            f"recognition.detector={detector}",
            f"recognition.embedder={embedder}",
            "recognition.device=cpu",
            "recognition.runners=1",
        ]
    )


@pytest.mark.parametrize(
    ("ada", "bob", "outcome", "told"),
    [
        ((RED, RED), (BLUE, BLUE), "known", (0.9, "one.1")),
        ((RED, RED), (None, None), "known", (0.9, "one.1")),
        ((RED, BLUE), (BLUE, RED), "ambiguous", (0.9, "one.1")),  # the second one says that it is Bob
        ((RED, BLUE), (None, None), "unknown", (0.8, "two.1")),  # the second one knows nobody like this
        ((BLUE, RED), (GREEN, BLUE), "unknown", (0.9, "one.1")),
        ((RED, None), (BLUE, BLUE), "unknown", (0.8, "two.1")),
        ((RED, RED), (BLUE, RED), "ambiguous", (0.8, "two.1")),  # the second one can't tell them apart
    ],
)
async def test_two_networks_have_to_agree(
    tmp_path: Path,
    ada: tuple[Colour | None, Colour | None],
    bob: tuple[Colour | None, Colour | None],
    outcome: str,
    told: tuple[float, str],
) -> None:
    """A red face passes; each person is enrolled in each space by a face of some colour, or in one alone."""
    one = tiny_model(tmp_path, "one", dim=64, seed=1, threshold=0.9)
    two = tiny_model(tmp_path, "two", dim=48, seed=2, threshold=0.8)
    ensemble(tmp_path, "pair", [one, two])
    async with serving(tmp_path, "pair") as (recogniser, live_gallery):
        image, landmarks = coloured_faces(RED, GREEN, BLUE)
        looks = await recogniser.in_every_space(image, landmarks)
        with open_store(tmp_path / "var" / "gallery.db") as store:
            ids = {}
            for name, colours in (("Ada", ada), ("Bob", bob)):
                photos = [
                    photo_of(look.embeddings[(RED, GREEN, BLUE).index(colour)], 10 * len(ids) + number, look.space)
                    for number, (look, colour) in enumerate(zip(looks, colours, strict=True))
                    if colour is not None
                ]
                ids[name] = store.add_person(name, photos).id if photos else None
        await live_gallery.refresh()
        embedded = await recogniser.embed(image, landmarks[:1], "door")
        (verdict,) = await live_gallery.identify([[KeptFace(embedded.embeddings[0], 0.8, embedded.model)] * 2])
    assert verdict.match.outcome == outcome
    assert verdict.match.person_id == (ids["Ada"] if outcome == "known" else None)
    assert (verdict.threshold, verdict.space) == told
    assert verdict.confidence is None  # nobody measured these
    assert (verdict.models.embedder, verdict.models.signature) == ("pair", recogniser.signature)
    if outcome == "known":
        assert verdict.match.similarity == pytest.approx(1.0, abs=1e-5)


async def watch(settings: Settings, film: Path) -> list[Due]:
    """The events of a film, all frames of it, as the service makes them."""
    due: list[Due] = []
    camera = CameraSettings(url=str(film), fps=10.0, pace="fastest")
    settings, metrics = settings.model_copy(update={"cameras": {"door": camera}}), Metrics()

    class Told:
        put = staticmethod(due.append)

    async with (
        open_models(settings, metrics, make_manager(settings, portraits=False)) as models,
        LiveGallery.open(settings, models.recogniser, metrics) as live_gallery,
    ):
        await models.attach(live_gallery, lambda _: None)
        path = camera_path("door", settings, models.recogniser, live_gallery, cast(Outbox, Told()), metrics)
        async with open_source("door", camera, camera.url) as source:
            with pytest.raises(StreamEnded):
                await run_camera(source.take, path)
        close_visits(path, "ended")
    return due


async def test_from_photos_to_events_with_a_second_network_that_can_tell_nobody_apart(tmp_path: Path) -> None:
    """Alone our own embedder names both. With one beside it for which all faces are one, a name is given as long as
    there is one person whom it could be; with two nobody is."""
    nano = cast(EmbedderSpec, load_specs()["nano_embed"])
    flat = tiny_model(tmp_path, "flat", dim=32, seed=3, threshold=0.5, fill=30.0)
    ensemble(tmp_path, "pair", [nano, flat])
    friend, stranger = STRANGERS[:2]
    film = write_film(tmp_path / "film.mp4", ((KNOWN, friend, stranger), 2))
    settings = settings_of(tmp_path, "pair")
    names: dict[str, str] = {}

    async def enrolled(name: str, photo: Path) -> None:
        with open_store(settings.gallery_path) as store:
            async with open_for_enrolment(settings, make_manager(settings, portraits=False)) as recogniser:
                threshold = enrolling_threshold(settings, recogniser)
                report = await enrol(name, [photo], recogniser, store, Terms(GATE, threshold))
            assert dict(report.person.templates) == {"nano_embed.2": 1, "flat.1": 1}
            names[report.person.id] = name

    async def seen(embedder: str) -> list[str | None]:
        new = [d.event for d in await watch(settings_of(tmp_path, embedder), film) if d.event.type == "new"]
        assert {event.model.embedder for event in new} == {embedder}
        assert len(new) == 3
        return sorted((names[event.person.id] for event in new if event.person), key=str)

    make_data_folder(settings.paths.data)
    await enrolled("Eileen", write_photo(tmp_path / "eileen.png", KNOWN))
    assert await seen("nano_embed") == ["Eileen"]
    assert await seen("pair") == ["Eileen"]
    assert await seen("flat") == ["Eileen"] * 3
    await enrolled("Grace", write_photo(tmp_path / "grace.png", friend))
    assert await seen("nano_embed") == ["Eileen", "Grace"]
    assert await seen("pair") == []


# Larger models and other people's faces.

MOYA, GUL, BOLTON = "Carlos_Moya", "Abdullah_Gul", "John_Bolton"
MIDDLE_PX = 125  # where LFW has the face that a photo is of


def photos_of(shared: Path, folder: Path, *people: str) -> dict[str, list[Path]]:
    """Six photos of each."""
    with zipfile.ZipFile(shared / "faces" / "lfw_dev.zip") as archive:
        archive.extractall(folder, [n for n in sorted(archive.namelist()) if n.split("/")[0] in people])
    return {person: sorted((folder / person).glob("*.jpg"))[:6] for person in people}


async def passes(photos: Sequence[Path], recogniser: Recogniser) -> list[KeptFace]:
    """A track of these photos."""
    kept = []
    for photo in photos:
        image = read_image(photo)
        found = await recogniser.detect(image, "photo")
        middle = int(np.abs(found.detections.boxes[:, [0, 2]].mean(axis=1) - MIDDLE_PX).argmin())
        embedded = await recogniser.embed(image, found.detections.landmarks[middle][None], "photo")
        kept.append(KeptFace(embedded.embeddings[0], float(found.quality.score[middle]), embedded.model))
    return kept


@pytest.mark.shared
async def test_two_real_models_agree_on_two_people_and_know_no_third(shared: Path, tmp_path: Path) -> None:
    photos = photos_of(shared, tmp_path / "faces", MOYA, GUL, BOLTON)
    specs = load_specs()
    members = [cast(EmbedderSpec, specs[name]) for name in ("arcface_w600k_mbf", "edgeface_xxs")]
    ensemble(tmp_path, "pair", members)
    settings = settings_of(tmp_path, "pair", shared / "models", detector="scrfd_500m")
    make_data_folder(settings.paths.data)
    metrics, ids = Metrics(), {}
    async with (
        open_models(settings, metrics, make_manager(settings, portraits=False)) as models,
        LiveGallery.open(settings, models.recogniser, metrics) as live_gallery,
    ):
        recogniser = models.recogniser
        with open_store(settings.gallery_path) as store:
            threshold = enrolling_threshold(settings, recogniser)
            assert threshold == members[0].identification_threshold
            for name in (MOYA, GUL):
                report = await enrol(name, photos[name][:3], recogniser, store, Terms(GATE, threshold, pick="largest"))
                assert dict(report.person.templates) == {spec.space: 3 for spec in members}
                ids[name] = report.person.id
        await live_gallery.refresh()
        tracks = {name: await passes(photos[name][3:], recogniser) for name in photos}
        verdicts: Mapping[str, Verdict] = dict(
            zip(tracks, await live_gallery.identify(list(tracks.values())), strict=True)
        )
        mixed = [
            replace(one, embedding=np.concatenate((one.embedding[:512], other.embedding[512:])))
            for one, other in zip(tracks[MOYA], tracks[GUL], strict=True)
        ]
        (two_people,) = await live_gallery.identify([mixed])
    assert {name: verdict.match.person_id for name, verdict in verdicts.items()} == {**ids, BOLTON: None}
    assert verdicts[BOLTON].match.outcome == "unknown"
    thresholds = {spec.space: spec.identification_threshold for spec in members}
    for verdict in verdicts.values():
        assert verdict.threshold == thresholds[verdict.space]
        assert verdict.confidence is not None
        assert verdict.confidence > 0.9
    assert (two_people.match.outcome, two_people.match.person_id, two_people.confidence) == ("ambiguous", None, None)
