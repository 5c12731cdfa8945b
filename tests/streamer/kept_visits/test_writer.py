"""From the loop to the file: what the keeper is told of, and what lies on the disk then."""

import asyncio
import gc
import logging
import sqlite3
import weakref
from collections.abc import Callable
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gallery.keys.encryption import MasterKey
from streamer.events.event import Due
from streamer.kept_visits import writer as writer_module
from streamer.kept_visits.camera_visits import CameraVisits
from streamer.kept_visits.keeper import VisitKeeper
from streamer.kept_visits.pictures import Chip
from streamer.kept_visits.visit import KeptVisit
from streamer.kept_visits.visits_file import VisitsFile
from streamer.settings import EventsSettings
from streamer.telemetry.metrics import Metrics
from tests.small_disk import fill, small_disk
from tests.streamer.kept_visits.made import (
    ADA,
    BOB,
    LANDMARKS,
    NOW,
    change,
    event,
    everything_in,
    keys_in,
    picture,
    visit_id,
)
from tests.streamer.kept_visits.test_pictures import decoded
from tests.streamer.kept_visits.test_visits_file import service_file
from tests.streamer.scripted import unit

ENROLLED = {ADA, BOB}


class Kept:
    """A keeper with one camera, and what is in its file."""

    def __init__(self, folder: Path, keeper: VisitKeeper, metrics: Metrics, enrolled: set[str]) -> None:
        self.folder, self.keeper, self.metrics, self.enrolled = folder, keeper, metrics, enrolled
        camera = keeper.camera("door", keeps=True)
        assert camera is not None
        self.camera: CameraVisits = camera

    def visits(self) -> list[KeptVisit]:
        if not (self.folder / "visits.db").is_file():
            return []
        with VisitsFile(self.folder / "visits.db", keys_in(self.folder)) as file:
            return list(file.search(0, 1e13))

    def file(self) -> VisitsFile:
        return VisitsFile(self.folder / "visits.db", keys_in(self.folder))

    def see(self, track: str = "door-1", quality: float = 0.5, shade: int = 100, image: Any = None) -> None:
        image = image or picture(shade)
        self.camera.seen(track, image, LANDMARKS, quality, unit(shade, 128), "e", "e.1")

    def tell(self, one: str, seq: int = 1, person: str | None = ADA, **more: Any) -> str | None:
        """The snapshot that the event goes out with."""
        told = event(one, seq, person, **({"at": NOW + seq} | more))
        return self.camera.told(Due(told, ("unknown",))).event.snapshot

    def counted(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"whosthere_visits_{name}", labels) or 0.0


@asynccontextmanager
async def keeping(
    folder: Path, enrolled: set[str] | None = None, unix_s: Callable[[], float] = lambda: NOW, **events: Any
):
    metrics, enrolled = Metrics(), set(ENROLLED) if enrolled is None else enrolled
    keeper = VisitKeeper(
        folder / "visits.db",
        keys_in(folder),
        EventsSettings(**events),
        metrics,
        encrypt=True,
        is_enrolled=enrolled.__contains__,
        signature_of=lambda model: f"d+{model}",
        unix_s=unix_s,
        boot="this one",
    )
    async with keeper:
        yield Kept(folder, keeper, metrics, enrolled)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_visit_from_its_first_face_to_its_end(tmp_path):
    one = visit_id()
    async with keeping(tmp_path) as kept:
        kept.see(quality=0.5, shade=1)
        kept.see(quality=0.55, shade=2)  # no clearly better: its embedding alone
        assert kept.tell(one) == one
        await until(kept.visits)
        (begun,) = kept.visits()
        assert (begun.event_id, begun.ended_at, begun.people) == (one, None, {ADA})
        kept.see(quality=0.9, shade=3)
        assert kept.tell(one, 2, type="end", end_reason="left") == one
        kept.camera.gone("door-1")
    (visit,) = kept.visits()
    assert visit.ended_at == NOW + 2
    assert [message.type for message in visit.messages] == ["new", "end"]
    assert [message.snapshot for message in visit.messages] == [None, None], "the snapshot is the visit itself"
    with kept.file() as file:
        faces, pictures = file.faces(one), file.pictures(one)
    assert [round(face.quality, 2) for face in faces] == [0.9, 0.55, 0.5]
    np.testing.assert_array_equal(faces[0].embedding, unit(3, 128))
    assert (faces[0].space, faces[0].signature) == ("e.1", "d+e")
    scene = decoded(pictures.scene).astype(int)
    off = {shade: np.abs(scene - picture(shade).bgr()).mean() for shade in (1, 2, 3)}
    assert off[1] < 5 < min(off[2], off[3]), "the first good one: it is not far poorer"
    chip = Chip(picture(3), LANDMARKS)
    assert pictures.face == chip.jpeg, "the best one"
    assert (kept.counted("kept_total"), kept.counted("bytes")) == (1, pytest.approx(1e6, rel=1))


