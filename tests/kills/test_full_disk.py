"""Acceptance: a disk that fills up in the middle of any write: refused in one line, nothing half written."""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gallery.errors import GalleryUnwritable
from tests.kills.operations import OPERATIONS, Operation
from tests.kills.states import State, gallery_of, ids_in, state_of
from tests.small_disk import fill, small_disk

ROOM_KIB = (0, 8, 48, 200, 440, 900)
NAMES = (
    "create",
    "enrol",
    "add photos",
    "remove photos",
    "migrate 2",
    "encrypt",
    "rekey",
    "change",
    "forget",
    "forget without encryption",
    "vacuum",
)


@pytest.fixture(scope="module")
def disk() -> Iterator[Path]:
    with small_disk(12) as folder:
        yield folder


class Rehearsed:
    """An operation, what it begins with, and what there is after each step."""

    def __init__(self, operation: Operation, folder: Path) -> None:
        self.operation, self.base, work = operation, folder / "base", folder / "work"
        self.base.mkdir()
        operation.prepare(self.base)
        shutil.copytree(self.base, work)
        self.known = () if operation.from_nothing else ids_in(work)
        self.states: list[State] = [self.state(work)]
        for step in operation.steps:
            step(work)
            self.states.append(self.state(work))

    def state(self, home: Path) -> State:
        return state_of(home, self.known) if gallery_of(home).exists() else {}


@pytest.mark.parametrize("name", NAMES)
def test_a_disk_that_fills_up_leaves_nothing_half_written(tmp_path: Path, disk: Path, name: str) -> None:
    rehearsed = Rehearsed(OPERATIONS[name], tmp_path)
    refused = 0
    for room_kib in ROOM_KIB:
        home = Path(shutil.copytree(rehearsed.base, disk / "home"))
        spare, done = disk / "spare", 0
        spare.write_bytes(bytes(room_kib * 1024))
        hog = fill(disk)
        spare.unlink()
        with suppress(GalleryUnwritable):
            for step in rehearsed.operation.steps:
                step(home)
                done += 1
        hog.unlink()
        refused += done < len(rehearsed.operation.steps)
        assert rehearsed.state(home) in rehearsed.states[done : done + 2], f"{room_kib} KiB of room, {done} steps"
        for step in rehearsed.operation.steps[done:]:
            step(home)
        assert rehearsed.state(home) == rehearsed.states[-1], f"{room_kib} KiB of room, then enough"
        shutil.rmtree(home)
    assert refused >= (name != "vacuum"), "a vacuum that has no room stays due"
