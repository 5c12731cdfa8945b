"""Who is forgotten is nowhere: not in the gallery, its log, a backup, kept visits, the outbox, or at the broker.

Each step of the erasure is needed: without any one of them something is found.
"""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gallery.classifier.folder import CLASSIFIER, FILES, METRICS, PEOPLE
from gallery.keys.encryption import SealBroken
from recognition.errors import SpecInvalid
from streamer.erasure.erase import erase
from streamer.erasure.report import Report, StepTaken
from streamer.erasure.steps import STEPS
from streamer.naming.places import places_that_know
from streamer.process import only_one, store_of
from tests.live.mosquitto import Mosquitto
from tests.streamer.erasure.house import NAMES, House, leave_deleted

pytestmark = pytest.mark.live


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    folder = tmp_path / "mosquitto"
    folder.mkdir()
    with Mosquitto(folder) as running:
        yield running


@pytest.fixture(params=[True, False], ids=["encrypted", "plain"])
def house(request: pytest.FixtureRequest, tmp_path: Path, broker: Mosquitto) -> House:
    return House(tmp_path, broker.port, encryption=request.param)


def assert_proven(house: House, without: str = "") -> Report:
    """Ada forgotten while others have the gallery open, one of whom reads it; by all steps, or all but one."""
    secrets, of_bob = house.secrets("ada"), house.secrets("bob")
    leave_deleted(house.settings.gallery_path, "people", "profile")
    copy = house.data / "notes" / "copied.txt"
    copy.parent.mkdir()
    copy.write_text(f"seen: {house.ids['ada']}")
    there = house.remains("ada", secrets)
    if not house.encrypted:
        assert {f"{what} in gallery.db" for what in ("name", "template")} <= set(there)
    assert "id in outbox.db" in there
    with (
        closing(sqlite3.connect(house.settings.gallery_path)) as served,
        closing(sqlite3.connect(house.settings.gallery_path, isolation_level=None)) as reader,
    ):
        served.execute("SELECT count(*) FROM people").fetchall()
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM people").fetchall()

        def release(step: StepTaken) -> None:
            if step.name in ("outbox", "topics") and reader.in_transaction:
                reader.execute("ROLLBACK")

        steps = [step for step in STEPS if step.name != without]
        report = erase([house.ids["ada"]], house.settings, actor="grace", told=release, steps=steps)
        if reader.in_transaction:
            reader.execute("ROLLBACK")
        left = house.remains("ada", secrets)
        if left != ["id in copied.txt"]:
            raise AssertionError("; ".join(left))
    told = [(left.where, left.by) for left in report.left]
    assert told == [("notes/copied.txt", "you")]
    assert house.secrets("bob") == of_bob, "Bob is as he was"
    return report


def test_nothing_is_left_of_who_is_forgotten(house):
    report = assert_proven(house)
    steps = ["keys", "visits", "outbox", "topics", "classifiers", "files", "search"]
    assert [step.name for step in report.steps] == steps
    done = {step.name: step.outcome.done for step in report.steps}
    word = "keys destroyed" if house.encrypted else "erased (the gallery is not encrypted)"
    assert done["keys"] == (
        f"1 person: {word}, 2 photos and 2 templates deleted, 1 negative too; 2 negatives of others showed them, or "
        "were of their visits: gone; somebody reads the log that held them, emptied with the files"
    )
    assert done["visits"] == "3 kept visits erased"
    assert done["outbox"] == "2 waiting messages erased, last sightings too; written over in 1 file set aside"
    assert "nothing retained names them" in done["topics"]
    assert done["classifiers"] == "2 classifiers erased: train anew"
    with store_of(house.settings) as store:
        assert store.forgotten() == {house.ids["ada"]}
        assert [entry.action for entry in store.audit_entries(house.ids["ada"])][-1] == "forgotten"
        assert store.audit_entries(house.ids["ada"])[-1].actor == "grace"
        assert [person.name for person in store.people()] == [NAMES["bob"]]
        assert [kept.source for kept in store.list_negatives(house.ids["bob"])] == ["event 31"]
    assert house.ids["bob"] in house.retained()
    assert NAMES["bob"] in house.retained()


FOUND_WITHOUT = {
    "keys": r"name(_tag)? in gallery\.db.*photos 1: chip in backup\.db.*id in table photos of gallery\.db",
    "visits": r"pictures 0: sealed in visits\.db.*id in visits\.db",
    "outbox": r"id in outbox\.db.*id in outbox\.db\.damaged",
    "topics": r"p\w+ retained; Ada Lovelace-Ünïque retained",
    "classifiers": r"template in classifier\.pkl.*id in person_id_mapping\.json; template in classifier\.pkl",
    "files": r"(profile|name) in gallery\.db",
    "search": r"assert \[\] == \[\('notes/copied\.txt', 'you'\)\]",
}