async def test_those_of_unknown_faces_are_never_stored(tmp_path):
    one, two = visit_id(), visit_id()
    async with keeping(tmp_path) as kept:
        kept.see()
        assert kept.tell(one, person=None) is None
        kept.see(quality=0.9)
        assert kept.tell(one, 2, person=None, type="end") is None
        kept.camera.gone("door-1")
        assert kept.tell(two, track_ids=["door-2"]) == two
    assert [visit.event_id for visit in kept.visits()] == [two]
    assert one.encode() not in everything_in(tmp_path)


async def test_those_of_unknown_faces_are_stored_where_asked_for(tmp_path):
    one = visit_id()
    async with keeping(tmp_path, keep_unknown_h=1.0) as kept:
        kept.see()
        assert kept.tell(one, person=None) == one
    (visit,) = kept.visits()
    assert (visit.is_known, visit.people) == (False, set())
    with kept.file() as file:
        assert file.pictures(one) is not None
    async with keeping(tmp_path, unix_s=lambda: NOW + 3700, keep_unknown_h=1.0) as kept:
        await until(lambda: not kept.visits())


async def test_a_visit_that_gets_its_name_later_is_whole(tmp_path):
    one = visit_id()
    async with keeping(tmp_path) as kept:
        kept.tell(one, person=None)
        assert kept.tell(one, 2, previous_person=None) == one
        kept.see(shade=7)
    (visit,) = kept.visits()
    assert [(message.seq, message.person is None) for message in visit.messages] == [(1, True), (2, False)]


async def test_a_name_that_is_taken_back_takes_the_visit_along(tmp_path):
    one = visit_id()
    async with keeping(tmp_path) as kept:
        kept.see()
        assert kept.tell(one) == one
        await until(kept.visits)
        assert kept.tell(one, 2, person=None) is None
        await until(lambda: not kept.visits())
        await until(lambda: one.encode() not in everything_in(tmp_path))
        assert kept.tell(one, 3, BOB) == one
    (visit,) = kept.visits()
    assert visit.people == {BOB}


async def test_whoever_is_another_in_the_end_stays_in_the_visit(tmp_path):
    one = visit_id()
    async with keeping(tmp_path) as kept:
        kept.tell(one)
        kept.tell(one, 2, BOB, previous_person=event(one).person)
    (visit,) = kept.visits()
    assert visit.people == {ADA, BOB}
    with kept.file() as file:
        assert (file.count_of(ADA), file.count_of(BOB)) == (1, 1)


@pytest.mark.parametrize("unknown_h", [0.0, 5.0])
async def test_nothing_stays_of_who_is_forgotten_while_in_view(tmp_path, unknown_h):
    one, other = visit_id(), visit_id()
    async with keeping(tmp_path, keep_unknown_h=unknown_h) as kept:
        kept.see()
        kept.tell(one)
        kept.tell(other, person=BOB, track_ids=["door-2"])
        await until(lambda: len(kept.visits()) == 2)
        kept.enrolled.discard(ADA)
        kept.keeper.forget({ADA})
        kept.see(quality=0.95)
        assert kept.tell(one, 2, person=None, previous_person=event(one).person) is None
        assert kept.tell(one, 3, person=None, type="end") is None
        kept.camera.gone("door-1")
        await until(lambda: len(kept.visits()) == 1)
        await until(lambda: ADA.encode() not in everything_in(tmp_path))
        assert one.encode() not in everything_in(tmp_path)
    assert [visit.people for visit in kept.visits()] == [{BOB}]


