"""`bench --gallery`: ours, the release before, the bare limit and what is wanted, in one run on the same people.

Options go in, the keys `gallery` and `gallery_store` of the machine-readable output come out. Blocks for minutes. Each
figure is measured in a process of its own by `probe`, builds by turns, the best round counts.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from recognition.arrays import F32
from streamer.bench.calm import others_share
from streamer.bench.gallery import bare, probe
from streamer.bench.gallery.before import PROJECT, before
from streamer.bench.gallery.crowd import Somebody, chip, faces, probes, write_crowd
from streamer.bench.gallery.matching import PROBES, SIZES, run_matching
from streamer.bench.gallery.rerank import run_rerank
from streamer.bench.parts import Parts
from streamer.errors import BenchFailed

PHOTOS_EACH = 4
TOP_K = 10  # of the bare search; as gallery.top_k is by default
_PROBES = 400
_WARM_UP = 20  # of them
_AMONG_MANY = 20  # people enrolled into the large gallery
_FOLLOWED = 5
_SHARE_OF_NETWORKS = 0.85  # of their rate by themselves, wanted of an enrolment
_BYTES_A_PERSON = 14_000
_COPIES = 5  # of the gallery at most: its input, two builds', and what an erasure rewrites


@dataclass(frozen=True, slots=True)
class GalleryBenchOptions:
    """folder: .bench/, where the release before and the galleries lie. photos: made-up ones that are enrolled; as many
    real ones at most out of `faces`, a ZIP with a folder a person (None: no such row). rounds: the best one counts.
    beside_s: how long is searched before somebody is forgotten, and after."""

    folder: Path
    people: int = 100_000
    photos: int = 2_000
    faces: Path | None = None
    rounds: int = 3
    beside_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: ours, of the release before, with nothing around the work, and wanted; None: there is none."""

    ours: float
    before: float | None = None
    limit: float | None = None
    goal: float | None = None

    def told(self) -> dict[str, float | None]:
        ratio = self.ours / self.before if self.before else None
        return {key: _rounded(value) for key, value in {**asdict(self), "ratio_to_before": ratio}.items()}


def run_gallery(options: GalleryBenchOptions, parts: Parts) -> dict[str, Any]:
    """Measure everything; a part that fails leaves its rows out. Raises BenchFailed without room for it."""
    options.folder.mkdir(parents=True, exist_ok=True)
    needed = _COPIES * options.people * _BYTES_A_PERSON
    if (free := shutil.disk_usage(options.folder).free) < needed:
        raise BenchFailed(
            f"{options.folder}: {needed >> 20} MiB are needed, {free >> 20} are free; give another --folder"
        )
    began = _cpu_s()
    with tempfile.TemporaryDirectory(prefix="gallery-", dir=options.folder) as scratch:
        bench = _GalleryBench(options, Path(scratch), parts)
        document = bench.measured()
    return document | {"others_share": round(others_share(began, _cpu_s()), 3)}


