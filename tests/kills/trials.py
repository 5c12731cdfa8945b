"""Trials of an operation: killed once to three times where chance says, by seed; then the gallery is held to what it
may hold, the operation is done to its end, and the gallery is held to what it must hold.
"""

import os
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from pathlib import Path

from gallery.errors import GalleryUnreadable
from gallery.storage.schema import SCHEMA_VERSION
from tests.kills.operations import PEOPLE, SECRETS, Erased, Operation, Step
from tests.kills.states import (
    PLAIN,
    Secrets,
    State,
    files_of,
    found_in,
    gallery_of,
    ids_in,
    loose_files,
    open_store,
    photo_secrets,
    sealed_secrets,
    secrets_of,
    state_in,
    state_of,
)
from tests.kills.tracing import CAN_TRACE, TOLD, Apart, Ending, Point, Tell, Work, apart, run

_BY_TIME = 0.15  # of all kills; the others are at a call
_SLOWEST = 1.2
_WATCHED = 0.3
_LONGEST = 1000
SET_ASIDE = ".damaged-"  # by the time it was; the user is told to delete it
_TOGETHER = ("people", "audit", "forgotten")  # of a state: what one transaction changes


class Broken(AssertionError):
    """What a kill left is not what it may leave; the message says how to have it again."""


@dataclass(slots=True)
class Counts:
    """Of an operation's trials: `kills` that hit, `torn` of them within a write, `timed` ones by time, `late` ones
    that came when it was done; `states`: how many steps the gallery was found to have done.
    """

    calls: int = 0
    kills: int = 0
    torn: int = 0
    timed: int = 0
    late: int = 0
    states: Counter[int] = field(default_factory=Counter)

    def __str__(self) -> str:
        return (
            f"{self.calls} calls; {self.kills} kills ({self.torn} within a write, {self.timed} by time), {self.late} "
            f"too late; found with so many steps done: {', '.join(f'{n}: {k}' for n, k in sorted(self.states.items()))}"
        )


