"""The file of kept visits: what is written comes back, is nowhere in clear, is purged and erased, changes its key."""

import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gallery.errors import MasterKeyMissing, MasterKeyWrong
from gallery.keys.encryption import MasterKey
from gallery.storage.schema import transaction
from streamer.errors import KeptVisitsDamaged, KeptVisitsMissing, KeptVisitsTooNew, KeptVisitsUnwritable, VisitNotFound
from streamer.kept_visits import visits_file, visits_schema
from streamer.kept_visits.visit import Said
from streamer.kept_visits.visits_file import VisitsFile
from streamer.kept_visits.visits_schema import VERSION, keep_key
from tests.small_disk import fill, small_disk
from tests.streamer.kept_visits.made import (
    ADA,
    BOB,
    EVE,
    LIMITS,
    NOW,
    change,
    event,
    everything_in,
    face,
    keys_in,
    visit_id,
)

DAY_S = 86_400.0


@pytest.fixture(params=[True, False], ids=["encrypted", "plain"])
def encrypt(request) -> bool:
    return request.param


@pytest.fixture
def file(tmp_path, encrypt):
    with service_file(tmp_path, encrypt) as opened:
        yield opened


def service_file(folder: Path, encrypt: bool = True) -> VisitsFile:
    file = VisitsFile(folder / "visits.db", keys_in(folder), make=True)
    file.unlock(encrypt=encrypt)
    return file


def as_command(folder: Path) -> VisitsFile:
    return VisitsFile(folder / "visits.db", keys_in(folder))


def ids_of(file: VisitsFile, **asked) -> list[str]:
    return [visit.event_id for visit in file.search(0.0, 1e12, **asked)]


