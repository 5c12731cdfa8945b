"""Who is spared at the last moment."""

import time
from dataclasses import replace

import pytest

from gallery.people import Consent
from streamer.settings_reading import load
from streamer.upkeep import purge as purging
from tests.gallery.fakes import photo_of, unit
from tests.gallery.portable import portable_person
from tests.seeded import opened, seeded

NOW = time.time()
ADA, BOB, EVE = (
    replace(one, profile=replace(one.profile, consent=Consent("Ada", 1.7e9, "the door", NOW - 1.0)))
    for one in (portable_person(1, "Ada"), portable_person(2, "Bob"), portable_person(3, "Eve"))
)


def renew(store, person_id):
    store.change(person_id, lambda one: replace(one, consent=Consent("Ada", NOW, "the door", NOW + 1000.0)))


def take_back(store, person_id):
    store.change(person_id, lambda one: replace(one, consent=None))


def enrol_more(store, person_id):
    take_back(store, person_id)
    store.add_photos(person_id, [photo_of(unit(7), 7)])


@pytest.mark.parametrize(
    ("spare", "keep_days"), [(renew, None), (take_back, None), (enrol_more, 30)], ids=["renewed", "no end", "new photo"]
)
@pytest.mark.parametrize("left", [[BOB], []], ids=["one is erased", "nobody is"])
def test_whoever_is_given_more_time_meanwhile_is_spared(tmp_path, monkeypatch, spare, keep_days, left):
    home = seeded(tmp_path / "home", [ADA, *left])
    due = purging.due

    def overtaken(*arguments):
        found = due(*arguments)
        with opened(home) as store:
            spare(store, ADA.id)
        return found

    monkeypatch.setattr(purging, "due", overtaken)
    settings = load(home / "whosthere.yaml", overrides=[f"gallery.keep_days={keep_days or 'null'}"])
    done = purging.purge(settings, actor="grace", clock=lambda: NOW)
    assert [one.person_id for one in done.people] == [one.id for one in left]
    with opened(home) as store:
        assert [person.id for person in store.people()] == [ADA.id]
        assert (store.forgotten(), store.unfinished()) == ({one.id for one in left}, frozenset())
        told = [entry.details for entry in store.audit_entries() if entry.action == "forgotten"]
    assert told == [{"why": "consent_expired"} for _ in left]
