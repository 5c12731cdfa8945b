"""Processes that write one gallery at once, which none of them finds there: all is in it, in one chain."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gallery.keys.master_key import KeySource
from gallery.storage.store import PersonStore
from tests.conftest import PROJECT
from tests.gallery.fakes import SPACE

WRITERS, ROUNDS = 4, 6
# For each folder that it is told: opens the gallery there, enrols two of its own, and somebody whom all enrol.
PROGRAM = """
import sys
from pathlib import Path
from gallery.errors import NameTaken
from gallery.keys.master_key import KeySource
from gallery.storage.store import PersonStore
from tests.gallery.fakes import photo_of, unit
me = int(sys.argv[1])
print("ready", flush=True)
for line in sys.stdin:
    home, told = Path(line.strip()), "enrolled"
    with PersonStore(home / "var" / "gallery.db", KeySource(home / "keys"), actor=f"writer-{me}") as store:
        for number in range(2):
            store.add_person(f"person {me}-{number}", [photo_of(unit(10 * me + number), 10 * me + number)])
        try:
            store.add_person("Ada", [photo_of(unit(100 + me), 100 + me)])
        except NameTaken:
            told = "taken"
    print(told, flush=True)
"""


class Writer:
    """One process, which does as PROGRAM says."""

    def __init__(self, number: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(number)],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Writer":
        assert self.said() == "ready"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=60)
        assert self._process.returncode == 0

    def write(self, home: Path) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{home}\n")
        self._process.stdin.flush()

    def said(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()


@pytest.fixture(scope="module")
def writers() -> Iterator[list[Writer]]:
    with ExitStack() as stack:
        yield [stack.enter_context(writer) for writer in [Writer(number) for number in range(WRITERS)]]


@pytest.mark.parametrize("attempt", range(ROUNDS))
def test_all_that_was_written_at_once_is_there(tmp_path: Path, writers: list[Writer], attempt: int) -> None:
    for writer in writers:
        writer.write(tmp_path)
    told = Counter(writer.said() for writer in writers)
    assert told == {"enrolled": 1, "taken": WRITERS - 1}
    with PersonStore(tmp_path / "var" / "gallery.db", KeySource(tmp_path / "keys"), actor="reader") as store:
        store.check()
        people = store.people()
        assert sorted(person.name for person in people) == sorted(
            ["Ada", *(f"person {writer}-{number}" for writer in range(WRITERS) for number in range(2))]
        )
        assert {person.photos for person in people} == {1}
        assert len(store.templates(SPACE)) == len(people)
        assert store.audit_broken() is None
        log = Counter((entry.actor, entry.action) for entry in store.audit_entries())
        assert sum(count for (_, action), count in log.items() if action == "made") == 1
        enrolled = {actor: count for (actor, action), count in log.items() if action == "enrolled"}
        assert sorted(enrolled.values()) == [2] * (WRITERS - 1) + [3]
        assert log.total() == 1 + len(people)
        assert store.key_id == KeySource(tmp_path / "keys").find(store.key_id or "").id
    assert sorted(file.name for file in (tmp_path / "keys").iterdir()) == ["master.key"]
    assert [file.name for file in (tmp_path / "var").iterdir()] == ["gallery.db"]