def test_a_visit_comes_back_without_names(file, tmp_path):
    one = visit_id()
    told = event(one), event(one, 2, type="end", end_reason="left", at=NOW + 5)
    file.write([change(one, *told)])

    with as_command(tmp_path) as reader:
        (visit,) = reader.search(NOW - 60, NOW + 60)
        assert (visit.camera, visit.is_known, visit.people) == ("door", True, {ADA})
        assert (visit.began_at, visit.ended_at, visit.broken) == (NOW - 1, NOW + 5, 0)
        assert [message.person.id for message in visit.messages if message.person] == [ADA, ADA]
        assert [message.person.name for message in visit.messages if message.person] == [None, None]
        assert [(m.seq, m.type, m.captured_at) for m in visit.messages] == [(1, "new", NOW), (2, "end", NOW + 5)]
        assert reader.pictures(one).face == b"\xff\xd8 the face"
        assert reader.pictures(one).scene == b"\xff\xd8 the scene"
        first, second = reader.faces(one)
        assert (first.quality, first.space, first.signature) == (0.8, "e.1", "d+e")
        np.testing.assert_array_equal(second.embedding, face(2).embedding)
        ((again, other),) = reader.faces_of([one, visit_id()]).values()
        assert (again.quality, other.quality, other.signature) == (0.8, 0.5, "d+e")
        np.testing.assert_array_equal(other.embedding, second.embedding)
    assert (tmp_path / "visits.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("encrypt", [True], indirect=True)
def test_what_shows_somebody_is_nowhere_in_clear(file, tmp_path):
    one = visit_id()
    file.write([change(one)])
    found = everything_in(tmp_path)
    assert one.encode() in found, "the ids are what it is searched by"
    for shown in (b"the face", b"the scene", b"captured_at", face(1).embedding.tobytes()):
        assert shown not in found


def test_later_writes_add_to_a_visit_and_make_none(file):
    one, two = visit_id(), visit_id()
    file.write([change(one)])
    later = change(one, event(one, 2, BOB, previous_person=event(one).person), is_first=False, pictures={})
    assert file.write([later, change(two, is_first=False)]) == {two}
    (visit,) = file.search(0, 1e12)
    assert (visit.people, len(visit.messages)) == ({ADA, BOB}, 2)
    assert file.pictures(one) is not None


def test_it_is_searched_by_time_camera_and_person(file):
    early, late, unknown = visit_id(), visit_id(), visit_id()
    file.write(
        [
            change(late, event(late, at=NOW + 100, camera="hall")),
            change(early, event(early, person=BOB), event(early, 2, BOB, type="end", at=NOW + 10)),
            change(unknown, event(unknown, person=None, at=NOW + 50)),
        ]
    )
    assert ids_of(file) == [early, unknown, late]
    assert ids_of(file, camera="hall") == [late]
    assert ids_of(file, people=[BOB, EVE]) == [early]
    assert ids_of(file, people=[]) == []
    assert [v.event_id for v in file.search(NOW + 20, 1e12)] == [unknown, late], "one that goes on is still there"
    assert [v.event_id for v in file.search(0, NOW + 20)] == [early]


def test_forgetting_takes_whole_visits_and_leaves_no_byte(file, tmp_path):
    hers, once_hers, his = visit_id(), visit_id(), visit_id()
    file.write(
        [
            change(hers),
            change(once_hers, event(once_hers), event(once_hers, 2, BOB)),
            change(his, event(his, person=BOB)),
        ]
    )
    with as_command(tmp_path) as command:  # while the service has it open
        assert command.count_of(ADA) == 2
        assert command.forget([ADA, EVE]) == 2
        command.tidy()
        assert (command.count_of(ADA), ids_of(command)) == (0, [his])
    assert ids_of(file) == [his]
    found = everything_in(tmp_path)
    for gone in (ADA, hers, once_hers):
        assert gone.encode() not in found
    assert file.write([change(hers, event(hers, 2), is_first=False)]) == {hers}, "it does not come back"
    assert ids_of(file) == [his]


def test_forgetting_needs_no_key(tmp_path):
    with service_file(tmp_path) as file:
        file.write([change(visit_id())])
    (tmp_path / "keys" / "master.key").unlink()
    with as_command(tmp_path) as command:
        with pytest.raises(MasterKeyMissing):
            list(command.search(0, 1e12))
        assert command.forget([ADA]) == 1
        assert command.purge(NOW, LIMITS) == 0


@pytest.mark.parametrize(
    ("limits", "at", "left"),
    [
        (LIMITS, NOW, {"old", "fresh", "open", "stranger", "old stranger"} - {"old", "old stranger"}),
        (replace(LIMITS, unknown_s=0.0), NOW, {"fresh", "open"}),
        (
            replace(LIMITS, keep_s=30 * DAY_S, unknown_s=3 * 3600.0),
            NOW,
            {"old", "fresh", "open", "stranger", "old stranger"},
        ),
        (LIMITS, 1_000.0, {"old", "fresh", "open", "stranger", "old stranger"}),
        (LIMITS, NOW + 20 * DAY_S, set()),
    ],
    ids=["as shipped", "unknown never", "longer", "a clock that was never set", "all old"],
)
def test_what_was_kept_for_long_enough_goes(file, limits, at, left):
    ages = {"old": (ADA, 15 * DAY_S), "fresh": (ADA, DAY_S), "stranger": (None, 600.0), "old stranger": (None, 7200.0)}
    ids = {name: visit_id() for name in (*ages, "open")}
    for name, (person, age_s) in ages.items():
        one = ids[name]
        told = event(one, person=person, at=NOW - age_s), event(one, 2, person, NOW - age_s, type="end")
        file.write([change(one, *told)])
    file.write([change(ids["open"], event(ids["open"]))])
    aged = file.aged(at, limits)
    assert file.purge(at, limits) == aged == len(ids) - len(left)
    assert set(ids_of(file)) == {ids[name] for name in left}


def test_the_oldest_make_room(file, tmp_path):
    ids = [visit_id() for _ in range(40)]
    for number, one in enumerate(ids):
        scene = os.urandom(50_000)
        pictures = {**change(one).pictures, "scene": scene}
        file.write([change(one, event(one, at=NOW + number), pictures=pictures)])
    limits = replace(LIMITS, most_bytes=1 << 20)
    gone = file.purge(NOW, limits)
    assert 15 < gone < 25
    assert ids_of(file) == ids[gone:]
    assert file.used_bytes <= limits.most_bytes
    file.tidy()
    assert sum(path.stat().st_size for path in tmp_path.glob("visits.db*")) < (1 << 20) + (1 << 17)
    assert file.purge(NOW, limits) == 0


def test_visits_left_open_are_over_and_their_end_is_added(file):
    told, untold = visit_id(), visit_id()
    file.write([change(told), change(untold)])
    file.take_over()
    assert {visit.ended_at for visit in file.search(0, 1e12)} == {NOW}
    assert file.end(event(told, 2, type="end", end_reason="interrupted", at=NOW + 3))
    assert not file.end(event(visit_id(), 2, type="end"))
    ended = {visit.event_id: visit for visit in file.search(0, 1e12)}
    assert (ended[told].ended_at, ended[told].messages[-1].end_reason) == (NOW + 3, "interrupted")
    assert (ended[untold].ended_at, len(ended[untold].messages)) == (NOW, 1)


@pytest.mark.parametrize("step_s", [1.5e9, -7200.0, 0.4])
def test_a_clock_that_is_set_moves_the_visits_of_this_boot(file, step_s):
    now, before = visit_id(), visit_id()
    file.write([change(before, event(before), began_s=10.0)], boot="the boot before")
    file.write([change(now, event(now), began_s=100.0)], boot="this one")
    ahead_s = NOW - 1 - 100.0 + step_s
    for _ in range(2):
        file.follow_clock("this one", ahead_s)
    moved_s = step_s if abs(step_s) >= 1 else 0.0
    later = change(now, event(now, 2, at=NOW + moved_s + 9, type="end"), is_first=False)
    file.write([later], boot="this one")
    visits = {visit.event_id: visit for visit in file.search(0, 1e12)}
    assert visits[before].began_at == NOW - 1
    assert visits[now].began_at == pytest.approx(NOW - 1 + moved_s, abs=1e-3)
    assert [m.captured_at for m in visits[now].messages] == pytest.approx([NOW + moved_s, NOW + moved_s + 9], abs=1e-3)


# Keys.


def test_a_key_that_is_missing_or_another_one_changes_nothing(tmp_path):
    one = visit_id()
    with service_file(tmp_path) as file:
        file.write([change(one)])
    key_file = tmp_path / "keys" / "master.key"
    before, key = (tmp_path / "visits.db").read_bytes(), key_file.read_text()
    for text, error in ((None, MasterKeyMissing), (MasterKey.new().to_text(), MasterKeyWrong), ("?", MasterKeyWrong)):
        key_file.unlink(missing_ok=True)
        if text is not None:
            key_file.write_text(text)
        file = VisitsFile(tmp_path / "visits.db", keys_in(tmp_path), make=True)
        with file, pytest.raises(error):
            file.unlock(encrypt=True)
        assert (tmp_path / "visits.db").read_bytes() == before
        assert key_file.exists() == (text is not None)
    key_file.write_text(key)
    with as_command(tmp_path) as reader:
        assert reader.pictures(one) is not None


@pytest.mark.parametrize("encrypt", [True], indirect=True)
def test_another_master_key_while_the_service_writes(file, tmp_path):
    one, two = visit_id(), visit_id()
    file.write([change(one)])
    keys = keys_in(tmp_path)
    new = keys.begin_rotation(tmp_path)
    with as_command(tmp_path) as command:
        for _ in range(2):  # as after a kill
            command.rekey(new)
        assert command.key_id == new.id
    file.write([change(two)])
    keys.end_rotation(new)
    file.write([change(one, event(one, 2), is_first=False)])
    with as_command(tmp_path) as reader:
        assert ids_of(reader) == [one, two]
        assert reader.pictures(one) is not None
        assert [len(visit.messages) for visit in reader.search(0, 1e12)] == [2, 1]


def test_to_plain_and_back_while_the_service_writes(file, tmp_path, encrypt):
    ids = [visit_id() for _ in range(3)]
    file.write([change(ids[0])])
    keys = keys_in(tmp_path)
    turns = [None, keys.for_new_store(tmp_path)] if encrypt else [keys.for_new_store(tmp_path), None]
    for one, key in zip(ids[1:], turns, strict=True):
        with as_command(tmp_path) as command:
            command.rekey(key)
        file.write([change(one)])
        with as_command(tmp_path) as reader:
            assert reader.key_id == (key and key.id)
            assert all(reader.pictures(visit.event_id) and not visit.broken for visit in reader.search(0, 1e12))
            assert (b"the scene" in everything_in(tmp_path)) == (key is None)
    assert ids_of(file) == ids


def test_a_plain_file_is_encrypted_when_the_service_opens_it(tmp_path):
    one = visit_id()
    with service_file(tmp_path, encrypt=False) as file:
        file.write([change(one)])
    assert b"the scene" in everything_in(tmp_path)
    with service_file(tmp_path) as file:
        assert b"the scene" not in everything_in(tmp_path)
        assert file.pictures(one) is not None
        assert len(file.faces(one)) == 2
    with service_file(tmp_path, encrypt=False) as file:
        assert file.key_id is not None, "one that is encrypted stays so"


@pytest.mark.parametrize("already", ["encrypted by another", "given another key", "nothing"])
def test_encrypting_a_plain_file_takes_the_key_of_then(tmp_path, monkeypatch, already):
    """Between the look at the file and the transaction, everything under the former key may be gone."""
    one = visit_id()
    with service_file(tmp_path, encrypt=False) as file:
        file.write([change(one)])
    keys = keys_in(tmp_path)
    keys.for_new_store(tmp_path)

    def meanwhile(db):
        monkeypatch.setattr(visits_file, "transaction", transaction)
        with as_command(tmp_path) as command:
            if already != "nothing":
                command.rekey(keys.for_new_store(tmp_path))
            new = keys.begin_rotation(tmp_path)
            if already == "given another key":
                command.rekey(new)
        if already != "encrypted by another":
            keys.end_rotation(new)
        return transaction(db)

    monkeypatch.setattr(visits_file, "transaction", meanwhile)
    with as_command(tmp_path) as file:
        file.unlock(encrypt=True)
        assert file.pictures(one) is not None
    with as_command(tmp_path) as reader:
        assert reader.pictures(one) is not None
        assert (reader.key_id == keys.for_new_store(tmp_path).id) == (already != "encrypted by another")


@pytest.mark.parametrize("to", ["another key", "plain", "the same key"])
def test_an_exchange_of_keys_is_on_the_disk_before_the_former_may_go(tmp_path, monkeypatch, to):
    """Not in the log alone, which is synced later: also where somebody reads it and it can't be emptied."""
    with service_file(tmp_path) as file:
        file.write([change(visit_id())])
        keys, modes = keys_in(tmp_path), []

        def kept(db, master, key):
            modes.append(db.execute("PRAGMA synchronous").fetchone()[0])
            keep_key(db, master, key)

        monkeypatch.setattr(visits_file, "keep_key", kept)
        monkeypatch.setattr(visits_schema, "BUSY_TIMEOUT_S", 0.01)
        new = {"another key": MasterKey.new(), "plain": None, "the same key": keys.for_new_store(tmp_path)}[to]
        with closing(sqlite3.connect(tmp_path / "visits.db")) as reader, as_command(tmp_path) as command:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM visits").fetchall()
            assert not command.rekey(new)
            assert not command.rekey(new), "still read"
            reader.rollback()
            assert command.rekey(new)
            assert (modes, command._number("PRAGMA synchronous")) == ([2, 2, 2], 1)
            assert command.key_id == (new and new.id)


def test_a_blob_moved_to_another_visit_is_not_opened(tmp_path):
    one, two = visit_id(), visit_id()
    with service_file(tmp_path) as file:
        file.write([change(one), change(two)])
        db = sqlite3.connect(tmp_path / "visits.db")
        for table in ("messages", "faces", "pictures"):
            db.execute(
                f"UPDATE {table} SET sealed = (SELECT sealed FROM {table} WHERE event_id = ?) WHERE event_id = ?",
                (one, two),
            )
        db.commit()
        db.close()
        first, second = file.search(0, 1e12)
        assert (first.broken, second.broken, second.messages) == (0, 1, ())
        assert (file.pictures(two), file.faces(two)) == (None, ())


# Files that are none.


def test_there_is_none(tmp_path):
    with pytest.raises(KeptVisitsMissing, match=r"cameras\.<name>\.snapshots"):
        as_command(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"no database " * 1000, None, "other", "table"])