class _GalleryBench:
    """`builds`: by name, its files; `before` is not among them without history."""

    def __init__(self, options: GalleryBenchOptions, work: Path, parts: Parts) -> None:
        self._options = options
        self._work = work
        self._parts = parts
        self._say = parts.say
        there = {"before": before(options.folder), "ours": PROJECT}
        self._builds = {name: tree for name, tree in there.items() if tree is not None}
        self._chips, self._probes = work / "chips.npy", work / "probes.npy"

    def measured(self) -> dict[str, Any]:
        options = self._options
        self._say(f"writing a gallery of {options.people} people")
        write_crowd(self._work / "crowd" / "gallery.db", options.people)
        templates = faces(options.people)
        asked = probes(templates, _PROBES)
        np.save(self._probes, asked)
        np.save(self._chips, np.stack([chip(kind) for kind in range(PHOTOS_EACH)]))
        for name in self._builds:
            shutil.copytree(self._work / "crowd", self._work / name)
        steps: dict[str, Callable[[], dict[str, Row]]] = {
            "start": self._started,
            "search": lambda: self._searched(templates, asked),
            "follow": self._followed,
            "enrol": self._enrolled,
            "forget": self._forgotten,
        }
        store: dict[str, Row] = {}
        for part, step in steps.items():
            rows = self._parts.call(part, step) or {}
            for key, row in rows.items():
                self._say(f"  {key}: {row.told()}")
            store |= rows
        self._say(f"{PROBES} faces a call, matched beside bare FAISS")
        sizes = [size for size in SIZES if size <= max(options.people, SIZES[0])]
        matching = self._parts.call("matching", lambda: run_matching(sizes)) or dict.fromkeys(map(str, sizes))
        rerank = self._parts.call("re-ranking", run_rerank)
        return {
            "gallery": {**matching, "rerank200_ms": rerank and rerank["ours_ms"]},
            "gallery_store": {key: row.told() for key, row in store.items()},
        }

    def _started(self) -> dict[str, Row]:
        self._say("the first opening, which brings the file to this build's schema, then starts by turns")
        upgrade = {name: self._one(name, "start", self._work / name) for name in self._builds}["ours"]
        starts = self._by_turns("start", self._work)
        limit = min(bare.start_cpu_s(self._work / "crowd" / "gallery.db") for _ in range(self._options.rounds))
        return {
            "upgrade_s": Row(upgrade["wall_s"]),
            "upgrade_cpu_s": Row(upgrade["cpu_s"]),
            "start_cpu_s": _row(starts, "cpu_s", limit=limit, goal=5.0),
            "start_s": _row(starts, "wall_s"),
            "start_rss_mib": _row(starts, "rss_mib"),
        }

    def _searched(self, templates: F32, asked: F32) -> dict[str, Row]:
        self._say(f"{_PROBES} searches, by turns")
        found = self._by_turns("search", self._work, str(self._probes))
        alone = [bare.search_ms(templates, asked, TOP_K) for _ in range(self._options.rounds)]
        limit = _percentiles(min(alone, key=lambda took: _percentiles(took)[0]))
        ours, theirs = (_fastest(found[name]) if name in found else None for name in ("ours", "before"))
        assert ours is not None
        rows = {
            f"search_p{percent}_ms": Row(ours[place], theirs and theirs[place], limit[place])
            for place, percent in enumerate((50, 99))
        }
        nearest = [Somebody(int(number)).id for number in (asked @ templates.T).argmax(axis=1)]
        named = found["ours"][0]["named"]
        met = [name == nearest[row] for row, name in enumerate(named) if row % 10]
        return rows | {"search_recall": Row(sum(met) / len(met))}

    def _followed(self) -> dict[str, Row]:
        self._say("what a service spends where somebody is enrolled beside it")
        found = {
            name: self._one(name, "follow", self._work / name, str(self._chips), str(_FOLLOWED))
            for name in self._builds
        }
        return {"follow_cpu_s": _row({name: [{"cpu_s": min(one["cpu_s"])}] for name, one in found.items()}, "cpu_s")}

    def _enrolled(self) -> dict[str, Row]:
        options = self._options
        self._say(f"{options.photos} made-up photos enrolled, by turns; then some into the large gallery")
        people = options.photos // PHOTOS_EACH
        into_empty: dict[str, list[dict[str, Any]]] = {name: [] for name in self._builds}
        for number in range(options.rounds):
            for name in self._builds:
                fresh = self._work / f"{name}-empty{number}"
                into_empty[name].append(self._one(name, "enrol", fresh, str(self._chips), str(people)))
        bare_s = min(self._bare_enrol_s(number, people) for number in range(options.rounds))
        into_many = self._by_turns("enrol", self._work, str(self._chips), str(_AMONG_MANY), rounds=1)
        rows = {
            "enrolled_photos_per_s": _rate(into_empty, limit=PHOTOS_EACH * people / bare_s),
            "enrolled_photos_per_cpu_s": _rate(into_empty, "cpu_s"),
            "enrolled_among_many_photos_per_s": _rate(into_many),
        }
        if options.faces is not None:
            self._say(f"real photos of {options.faces.name} enrolled")
            rows |= self._enrolled_real(options.faces)
        return rows

    def _enrolled_real(self, faces: Path) -> dict[str, Row]:
        """By turns, each into a gallery of its own; the limit is what the same runs of the networks take by
        themselves, in the round in which ours came nearest to it.
        """
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in self._builds}
        for number in range(self._options.rounds):
            for name in self._builds:
                fresh = self._work / f"{name}-real{number}"
                found[name].append(self._one(name, "photos", fresh, str(faces), str(self._options.photos)))
        nearest = max(found["ours"], key=lambda one: one["bare_s"] / one["wall_s"])
        found["ours"] = [nearest]
        photos = nearest["photos"]
        by_wall, by_cpu = photos / nearest["bare_s"], photos / nearest["bare_cpu_s"]
        return {
            "enrolled_real_photos_per_s": replace(_rate(found, limit=by_wall), goal=_SHARE_OF_NETWORKS * by_wall),
            "enrolled_real_photos_per_cpu_s": _rate(found, "cpu_s", limit=by_cpu),
        }

    def _bare_enrol_s(self, number: int, people: int) -> float:
        folder = self._work / f"bare{number}"
        folder.mkdir()
        return bare.enrol_s(folder, np.load(self._chips), people)

    def _forgotten(self) -> dict[str, Row]:
        self._say("somebody is forgotten while a service searches")
        somebody = Somebody(self._options.people // 2).id
        found = {
            name: _forgotten(
                self._one(name, "forget", self._work / name, str(self._probes), somebody, str(self._options.beside_s))
            )
            for name in self._builds
        }
        return {
            "forget_key_s": _row(found, "forgotten", goal=2.0),
            "forget_done_s": _row(found, "done"),
            "forget_unknown_s": _row(found, "unknown_s"),
            "forget_search_p50_ms": _row(found, "p50_ms", limit=found["ours"][0]["idle_p50_ms"]),
            "forget_search_p99_ms": _row(found, "p99_ms", limit=found["ours"][0]["idle_p99_ms"]),
        }

    def _by_turns(
        self, what: str, folder: Path, *arguments: str, rounds: int | None = None
    ) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in self._builds}
        for _ in range(rounds or self._options.rounds):
            for name in self._builds:
                found[name].append(self._one(name, what, folder / name, *arguments))
        return found

    def _one(self, name: str, what: str, data: Path, *arguments: str) -> dict[str, Any]:
        data.mkdir(exist_ok=True)
        command = [sys.executable, "-P", "-W", "ignore", probe.__file__, what, str(data), *arguments]
        variables = {**os.environ, "PYTHONPATH": str(self._builds[name])}
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no output"])[-1]
            raise BenchFailed(f"the gallery's part of the benchmark failed at {what} of {name}: {last}")
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found