@pytest.mark.parametrize("step", [step.name for step in STEPS])
def test_without_any_one_step_something_is_found(house, step):
    with pytest.raises(AssertionError, match=FOUND_WITHOUT[step]):
        assert_proven(house, without=step)


@pytest.mark.parametrize("missing", [*FILES, "all but a draft", "of the whole run"])
def test_of_a_classifier_that_is_not_whole_nothing_is_left_either(tmp_path, broker, missing):
    """Somebody has deleted a file of it, or a training was killed."""
    house = House(tmp_path, broker.port)
    secrets = house.secrets("ada")
    for place in house.trained:
        if missing == "of the whole run":
            shutil.copytree(place, place / ".classifier-whole")
            (place / ".classifier-whole" / METRICS).unlink()
        elif missing in FILES:
            (place / missing).unlink()
        else:
            shutil.copytree(place, place / ".classifier-0123abcd.new")
            for name in FILES:
                (place / name).unlink()
    assert any("classifier.pkl" in one or "person_id" in one for one in house.remains("ada", secrets))
    report = erase([house.ids["ada"]], house.settings, actor="grace")
    assert report.left == ()
    assert house.remains("ada", secrets) == []
    assert not [left for place in house.trained for left in place.rglob("*") if left.name in (CLASSIFIER, PEOPLE)]


def test_where_classifiers_lie_and_can_not_be_read_is_told_and_the_next_one_erases_them(tmp_path, broker):
    house = House(tmp_path, broker.port)
    secrets, noted = house.secrets("ada"), house.settings.classifiers_path
    aside = noted.rename(tmp_path / "aside.json")
    noted.mkdir()
    report = erase([house.ids["ada"]], house.settings, actor="grace")
    assert [(left.where, left.by) for left in report.left] == [("classifiers.json", "purge")]
    assert {one for one in house.remains("ada", secrets) if "classifier" in one}
    assert places_that_know(house.settings, house.ids.values()) == []
    noted.rmdir()
    aside.rename(noted)
    assert places_that_know(house.settings, house.ids.values()) == [tmp_path / "elsewhere"]
    assert erase([house.ids["ada"]], house.settings, actor="grace").left == ()
    assert house.remains("ada", secrets) == []


def test_with_all_keys_from_before_nothing_that_is_left_opens(tmp_path, broker):
    house = House(tmp_path, broker.port)
    ada = house.ids["ada"]
    with closing(sqlite3.connect(house.settings.gallery_path)) as db:
        wrapped = db.execute("SELECT profile_key, template_key FROM people WHERE id = ?", (ada,)).fetchone()
    with store_of(house.settings) as store:
        vault = store._vault
        ciphers = vault.profile_cipher(ada, wrapped[0]), vault.template_cipher(ada, wrapped[1])
        places = opened_places(house, ciphers)
        assert places, "they open what there is"
    erase([ada], house.settings, actor="grace")
    assert opened_places(house, ciphers) == []


def opened_places(house: House, ciphers: tuple) -> list[str]:
    """The blobs of the gallery that one of these opens, at any place that was one of Ada's."""
    ada, opened = house.ids["ada"], []
    with closing(sqlite3.connect(house.settings.gallery_path)) as db:
        digests = [row[0] for row in db.execute("SELECT digest FROM photos")]
        spaces = [row[0] for row in db.execute("SELECT DISTINCT space FROM templates")]
        blobs = [row[0] for row in db.execute("SELECT profile FROM people UNION ALL SELECT chip FROM photos")]
        blobs += [
            row[0] for row in db.execute("SELECT landmarks FROM photos UNION ALL SELECT embedding FROM templates")
        ]
    places = [f"profile of {ada}", *(f"template of {ada} in {space}" for space in spaces)]
    places += [f"{what} of {ada}, photo {digest}" for what in ("chip", "landmarks") for digest in digests]
    for blob in blobs:
        for cipher in ciphers:
            for place in places:
                try:
                    cipher.open(blob, place)
                except SealBroken:
                    continue
                opened.append(place)
    return opened