def test_damage_is_told_and_left_as_it_is(tmp_path, content):
    path = tmp_path / "visits.db"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is None:
        path.mkdir()
    else:
        service_file(tmp_path).close()
        db = sqlite3.connect(path)
        db.execute("PRAGMA application_id = 7" if content == "other" else "ALTER TABLE messages DROP COLUMN sealed")
        db.commit()
        db.close()
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(KeptVisitsDamaged):
        service_file(tmp_path)
    assert before is None or path.read_bytes() == before


def test_a_newer_one_is_refused(tmp_path):
    service_file(tmp_path).close()
    db = sqlite3.connect(tmp_path / "visits.db")
    db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()
    with pytest.raises(KeptVisitsTooNew, match="update whosthere"):
        service_file(tmp_path)


def test_the_log_of_a_deleted_file_is_not_laid_over_the_next(tmp_path):
    with service_file(tmp_path) as file:
        file.write([change(visit_id())])
        log = (tmp_path / "visits.db-wal").read_bytes()
    (tmp_path / "visits.db").unlink()
    (tmp_path / "visits.db-wal").write_bytes(log)
    with service_file(tmp_path) as file:
        assert ids_of(file) == []


def test_a_full_disk_leaves_nothing_of_what_failed(encrypt):
    with small_disk(4) as disk, service_file(disk, encrypt) as file:
        one, two = visit_id(), visit_id()
        file.write([change(one)])
        hog = fill(disk)
        large = {**change(two).pictures, "scene": os.urandom(300_000)}
        with pytest.raises(KeptVisitsUnwritable, match="make room"):
            file.write([change(two, pictures=large)])
        assert ids_of(file) == [one]
        hog.unlink()
        file.write([change(two, pictures=large)])
        assert ids_of(file) == [one, two]