@pytest.mark.parametrize(("by_hand", "stays"), [(BOB, [BOB]), (None, [])])
async def test_whoever_was_named_by_hand_stays_kept_where_unknown_people_are_not(tmp_path, by_hand, stays):
    """A correction has the face judged anew, and the visit goes on as somebody unknown."""
    one = visit_id()
    async with keeping(tmp_path) as kept:
        kept.tell(one)
        await until(kept.visits)
        with kept.file() as file:
            file.name([one], by_hand, NOW)
        kept.tell(one, 2, person=None, previous_person=event(one).person)
    assert [visit.said.person_id for visit in kept.visits()] == stays


async def test_who_is_forgotten_goes_with_what_was_named_by_hand(tmp_path):
    one = visit_id()
    async with keeping(tmp_path) as kept:
        kept.tell(one)
        await until(kept.visits)
        with kept.file() as file:
            file.name([one], BOB, NOW)
        kept.enrolled.discard(ADA)
        kept.keeper.forget({ADA})
    assert kept.visits() == []


async def test_who_was_forgotten_already_is_not_kept(tmp_path):
    """A verdict that was on its way while the gallery changed."""
    async with keeping(tmp_path) as kept:
        kept.enrolled.discard(ADA)
        kept.keeper.forget({ADA})
        assert kept.tell(visit_id()) is None
    assert kept.visits() == []


async def test_a_visit_that_a_command_erased_does_not_come_back(tmp_path):
    one = visit_id()
    async with keeping(tmp_path) as kept:
        kept.tell(one)
        await until(kept.visits)
        with kept.file() as command:
            assert command.forget([ADA]) == 1
        kept.tell(one, 2)
        kept.see()
        kept.tell(one, 3, type="end")
    assert kept.visits() == []


async def test_the_ends_of_a_run_that_was_killed(tmp_path):
    told, untold, unheard = visit_id(), visit_id(), visit_id()
    with service_file(tmp_path) as file:
        file.write([change(told), change(untold)])
    async with keeping(tmp_path) as kept:
        for one in (told, unheard):
            kept.keeper.ended(event(one, 2, at=NOW + 7, type="end", end_reason="interrupted"))
    ends = {visit.event_id: (visit.ended_at, visit.messages[-1].type) for visit in kept.visits()}
    assert ends == {told: (NOW + 7, "end"), untold: (NOW, "new")}


async def test_a_clock_that_is_set_meanwhile(tmp_path):
    clock = [1_000.0]
    one = visit_id()
    async with keeping(tmp_path, unix_s=lambda: clock[0]) as kept:
        start_s = asyncio.get_running_loop().time()
        told = event(one, at=1_000.0)
        kept.camera.told(Due(told, ("x",), start_s))
        await until(kept.visits)
        clock[0] = NOW
        kept.keeper.clock_stepped()
        await until(lambda: kept.visits()[0].began_at > 1e9)
    (visit,) = kept.visits()
    assert visit.began_at == pytest.approx(NOW - 1, abs=60)
    assert visit.messages[0].captured_at == pytest.approx(NOW, abs=60)


async def test_where_no_camera_keeps_visits_no_file_is_made(tmp_path):
    metrics = Metrics()
    keeper = VisitKeeper(
        tmp_path / "visits.db",
        keys_in(tmp_path),
        EventsSettings(),
        metrics,
        encrypt=True,
        is_enrolled=lambda _: True,
        signature_of=str,
    )
    async with keeper:
        assert keeper.camera("door", keeps=False) is None
        keeper.forget({ADA})
        keeper.ended(event(visit_id(), 2, type="end"))
        keeper.clock_stepped()
    assert list(tmp_path.iterdir()) == []
    assert (keeper.is_wanted, keeper.trouble) == (False, "")