def _row(
    found: Mapping[str, Sequence[Mapping[str, float]]], key: str, limit: float | None = None, goal: float | None = None
) -> Row:
    """The least of the rounds of each build."""
    ours, theirs = (min((one[key] for one in found.get(name, ())), default=None) for name in ("ours", "before"))
    assert ours is not None
    return Row(ours, theirs, limit, goal)


def _rate(found: Mapping[str, Sequence[Mapping[str, float]]], of: str = "wall_s", limit: float | None = None) -> Row:
    """Photos a second (`of` what time) in the fastest round of each build; nine tenths of the one before are wanted."""
    ours, theirs = (
        max((one["photos"] / one[of] for one in found.get(name, ())), default=None) for name in ("ours", "before")
    )
    assert ours is not None
    return Row(ours, theirs, limit, None if theirs is None else 0.9 * theirs)


def _fastest(rounds: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    return min(_percentiles(one["took_ms"]) for one in rounds)


def _percentiles(took_ms: Sequence[float]) -> tuple[float, float]:
    p50, p99 = np.percentile(took_ms[_WARM_UP:], [50, 99])
    return float(p50), float(p99)


def _forgotten(found: Mapping[str, Any]) -> list[dict[str, float]]:
    """probe.forget()'s figures; searches meanwhile are those that were due until all was done and followed."""
    done_s = max(found["done"].values())
    until_s = max(done_s, found["unknown_s"])
    figures = {"forgotten": found["done"]["forgotten"], "done": done_s, "unknown_s": found["unknown_s"]}
    for prefix, (first_s, last_s) in (("idle_", (-np.inf, 0.0)), ("", (0.0, until_s))):
        took_ms = [took for due_s, took in found["searches"] if first_s <= due_s < last_s]
        p50, p99 = np.percentile(took_ms, [50, 99])
        figures |= {f"{prefix}p50_ms": float(p50), f"{prefix}p99_ms": float(p99)}
    return [figures]


def _rounded(value: float | None) -> float | None:
    """Three digits that mean something."""
    return None if value is None else float(f"{value:.3g}") if abs(value) < 100 else round(value)


def _cpu_s() -> tuple[float, float, float]:
    """(all, idle, own) CPU seconds; own: with the processes that were started."""
    times = psutil.cpu_times()
    own = sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
    return sum(times), times.idle + getattr(times, "iowait", 0.0), own