def test_one_visit_is_read_by_its_id_and_one_that_is_not_kept_is_said(file, tmp_path):
    mine, other = visit_id(), visit_id()
    file.write([change(mine, event(mine, person=BOB)), change(other)])
    with as_command(tmp_path) as reader:
        found = reader.visit(mine)
        assert (found.event_id, found.people, len(found.messages)) == (mine, {BOB}, 1)
        for gone in (visit_id(), "", "nonsense"):
            with pytest.raises(VisitNotFound, match="events --since"):
                reader.visit(gone)


def test_what_was_said_of_visits_comes_back_and_goes_with_them(tmp_path):
    ada, nobody, ignored = (visit_id() for _ in range(3))
    with service_file(tmp_path) as file:
        told = event(nobody, person=None, decision="unknown")
        file.write([change(one, told.model_copy(update={"event_id": one})) for one in (ada, nobody, ignored)])
        file.name([ada, nobody, visit_id()], ADA, NOW)
        file.name([nobody], None, NOW + 1)
        file.ignore([ada, ignored, visit_id()], NOW + 2)
        assert {one: file.visit(one).said for one in (ada, nobody, ignored)} == {
            ada: Said(NOW, True, ADA, False),  # is somebody's: there is nothing to ignore
            nobody: Said(NOW + 1, True, None, False),
            ignored: Said(NOW + 2, False, None, True),
        }
        assert [(one.event_id, one.is_ignored) for one in file.unnamed()] == [(nobody, False), (ignored, True)]
        assert (file.visit(ada).is_known, file.visit(nobody).is_known) == (True, False)
        file.ignore([nobody], NOW + 3)
        assert file.visit(nobody).said == Said(NOW + 3, True, None, True), "whose it is stays said"
        assert file.forget([ADA]) == 2, "a name that was taken back counts as one that was told"
        assert file.whose([ada, nobody, ignored]) == {ignored: (False, Said(NOW + 2, False, None, True))}


