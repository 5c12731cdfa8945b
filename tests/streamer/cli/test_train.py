"""`train` as a user has it: crops in a SQLite file, or a gallery -> a classifier that names people of a film."""

import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest

from gallery.classifier.folder import FILES, STALE
from gallery.people import Profile
from recognition.checks.portraits import Portrait
from streamer.events.outbox import Outbox
from streamer.ingest.source import open_source
from streamer.ingest.stream import StreamEnded
from streamer.model_layer.layer import open_models
from streamer.pipeline.camera import camera_path
from streamer.pipeline.camera_path import close_visits, run_camera
from streamer.pipeline.live_gallery import LiveGallery
from streamer.settings import CameraSettings, Names, Settings
from streamer.settings_reading import load
from streamer.telemetry.metrics import Metrics
from tests.command import assert_refused, patched, whosthere
from tests.faces import KNOWN, STRANGERS, head, write_film
from tests.galleries import open_store
from tests.gallery.fakes import near, photo_of, unit

FRIEND, STRANGER = STRANGERS[:2]
STABLE = ("classifier.pkl", "person_id_mapping.json", "embedding_config.json")


def crops(portrait: Portrait, count: int) -> list[np.ndarray]:
    """Heads, each a little brighter, larger or turned."""
    whole, found = head(portrait), []
    for number in range(count):
        turn = cv2.getRotationMatrix2D((128, 120), 3.0 * (number % 5 - 2), 1.0 + 0.04 * (number % 3))
        turned = cv2.warpAffine(whole, turn, (256, 256), borderMode=cv2.BORDER_REPLICATE)
        found.append(cv2.convertScaleAbs(turned[16:240, 40:216], alpha=1.0 + 0.05 * (number % 4), beta=2 * number))
    return found