class Trials:
    """One operation, rehearsed once without a kill: what it holds after each step, which calls it makes."""

    def __init__(self, operation: Operation, folder: Path) -> None:
        self.operation, self._folder = operation, folder
        self.counts = Counts()
        self._base = folder / "base"
        self._base.mkdir()
        apart(lambda: operation.prepare(self._base))
        self._is_hidden = not found_in(self._base, SECRETS)
        self._known = () if operation.from_nothing else apart(lambda: ids_in(self._base))
        self._erased = [(erased.steps, self._secrets(erased)) for erased in operation.erased]
        self._states = list(self._rehearsed())
        self._calls, self._takes_s = self._rehearsed_whole(watched=False)
        self.counts.calls = len(self._calls)

    def kill(self, where: str | int) -> None:
        """One trial: at points that a seed chooses, or at the call of this number. Raises Broken."""
        chance = random.Random(where)
        rounds = chance.choice((1, 1, 1, 2, 3)) if isinstance(where, str) else 1
        points: list[str] = []
        with self._copy() as home:
            try:
                done = 0
                for _ in range(rounds):
                    if done == len(self.operation.steps):
                        break
                    watched = not self.operation.from_nothing and isinstance(where, str) and chance.random() < _WATCHED
                    point = self._point(chance, done, watched) if isinstance(where, str) else Point(where)
                    points.append(f"{point}{', a service has it open' if watched else ''}")
                    done += self._killed(home, done, point, watched)
                points.append("to the end")
                self._finish(home, done)
            except (AssertionError, OSError, ValueError) as error:
                raise Broken(f"{self.operation.name}, seed {where!r}: {', then '.join(points)}: {error}") from error

    def _secrets(self, erased: Erased) -> Secrets:
        """As they are kept, and as they would be if they were not sealed."""
        photos = [PEOPLE[erased.name][number] for number in erased.photos]
        digests = [photo.digest for photo in photos]
        plain = photo_secrets(erased.name, photos) if photos else secrets_of(erased.name, PEOPLE[erased.name])
        return plain | apart(lambda: sealed_secrets(self._base, erased.name, digests))

    def _rehearsed(self) -> Iterator[State]:
        with self._copy() as home:
            yield self._looked_at(home)
            for step in self.operation.steps:
                apart(lambda step=step: step(home))
                yield self._looked_at(home)
            self._files = {str(file.relative_to(home)) for file in files_of(home)}

    @cached_property
    def _watched_calls(self) -> tuple[str, ...]:
        return self._rehearsed_whole(watched=True)[0]

    def _rehearsed_whole(self, *, watched: bool) -> tuple[tuple[str, ...], float]:
        """Which calls all of it makes, and in what time; who closes a gallery that nobody else has open makes more."""
        with self._copy() as home:
            onlooker = _onlooker(home, self._known) if watched else None
            before_s = time.monotonic()
            ending = run(_work(self.operation.steps, home))
            takes_s = time.monotonic() - before_s
            assert ending.code == 0, ending.said
            if onlooker is not None:
                onlooker.answer()
            return ending.calls, takes_s

    def _point(self, chance: random.Random, done: int, watched: bool) -> Point:
        """Somewhere in what is left to do."""
        calls = self._watched_calls if watched else self._calls
        calls = calls[_calls_of(calls, done) :]
        if not CAN_TRACE or not calls or chance.random() < _BY_TIME:
            share = len(calls) / len(self._calls) if self._calls else 1.0
            return Point(after_s=chance.uniform(0, self._takes_s * share * _SLOWEST))
        # Every kind as often: most calls by far are writes of pages.
        kind = chance.choice(sorted(set(calls)))
        call = chance.choice([number for number, made in enumerate(calls, 1) if made == kind])
        return Point(call, chance.random() if kind == "write" and chance.random() < 0.5 else None)

    def _killed(self, home: Path, done: int, point: Point, watched: bool) -> int:
        """How many more steps were said to be done."""
        onlooker = _onlooker(home, self._known) if watched else None
        ending = run(_work(self.operation.steps[done:], home), point)
        self._count(ending, point)
        assert ending.killed or ending.code == 0, ending.said
        told = ending.told
        self._assert_nothing_lies_about(home, done + told, was_opened=self._is_hidden or done + told > 0)
        if onlooker is not None:
            self._assert_may_be(self._settled(onlooker.answer()), done + told)
        self._assert_may_be(self._looked_at(home), done + told)
        self._assert_nothing_lies_about(home, done + told)
        return told

    def _count(self, ending: Ending, point: Point) -> None:
        self.counts.kills += ending.killed
        self.counts.late += not ending.killed
        self.counts.torn += ending.killed and point.torn is not None
        self.counts.timed += ending.killed and point.after_s is not None

    def _finish(self, home: Path, done: int) -> None:
        for step in self.operation.steps[done:]:
            apart(lambda step=step: step(home))
        state = self._looked_at(home)
        assert state == self._states[-1], _difference(state, self._states[-1])
        self._assert_nothing_lies_about(home, len(self.operation.steps))
        self._assert_nothing_is_left_over(home)

    def _looked_at(self, home: Path) -> State:
        """Nobody where there is no gallery, and none is made for the look."""
        return self._settled(apart(lambda: self._state(home)))

    def _settled(self, state: State) -> State:
        """What was told of and not done, and then done, counts once."""
        if self.operation.told_first and "audit" in state:
            state["audit"] = [entry for entry, _ in groupby(state["audit"])]
        return state

    def _state(self, home: Path) -> State:
        beside = {"beside": self.operation.beside(home)}
        if not gallery_of(home).exists():
            return beside
        try:
            return state_of(home, self._known) | beside
        except GalleryUnreadable:
            if not self.operation.from_nothing:
                raise
            return {"people": {"it is damaged": None}} | beside

    def _assert_may_be(self, state: State, done: int) -> None:
        allowed = self._states[done : done + 2]
        assert any(_agree(state, one, _TOGETHER) for one in allowed), f"after {done}: {_difference(state, allowed[0])}"
        for part in state:  # other files have transactions of their own
            assert any(_agree(state, one, [part]) for one in allowed), f"after {done}: {part} is {state[part]}"
        self.counts.states[done + (state in allowed[1:])] += 1

    def _assert_nothing_lies_about(self, home: Path, done: int, *, was_opened: bool = True) -> None:
        for since, secrets in self._erased:
            if done >= since:
                assert not (found := found_in(home, secrets)), f"after {done} steps: {found[:5]}"
        if was_opened and not (home / PLAIN).exists():
            assert not (found := found_in(home, SECRETS)), f"in clear: {found[:5]}"
        assert not (loose := loose_files(home)), loose

    def _assert_nothing_is_left_over(self, home: Path) -> None:
        """Who opens the gallery an hour later removes what a killed process left of files that were to become whole."""
        for file in files_of(home):
            os.utime(file, (0.0, 0.0))
        self._looked_at(home)
        left = {str(file.relative_to(home)) for file in files_of(home) if SET_ASIDE not in file.name} - self._files
        assert not left, sorted(left)

    @contextmanager
    def _copy(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=self._folder, ignore_cleanup_errors=True) as folder:
            yield Path(shutil.copytree(self._base, Path(folder) / "home"))


def _agree(one: State, other: State, parts: Sequence[str]) -> bool:
    return all(one.get(part) == other.get(part) for part in parts)


def _work(steps: Sequence[Step], home: Path) -> Work:
    def work(tell: Tell) -> None:
        for step in steps:
            step(home)
            tell()

    return work


def _onlooker(home: Path, known: tuple[str, ...]) -> Apart:
    """A running service: it had the gallery open before, and reads on afterwards."""
    held = []

    def open_it() -> None:
        held.append(open_store(home))
        held[0].people()

    return Apart(lambda: state_in(held[0], known), before=open_it)


def _is_current(home: Path) -> bool:
    """There is a gallery, and not of an earlier version; without SQLite, which would drop the locks of others here."""
    path = gallery_of(home)
    return path.exists() and int.from_bytes(path.read_bytes()[60:64], "big") == SCHEMA_VERSION


def _calls_of(calls: Sequence[str], done: int) -> int:
    """How many calls so many steps make."""
    ends = [number for number, kind in enumerate(calls, 1) if kind == TOLD]
    return ends[done - 1] if done and ends else 0


def _difference(state: State, wanted: State) -> str:
    """In which parts, and of those that name somebody, of whom."""
    told = []
    for part in wanted:
        found, want = state.get(part), wanted[part]
        if isinstance(found, dict) and isinstance(want, dict):
            names = [name for name in found | want if found.get(name) != want.get(name)]
            found, want = {n: found.get(n) for n in names}, {n: want.get(n) for n in names}
        if found != want:
            told.append(f"{part}: {found}, not {want}"[:_LONGEST])
    return "; ".join(told)