def file_of_before(folder: Path, *changes) -> None:
    """As version 1 left it."""
    with service_file(folder) as file:
        file.write(changes)
    with closing(sqlite3.connect(folder / "visits.db")) as db:
        db.execute("DROP TABLE said")
        db.execute("PRAGMA user_version = 1")


def version_in(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "visits.db")) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def test_one_of_before_stays_as_it_is_until_something_is_said(tmp_path):
    """Or an older service that runs would be refused its own file, since a newer command has looked into it."""
    of, gone, unknown = visit_id(), visit_id(), visit_id()
    nobody = event(unknown, person=None, decision="unknown")
    file_of_before(tmp_path, change(of), change(gone), change(unknown, nobody))
    with as_command(tmp_path) as file:
        assert (file.visit(of).said, file.whose([of]), ids_of(file)) == (None, {of: (True, None)}, [of, gone, unknown])
        assert [one.event_id for one in file.unnamed()] == [unknown]
        assert (file.erase([gone]), file.erase([of], spares_named=True), file.forget([ADA])) == (1, 1, 0)
        file.purge(NOW, LIMITS)
        file.tidy()
    assert version_in(tmp_path) == 1
    with as_command(tmp_path) as file, as_command(tmp_path) as other:
        file.name([unknown], BOB, NOW)
        assert [one.person.id for one in file.visit(unknown).messages] == [BOB]
        other.name([unknown], EVE, NOW + 1)  # it was opened before
        assert file.visit(unknown).said == other.visit(unknown).said == Said(NOW + 1, True, EVE, False)
    assert version_in(tmp_path) == VERSION


@pytest.mark.parametrize("written", ["by the service", "by what is said"])
def test_one_of_before_is_brought_up_whole_or_not_at_all(tmp_path, written, monkeypatch):
    of = visit_id()
    file_of_before(tmp_path, change(of))
    with as_command(tmp_path) as file:
        monkeypatch.setattr(visits_schema, "VERSION", "no number")
        act = {"by the service": lambda: file.unlock(encrypt=True), "by what is said": lambda: file.ignore([of], NOW)}[
            written
        ]
        with pytest.raises(KeptVisitsUnwritable):
            act()
        assert (version_in(tmp_path), file.visit(of).said) == (1, None)
        monkeypatch.undo()
        act()
    assert version_in(tmp_path) == VERSION