def test_several_are_erased_at_once_and_once_more_finds_nothing_to_do(house):
    secrets = {nick: house.secrets(nick) for nick in NAMES}
    report = erase(house.ids.values(), house.settings, actor="grace")
    assert report.left == ()
    assert report.steps[0].outcome.done.startswith("2 people: ")
    for nick, sought in secrets.items():
        assert house.remains(nick, sought) == []
    again = erase(house.ids.values(), house.settings, actor="grace")
    assert again.left == ()
    assert again.steps[0].outcome.done.startswith("0 people: ")
    assert {report.document()["counts"]["visits"] > 0, again.document()["counts"]["visits"] == 0} == {True}
    assert again.document()["complete"] is True


def test_whoever_was_merged_into_who_is_forgotten_goes_by_that_id_too(house):
    secrets = house.secrets("ada")
    with store_of(house.settings) as store:
        store.merge(house.ids["ada"], house.ids["bob"], {})
    report = erase([house.ids["bob"]], house.settings, actor="grace")
    assert report.left == ()
    assert set(report.person_ids) == set(house.ids.values())
    assert {step.name: step.outcome.done for step in report.steps}["visits"] == "5 kept visits erased"
    assert house.remains("ada", secrets) == []
    with store_of(house.settings) as store:
        assert store.forgotten() == set(house.ids.values())
        assert store.unfinished() == frozenset()


def test_a_merged_person_whose_time_is_not_over_is_spared_by_every_id(house):
    with store_of(house.settings) as store:
        store.merge(house.ids["ada"], house.ids["bob"], {})
    bob = house.ids["bob"]
    report = erase([bob], house.settings, actor="purge", why={bob: "consent"}, is_over=lambda *_: False)
    assert report.person_ids == ()
    with store_of(house.settings) as store:
        assert (store.forgotten(), store.merged()) == (frozenset(), {house.ids["ada"]: bob})
    assert house.ids["ada"] in house.retained()


def test_without_the_models_specs_what_can_be_compared_goes(tmp_path, broker, monkeypatch):
    """A negative can be made anew; a face of somebody forgotten may not stay."""

    def refuse(_settings):
        raise SpecInvalid("spec broken.yaml: no YAML")

    monkeypatch.setattr("streamer.model_layer.setup.make_manager", refuse)
    house = House(tmp_path, broker.port)
    erase([house.ids["ada"]], house.settings, actor="grace")
    with store_of(house.settings) as store:
        assert store.list_negatives(house.ids["bob"]) == []


def test_a_broker_that_is_away_is_left_to_the_service(tmp_path, broker):
    house = House(tmp_path, broker.port)
    broker.stop()
    report = erase([house.ids["ada"]], house.settings, actor="grace")
    (left,) = report.left
    assert (left.where, left.by) == ("retained MQTT topics", "service")
    assert left.why.startswith("broker 127.0.0.1:")
    assert report.for_you == ()
    broker.start()


def test_a_service_that_does_not_answer_is_told_of_and_the_rest_is_done(tmp_path, broker, monkeypatch):
    """Its lock is held, and nobody does anything."""
    monkeypatch.setattr("streamer.erasure.steps.SERVICE_WITHIN_S", 0.1)
    house = House(tmp_path, broker.port)
    with only_one(house.data):
        report = erase([house.ids["ada"]], house.settings, actor="grace")
    where = {left.where: left.by for left in report.left}
    assert where["outbox.db"] == "service"
    assert where[f"whosthere/people/{house.ids['ada']}/present"] == "service"
    assert {left.by for left in report.left} == {"service"}
    with store_of(house.settings) as store:
        assert [person.name for person in store.people()] == [NAMES["bob"]]


def test_files_that_were_set_aside_and_hold_pictures_are_told_of(tmp_path, broker):
    house = House(tmp_path, broker.port)
    aside = house.data / "visits.db.damaged-20260101T000000Z"
    aside.write_bytes(house.settings.visits_path.read_bytes())
    report = erase([house.ids["ada"]], house.settings, actor="grace")
    (left,) = report.for_you
    assert left.where == aside.name
    assert "delete it" in left.why


def test_an_outbox_that_is_damaged_is_left_to_the_service_which_sets_it_aside(tmp_path, broker):
    house = House(tmp_path, broker.port)
    with house.settings.outbox_path.open("r+b") as file:
        file.seek(0)
        file.write(b"nothing of SQLite")
    report = erase([house.ids["ada"]], house.settings, actor="grace")
    assert {left.by for left in report.left} == {"service"}
    assert "outbox.db" in [left.where for left in report.left]
    assert "damaged" in str(report.left)
