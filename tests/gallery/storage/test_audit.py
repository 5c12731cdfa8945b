"""The audit log tells who did what, without a name; whatever is changed or cut out of it shows."""

import sqlite3
from pathlib import Path

import pytest

from gallery.keys.encryption import MasterKey
from gallery.people import Consent, OwnThreshold, Profile
from gallery.storage import audit
from gallery.storage.store import PersonStore
from tests.gallery.fakes import SPACE, photo_of, unit


@pytest.fixture
def busy(store: PersonStore) -> PersonStore:
    """A store in which a lot was done."""
    ada = store.add_person("Ada Lovelace", [photo_of(unit(1), 1)])
    store.add_photos(ada.id, [photo_of(unit(2), 2), photo_of(unit(1), 1)])
    store.rename(ada.id, "Ada Byron")
    store.change(
        ada.id, lambda who: Profile(who.name, "E-1", ("staff",), OwnThreshold(SPACE, 0.5), Consent("Ada", 1.0, "door"))
    )
    store.remove_photo(ada.id, 1)
    store.record("exported", ada.id, {"to": "a ZIP"})
    store.forget(ada.id)
    return store


def test_every_write_of_a_person_is_told_in_its_order(busy: PersonStore) -> None:
    entries = busy.audit_entries()
    assert [(entry.action, dict(entry.details)) for entry in entries] == [
        ("made", {"encrypted": busy.key_id is not None}),
        ("enrolled", {"photos": 1}),
        ("photos_added", {"photos": 1}),
        ("renamed", {"what": ["name"]}),
        ("changed", {"what": ["external_id", "tags", "threshold", "consent"]}),
        ("photo_removed", {"photo": 1}),
        ("exported", {"to": "a ZIP"}),
        ("forgotten", {}),
    ]
    assert [entry.id for entry in entries] == list(range(1, 9))
    assert {entry.actor for entry in entries} == {"the test"}
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
    assert [entry.person_id for entry in entries[1:]] == [entries[1].person_id] * 7
    assert busy.audit_entries(entries[1].person_id) == entries[1:]
    assert busy.audit_broken() is None
    assert not any(word in repr(entries) for word in ("Ada", "Byron", "E-1", "staff", "door"))


def test_what_fails_is_not_told(store: PersonStore) -> None:
    ada = store.add_person("Ada")
    before = store.audit_entries()
    for refused in (
        lambda: store.add_person("ada"),
        lambda: store.rename(ada.id, ""),
        lambda: store.remove_photo(ada.id, 7),
        lambda: store.change(ada.id, lambda who: Profile("Ada", threshold=OwnThreshold(SPACE, 3.0))),
    ):
        with pytest.raises(Exception, match=r"Ada|empty|photo|threshold"):
            refused()
    assert store.audit_entries() == before


def test_templates_that_the_service_makes_are_not_told(store: PersonStore) -> None:
    store.add_person("Ada", [photo_of(unit(1))])
    before = store.audit_entries()
    assert store.add_template(1, "other.1", "by", unit(1, 32), 0.5)
    assert store.audit_entries() == before


@pytest.mark.parametrize(
    "statement", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit", "DELETE FROM audit WHERE id = 3"]
)
def test_it_is_only_ever_added_to(busy: PersonStore, statement: str) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="only ever added to"):
        busy._db.execute(statement)
    assert busy.audit_broken() is None


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        ("UPDATE audit SET actor = 'somebody else' WHERE id = 4", 4),
        ("UPDATE audit SET person_id = 'p0' WHERE id = 2", 2),
        ("UPDATE audit SET details = '{}' WHERE id = 1", 1),
        ("UPDATE audit SET at = at + 0.001 WHERE id = 8", 8),
        ("DELETE FROM audit WHERE id = 1", 1),
        ("DELETE FROM audit WHERE id = 5", 5),
        ("DELETE FROM audit WHERE id > 6", 7),
        ("DELETE FROM audit", 1),
        ("DELETE FROM audit; DELETE FROM meta WHERE key = 'audit_head'", 1),
        ("DELETE FROM meta WHERE key = 'audit_head'", 9),
        ("UPDATE audit SET id = id + 20 WHERE id > 3", 4),
        ("INSERT INTO audit VALUES (9, 1.0, 'x', 'forgotten', NULL, '{}', '00')", 9),
    ],
)
def test_what_was_changed_past_us_shows(busy: PersonStore, statement: str, broken: int) -> None:
    for trigger in ("audit_is_not_changed", "audit_is_not_cut"):
        busy._db.execute(f"DROP TRIGGER {trigger}")
    busy._db.executescript(statement)
    assert busy.audit_broken() == broken


@pytest.mark.parametrize("writes", [1, 2, 5])
def test_what_is_written_while_the_log_is_verified_is_no_damage(
    busy: PersonStore, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    get_meta = audit.get_meta

    def meanwhile(db: sqlite3.Connection, key: str) -> str | None:
        """Between the rows and the head."""
        monkeypatch.setattr(audit, "get_meta", get_meta)
        with PersonStore(busy.path, busy._keys, encrypt=False) as other:
            for number in range(writes):
                other.record(f"step {number}")
        return get_meta(db, key)

    monkeypatch.setattr(audit, "get_meta", meanwhile)
    assert busy.audit_broken() is None
    assert audit.get_meta is get_meta
    assert busy.audit_broken() is None
    assert len(busy.audit_entries()) == 8 + writes


def test_it_goes_on_after_another_process_and_another_key(tmp_path: Path, store: PersonStore) -> None:
    store.add_person("Ada")
    if store.key_id is not None:
        store.rekey(MasterKey.new())
        assert dict(store.audit_entries()[-1].details).keys() == {"key", "former_key"}
    store.record("backed_up")
    assert store.audit_broken() is None


FORGED = (
    "DELETE FROM audit WHERE id > {last};"
    "UPDATE meta SET value = (SELECT hash FROM audit WHERE id = {last}) WHERE key = 'audit_head'"
)


@pytest.mark.parametrize("last", [1, 4, 7])
@pytest.mark.parametrize("more", ["", "; DELETE FROM meta WHERE key = 'audit_seal'"])
def test_a_tail_that_was_cut_with_its_head_shows_where_there_is_a_key(busy: PersonStore, last: int, more: str) -> None:
    """And goes on to show, whatever is written afterwards and under whatever key."""
    for trigger in ("audit_is_not_changed", "audit_is_not_cut"):
        busy._db.execute(f"DROP TRIGGER {trigger}")
    busy._db.executescript(FORGED.format(last=last) + more)
    is_plain = busy.key_id is None
    assert busy.audit_broken() == (None if is_plain else last + 1)
    busy.record("exported")
    assert busy.audit_broken() == (None if is_plain else last + 2)
    if not is_plain:
        busy.rekey(MasterKey.new())
        assert busy.audit_broken() == last + 3


@pytest.mark.parametrize("to", ["another key", "plain", "plain and back"])
def test_the_end_is_sealed_under_the_key_that_comes(busy: PersonStore, to: str) -> None:
    key = busy._keys.for_new_store(busy.path.parent) if busy._keys else None
    busy.rekey(MasterKey.new() if to == "another key" else None)
    if to == "plain and back":
        busy.rekey(key)
    assert busy.audit_broken() is None
    busy.record("exported")
    assert busy.audit_broken() is None
    assert bool(busy._rows("SELECT 1 FROM meta WHERE key = 'audit_seal'")) == (busy.key_id is not None)