async def test_visits_are_purged_also_where_no_camera_keeps_any_now(tmp_path):
    with service_file(tmp_path) as file:
        file.write([change(visit_id(), event(visit_id(), at=NOW - 20 * 86_400))])
    async with keeping(tmp_path) as kept:
        kept.keeper.removed("door")
        await until(lambda: not kept.visits())


# What goes wrong.


async def test_a_wrong_key_keeps_nothing_overwrites_nothing_and_is_told_once(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("streamer.kept_visits.held_visits.RETRY_S", 0.05)
    one = visit_id()
    with service_file(tmp_path) as file:
        file.write([change(one)])
    key = tmp_path / "keys" / "master.key"
    right = key.read_text()
    key.write_text(MasterKey.new().to_text())
    before = (tmp_path / "visits.db").read_bytes()
    async with keeping(tmp_path) as kept:
        await until(lambda: kept.keeper.trouble)
        for _ in range(3):
            kept.see()
            assert kept.tell(visit_id(), track_ids=[visit_id()]) is None
        assert kept.counted("lost_total", code="master_key_wrong") == 3
        assert (tmp_path / "visits.db").read_bytes() == before
        key.write_text(right)
        await until(lambda: not kept.keeper.trouble)
        two = visit_id()
        assert kept.tell(two, track_ids=["door-9"]) == two
    assert [visit.event_id for visit in kept.visits()] == [one, two]
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.code for record in told] == ["master_key_wrong"]
    assert "until then no visits are kept, and events go on" in told[0].message


@pytest.mark.parametrize("harm", ["zeroes", "no database", "the key"])
async def test_damage_is_set_aside_and_new_ones_begun(tmp_path, caplog, harm):
    before = visit_id()
    with service_file(tmp_path) as file:
        file.write([change(before)])
    path = tmp_path / "visits.db"
    if harm == "the key":
        db = sqlite3.connect(path)
        db.execute("UPDATE meta SET value = zeroblob(60) WHERE key = 'store_key'")
        db.commit()
        db.close()
    else:
        path.write_bytes(bytes(8192) if harm == "zeroes" else b"no database " * 999)
    damaged = path.read_bytes()
    one = visit_id()
    async with keeping(tmp_path) as kept:
        await until(lambda: list(tmp_path.glob("visits.db.damaged-*")) and not kept.keeper.trouble)
        assert kept.tell(one) == one
    assert [visit.event_id for visit in kept.visits()] == [one]
    (aside,) = tmp_path.glob("visits.db.damaged-*Z")
    if harm == "the key":  # that what was open is over may be written to it before its key is asked for
        with closing(sqlite3.connect(aside)) as db:
            assert db.execute("SELECT event_id FROM visits").fetchall() == [(before,)]
            assert db.execute("SELECT value FROM meta WHERE key = 'store_key'").fetchone() == (bytes(60),)
    else:
        assert aside.read_bytes() == damaged
    (told,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert told.code == "kept_visits_damaged"
    assert aside.name in told.message


async def test_damage_while_it_is_used(tmp_path, caplog):
    one, two = visit_id(), visit_id()
    async with keeping(tmp_path) as kept:
        kept.tell(one)
        await until(kept.visits)
        with (tmp_path / "visits.db-wal").open("r+b") as log_file:
            log_file.write(bytes((tmp_path / "visits.db-wal").stat().st_size))
        (tmp_path / "visits.db-shm").write_bytes(b"\xff" * 32768)
        with (tmp_path / "visits.db").open("r+b") as file:
            file.write(b"no database " * 2000)
        kept.tell(two, track_ids=["door-2"])
        await until(lambda: list(tmp_path.glob("visits.db.damaged-*")))
        await until(lambda: two in [visit.event_id for visit in kept.visits()])
    assert [record.code for record in caplog.records if record.levelno >= logging.ERROR] == ["kept_visits_damaged"]


async def test_a_file_that_is_deleted_is_made_anew(tmp_path):
    one, two = visit_id(), visit_id()
    async with keeping(tmp_path) as kept:
        kept.tell(one)
        await until(kept.visits)
        for file in tmp_path.glob("visits.db*"):
            file.unlink()
        kept.tell(two, track_ids=["door-2"])
        await until(lambda: [visit.event_id for visit in kept.visits()] == [two])


async def test_a_full_disk_is_told_once_and_visits_wait_in_memory(caplog, monkeypatch):
    monkeypatch.setattr(writer_module, "MOST_WAITING", 3)
    monkeypatch.setattr(writer_module, "GROUP_S", 0.1)
    with small_disk(4) as disk:
        async with keeping(disk) as kept:
            first = visit_id()
            kept.tell(first, track_ids=[first])
            await until(kept.visits)
            hog = fill(disk)

            def waiting(count: int) -> bool:
                return kept.keeper._writer._waiting == count and bool(kept.keeper.trouble)

            ids = [visit_id() for _ in range(5)]
            taken = []
            for one in ids:
                kept.see(track=one)
                taken += [one] if kept.tell(one, track_ids=[one]) else []
                await until(partial(waiting, len(taken)))
            assert taken == ids[:3]
            assert kept.counted("lost_total", code="kept_visits_unwritable") == 2
            assert [visit.event_id for visit in kept.visits()] == [first]
            hog.unlink()
            await until(lambda: not kept.keeper.trouble)
            assert [visit.event_id for visit in kept.visits()] == [first, *taken]
            with kept.file() as file:
                assert all(file.pictures(one) for one in taken)
            assert kept.tell(ids[4], 2, track_ids=[ids[4]]) is None, "what was lost stays lost"
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.code for record in told] == ["kept_visits_unwritable"]