def write_table(path: Path, people: dict[int, list[np.ndarray]]) -> Path:
    """JPEG and PNG in turn, and rubbish."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE face (face_crop_blob BLOB, person_id INTEGER, verified BOOLEAN)")
        for person_id, pictures in people.items():
            for number, picture in enumerate(pictures):
                encoded = cv2.imencode((".jpg", ".png")[number % 2], picture)[1]
                db.execute("INSERT INTO face VALUES (?, ?, 1)", (encoded.tobytes(), person_id))
        db.execute("INSERT INTO face VALUES (?, 1, 1)", (b"rubbish",))
        db.commit()
    return path


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "whosthere.yaml").write_text("mqtt: {port: 1}\n")
    return load(tmp_path / "whosthere.yaml", environ={})


async def seen(settings: Settings, film: Path, names: Names) -> list[str | None]:
    """Whom `new` events of a film name, in their order, as the service makes them."""
    due: list[Any] = []
    camera = CameraSettings(url=str(film), fps=10.0, pace="fastest", names=names)
    settings, metrics = settings.model_copy(update={"cameras": {"door": camera}}), Metrics()

    class Told:
        put = staticmethod(due.append)

    async with (
        open_models(settings, metrics) as models,
        LiveGallery.open(settings, models.recogniser, metrics) as live_gallery,
    ):
        await models.attach(live_gallery, lambda _: None)
        live_gallery.classifier.is_wanted = True
        await live_gallery.classifier.look()
        path = camera_path("door", settings, models.recogniser, live_gallery, cast(Outbox, Told()), metrics)
        async with open_source("door", camera, camera.url) as source:
            with pytest.raises(StreamEnded):
                await run_camera(source.take, path)
        close_visits(path, "ended")
    return [one.event.person and one.event.person.id for one in due if one.event.type == "new"]


async def test_a_table_becomes_a_classifier_that_names_people_of_a_film(tmp_path, settings):
    film = write_film(tmp_path / "film.mp4", ((KNOWN, FRIEND, STRANGER), 2))
    table = write_table(tmp_path / "faces.db", {1: crops(KNOWN, 6), 2: crops(FRIEND, 3)})
    settings.paths.data.mkdir(mode=0o700)
    with open_store(settings.gallery_path) as store:
        ids = [store.add_person(Profile(name, external_id=own)).id for name, own in (("Eileen", "1"), ("Grace", "2"))]
    ran = whosthere("train", "--source", str(table), "--json", cwd=tmp_path)

    assert ran.code == 0, ran.err
    told = ran.document
    assert (told["people"], told["not_enrolled"], told["accuracy"], told["samples"]["kept"]) == (2, 0, 1.0, 9)
    assert "nobody in the gallery" not in ran.err
    assert told["samples"]["skipped"] == {"corrupt": 1}
    assert "is corrupt and skipped" in ran.err
    assert "Warning" not in ran.err
    assert {file.name for file in (tmp_path / "model").iterdir()} == set(FILES)
    named = await seen(settings, film, "classifier")
    assert sorted(named, key=str) == sorted([*ids, None], key=str)
    assert await seen(settings, film, "gallery") == [None] * 3, "nobody has a template"


async def test_the_gallery_becomes_one_and_two_runs_give_the_same_bytes(tmp_path, settings):
    film = write_film(tmp_path / "film.mp4", ((KNOWN, FRIEND, STRANGER), 2))
    for name, portrait in (("Eileen", KNOWN), ("Grace", FRIEND)):
        photos = []
        for number, picture in enumerate(crops(portrait, 3)):
            photos.append(str(tmp_path / f"{name}{number}.png"))
            cv2.imwrite(photos[-1], cv2.copyMakeBorder(picture, 60, 60, 60, 60, cv2.BORDER_REPLICATE))
        enrolled = whosthere("enrol", name, *photos, cwd=tmp_path)
        assert enrolled.code == 0, enrolled.err
    for out in ("one", "two"):
        ran = whosthere("train", "--out", str(tmp_path / out), cwd=tmp_path)
        assert ran.code == 0, ran.err
    for name in FILES:
        same = (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
        assert same == (name in STABLE), name
    with open_store(settings.gallery_path) as store:
        ids = {person.name: person.id for person in store.people()}
    settings = settings.model_copy(update={"paths": settings.paths.model_copy(update={"classifier": tmp_path / "one"})})
    for names in ("classifier", "both"):
        named = await seen(settings, film, names)
        assert sorted(named, key=str) == sorted([*ids.values(), None], key=str)

    ran = whosthere("people", "forget", "Grace", "--yes", cwd=tmp_path)
    assert "2 classifiers erased" in ran.everything
    for out in ("one", "two"):
        assert not (tmp_path / out / "classifier.pkl").exists()
    assert await seen(settings, film, "classifier") == [None] * 3
    assert (await seen(settings, film, "both")).count(None) == 2, "the gallery names on"


def test_people_of_another_system_whom_nobody_is_in_the_gallery_are_told(tmp_path, settings):
    table = write_table(tmp_path / "faces.db", {1: crops(KNOWN, 2), 2: crops(FRIEND, 2)})
    settings.paths.data.mkdir(mode=0o700)
    for strange, external_id in ((2, None), (1, "2"), (0, "1")):
        if external_id is not None:
            with open_store(settings.gallery_path) as store:
                store.add_person(Profile(f"Person {external_id}", external_id=external_id))
        ran = whosthere("train", "--source", str(table), "--out", str(tmp_path / "other"), cwd=tmp_path)
        assert ran.code == 0, ran.err
        told = f"warning: {strange} of these 2 people are nobody in the gallery, and are not named"
        assert (told in ran.err) is (strange > 0)
        assert ran.out.splitlines()[-1].endswith(f"and `paths.classifier: {tmp_path / 'other'}`")


def test_identify_asks_whom_it_is_told_to(tmp_path, settings):
    cv2.imwrite(str(tmp_path / "a.png"), head(KNOWN))
    ran = whosthere("identify", str(tmp_path / "a.png"), "--names", "classifier", cwd=tmp_path)

    assert ran.code == 1
    assert ran.err.count("run: whosthere train") == 1, "said once"
    assert "run: whosthere train [classifier_missing]" in ran.err


@pytest.mark.thorough
def test_the_embedder_may_be_another_one(tmp_path, settings):
    table = write_table(tmp_path / "faces.db", {1: crops(KNOWN, 2), 2: crops(FRIEND, 2)})
    for name, code in (("facenet_vggface2", "weights_missing"), ("nano_emed", "model_not_found")):
        ran = whosthere("train", "--source", str(table), "--embedder", name, cwd=tmp_path)
        assert ran.code == 1
        assert f"[{code}]" in ran.err
        assert not (tmp_path / "model").exists(), "nothing is half written"


def _with(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()


BAD = {
    "missing.db": ("training_source_unusable", "is no file"),
    "text.db": ("training_source_unusable", "can't be read as SQLite"),
    "other.db": ("training_source_unusable", "has no table `face`"),
    "columns.db": ("training_source_unusable", "has no person_id"),
    "view.db": ("training_source_unusable", "has a view `face`"),
    "gallery": ("training_impossible", "nobody is enrolled"),
    "one.db": ("training_impossible", "0 of 1 people have two usable verified faces"),
    "nobody.db": ("training_impossible", "0 of 0 people"),
    "rubbish.db": (
        "training_impossible",
        "0 of 0 people have two usable verified faces or more; a classifier tells two "
        "people apart at least: give more photos (1 corrupt of 1 rows were skipped)",
    ),
}


@pytest.mark.parametrize("source", BAD)
def test_a_source_that_gives_no_classifier_is_told_in_a_line(tmp_path, settings, source):
    (tmp_path / "text.db").write_text("This is no database.\n" * 100)
    _with(tmp_path / "other.db", "CREATE TABLE faces (face_crop_blob, person_id)")
    _with(tmp_path / "columns.db", "CREATE TABLE face (face_crop_blob, person)")
    _with(tmp_path / "view.db", "CREATE VIEW face AS SELECT 1 AS face_crop_blob, 1 AS person_id")
    _with(tmp_path / "nobody.db", "CREATE TABLE face (face_crop_blob, person_id)")
    write_table(tmp_path / "one.db", {7: crops(KNOWN, 1)})
    write_table(tmp_path / "rubbish.db", {})
    code, line = BAD[source]
    ended = whosthere("train", "--source", source, cwd=tmp_path)
    told = assert_refused(replace(ended, err=re.sub("^faces: .*\n", "", ended.err, flags=re.MULTILINE)), code)

    assert line in told
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("when", ["before", "after"])
def test_who_is_forgotten_while_it_is_written_is_not_left_in_it(tmp_path, settings, when):
    """The erasure may have looked into the folder already, and found nothing there."""
    with open_store(settings.gallery_path) as store:
        ids = []
        for look in (1, 2, 3):
            faces = [near(unit(look, 256), 0.8, number) for number in range(3)]
            photos = [photo_of(face, 10 * look + n, "nano_embed.2") for n, face in enumerate(faces)]
            ids.append(store.add_person(f"Person {look}", photos).id)
    patch = f"""
import streamer.cli.train as command
whole = command.write
def write(folder, files):
    steps = [lambda: whole(folder, files), forget]
    for step in reversed(steps) if {when == "before"} else steps:
        step()
def forget():
    with command.open_gallery(command.settings_of(None, None)) as store:
        store.forget({ids[1]!r})
command.write = write
"""
    assert_refused(patched(patch, "train", cwd=tmp_path), "classifier_stale")
    left = [path.name for path in settings.paths.classifier.iterdir()]
    assert STALE in left
    assert not {"classifier.pkl", "person_id_mapping.json"} & set(left)


def test_without_scikit_learn_it_says_what_to_install(tmp_path, settings):
    hidden = (
        "import importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda name, *more: None if name == 'sklearn' else real(name, *more)"
    )
    told = assert_refused(patched(hidden, "train", cwd=tmp_path), "classifier_unavailable")

    assert "pip install 'whosthere[classifier]'" in told