async def test_a_queue_that_is_full_costs_visits_and_holds_nobody_up(tmp_path, monkeypatch):
    """All in one go on the loop: the thread takes some meanwhile, or none."""
    monkeypatch.setattr(writer_module, "MOST_JOBS", 4)
    async with keeping(tmp_path) as kept:
        ids = [visit_id() for _ in range(200)]
        taken = [one for one in ids if kept.tell(one, track_ids=[one])]
        lost = kept.counted("lost_total", code="queue_full")
    assert 4 <= len(taken) < 200
    assert len(taken) + lost == len(ids)
    assert {visit.event_id for visit in kept.visits()} == set(taken)


async def test_one_chip_and_one_scene_a_visit_are_held(tmp_path):
    """Frames are megabytes: none is held for longer than it takes to look at it."""
    async with keeping(tmp_path) as kept:
        images = [picture(shade) for shade in range(6)]
        held = [weakref.ref(image) for image in images]
        for number, image in enumerate(images):
            kept.see(quality=0.1 * 1.4**number, image=image)
        del images, image

        def all_gone() -> bool:
            gc.collect()
            return not any(one() for one in held)

        await until(all_gone)
        (sheet,) = kept.keeper._writer._sheets.values()
        assert (sheet.chip is not None, sheet.scene is not None, len(sheet.faces)) == (True, True, 5)
        kept.camera.gone("door-1")
        await until(lambda: not kept.keeper._writer._sheets)
    assert kept.visits() == []


@pytest.mark.parametrize("told_again", [True, False])
async def test_a_track_that_goes_on_after_its_end_adds_nothing_to_that_visit(tmp_path, told_again):
    """It turned out to be somebody of whom nothing is told; and maybe not, later."""
    one, other = visit_id(), visit_id()
    async with keeping(tmp_path) as kept:
        kept.see(quality=0.3, shade=1)
        assert kept.tell(one) == one
        assert kept.tell(one, 2, type="end", end_reason="left") == one
        kept.see(quality=0.9, shade=2)
        if told_again:
            assert kept.tell(other, 1, BOB) == other
            assert kept.tell(other, 2, BOB, type="end", end_reason="left") == other
        kept.camera.gone("door-1")
    with kept.file() as file:
        faces = {visit.event_id: file.faces(visit.event_id) for visit in kept.visits()}
    assert faces.keys() == ({one, other} if told_again else {one})
    for visit, its in faces.items():
        (face,) = its
        np.testing.assert_array_equal(face.embedding, unit(1 if visit == one else 2, 128))
