"""`bench --idle`: what quiet cameras cost, beside the build before and bare decoding, and whether a visit is missed.

Settings and options go in, the key `idle` of the machine-readable output comes out. On the benchmark's loop; each row
is told as soon as it is measured, and a part that fails is told in its row.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from recognition.errors import WeightsMissing
from recognition.specs.files import find_spec, load_specs
from recognition.specs.weights import find_artifacts
from streamer.bench.idle import measure
from streamer.bench.idle.measure import Bench, latencies_ms, percentile
from streamer.bench.idle.people import People, people_of
from streamer.bench.idle.rows import Row, Table
from streamer.bench.idle.serving import BEFORE, COMMIT, OURS, Build, builds, fresh_folder
from streamer.bench.idle.truth import missed_by_ours
from streamer.bench.idle.watched import Plan, Run
from streamer.bench.parts import Parts
from streamer.errors import BenchFailed
from streamer.settings import Settings

Say = Callable[[str], None]

DETECTOR, EMBEDDER = "scrfd_500m", "edgeface_xxs"
PARTS = ("vbr", "cbr", "many", "scenes", "busy", "memory")
QUIET = ("empty", "negative")  # of the scenes: nobody is there
GOALS = {
    "cpu_ratio_to_before": 0.2,
    "cpu_ratio_to_decode": 0.4,
    "cbr_cpu_ratio_to_before": 0.5,
    "visits_missed": 0.0,
    "asleep_p95_ms": 1200.0,
    "awake_p95_ms": 250.0,
    "busy8_p95_ms": 400.0,
    "rss_ratio_to_before": 0.5,
}


@dataclass(frozen=True, slots=True)
class IdleBenchOptions:
    """folder: .bench/, where scenes and the build before are kept. faces: a ZIP with a folder a person. crowd: a clip
    for busy cameras; negative: one without faces. longest_s: of one measurement; parts: some of PARTS."""

    folder: Path
    faces: Path | None
    crowd: Path | None = None
    negative: Path | None = None
    longest_s: float | None = None
    parts: tuple[str, ...] = PARTS


async def run_idle(settings: Settings, options: IdleBenchOptions, parts: Parts) -> dict[str, Any]:
    """Measure the parts that are asked for; what fails is in `parts`. {"idle": {...}}, figures without one are None."""
    idle, say = _Idle(options, parts), parts.say
    with tempfile.TemporaryDirectory(prefix="whosthere-bench-") as scratch:
        bench = await parts.run("idle", _prepared(settings, options, Path(scratch), say))
        if bench is not None:
            await idle.measured(bench)
    return {"idle": idle.document()}


async def _prepared(settings: Settings, options: IdleBenchOptions, work: Path, say: Say) -> Bench:
    """The builds, each with the same people enrolled. Raises BenchFailed."""
    if options.faces is None:
        raise BenchFailed(
            "quiet cameras are visited by people of photos; give a ZIP with a folder a person by --faces "
            "(`make bench` takes ../shared/faces/lfw_dev.zip by itself, where that is there)"
        )
    for file in (options.crowd, options.negative):
        if file is not None and not file.is_file():
            raise BenchFailed(f"clip {file} is not there; give another by --clip or --negative")
    _need_weights(settings.paths.models)
    people = people_of(options.faces)
    there = await asyncio.to_thread(builds, options.folder)
    if BEFORE not in there:
        say(f"the build before ({COMMIT}) is not in this checkout's history: there is nothing to compare with")
    config = {
        "paths": {"models": [str(folder.absolute()) for folder in settings.paths.models]},
        "recognition": {"detector": DETECTOR, "embedder": EMBEDDER, "device": "cpu"},
    }
    galleries = {}
    for name, build in there.items():
        say(f"enrolling {len(people.enrolled)} people with {name}")
        galleries[name] = await _enrolled(build, people, config, work / f"gallery-{name}")
    return Bench(there, galleries, people, config, options.folder / "idle", work, options.longest_s, say)


def _need_weights(folders: Sequence[Path]) -> None:
    """Before anything takes minutes. Raises BenchFailed."""
    specs = load_specs(beside=folders)
    try:
        for name in (DETECTOR, EMBEDDER):
            find_artifacts(find_spec(name, specs), folders)
    except WeightsMissing as error:
        raise BenchFailed(f"{error}; `make bench` names ../shared/models by itself, where that is there") from None


async def _enrolled(build: Build, people: People, config: Mapping[str, Any], folder: Path) -> Path:
    fresh_folder(folder, None)
    await asyncio.to_thread(people.write_enrolment, folder / "people")
    own = {**config, "paths": {**config["paths"], "data": "data", "keys": "keys"}}
    (folder / "whosthere.yaml").write_text(yaml.safe_dump(own), encoding="utf-8")
    enrol = ("-m", "streamer", "enrol", "--from", "people", "--config", "whosthere.yaml")
    await build.command(*enrol, folder=folder)
    shutil.rmtree(folder / "people")
    return folder


class _Idle:
    """The table as it grows."""

    def __init__(self, options: IdleBenchOptions, parts: Parts) -> None:
        self._options = options
        self._parts = parts
        self._say = parts.say
        self._table = Table(parts.say)
        self._missed: dict[str, int] = {}
        self._more: dict[str, Any] = {}

    def document(self) -> dict[str, Any]:
        """The keys of the interface first, whatever was measured."""
        figures: dict[str, Any] = dict.fromkeys(GOALS)
        rows = self._table.document()
        for key in GOALS:
            figures[key] = rows.get(key, {}).get("ours")
        return {**figures, "rows": rows, **self._more}

    async def measured(self, bench: Bench) -> None:
        steps: dict[str, Callable[[Bench], Awaitable[None]]] = {
            "vbr": self._vbr,
            "cbr": self._cbr,
            "many": self._many,
            "scenes": self._scenes,
            "busy": self._busy,
            "memory": self._memory,
        }
        for part in self._options.parts:
            self._say(f"{part}: making its pictures, where they are not there yet, and watching them")
            await self._parts.run(part, steps[part](bench))
        if self._missed:
            self._table.add("visits_missed", Row(sum(self._missed.values()), goal=GOALS["visits_missed"]))
            self._more["visits_missed_by_part"] = self._missed

    async def _by_turns(self, bench: Bench, plan: Plan, part: str) -> dict[str, Run]:
        """Ours, then the build before; one that fails leaves the other one's row."""
        runs = {}
        for name in bench.builds:
            run = await self._parts.run(f"{part}, {name}", bench.watched(name, plan))
            if run is not None:
                runs[name] = run
        if OURS in runs:
            self._told(part, runs)
        return runs

    def _told(self, part: str, runs: Mapping[str, Run]) -> None:
        """Who was told, beside who was there; how much of the machine was others'."""
        self._disturbed(part, runs)
        ours, before = runs[OURS], runs.get(BEFORE)
        walks = len(ours.matched.told) + len(ours.matched.missed)
        if walks:
            self._missed[part] = missed_by_ours(ours.matched, before.matched if before else None)
            count = {name: len(run.matched.told) + len(run.matched.missed) for name, run in runs.items()}
            share = {name: len(run.matched.told) / count[name] for name, run in runs.items() if count[name]}
            self._table.add(f"{part}_walks", Row(walks, count.get(BEFORE)))
            self._table.add(f"{part}_visits_told_share", Row(share[OURS], share.get(BEFORE), goal=1.0))
            for what, whom in (("told", ours.matched.missed), ("named", ours.matched.unnamed)):
                who = [f"{one.camera} {one.person} ({one.from_at - ours.heard.began_at:.1f} s)" for one in whom]
                if who:
                    self._say(f"  not {what} by ours: {', '.join(who)}")
            named = {name: run.matched.named for name, run in runs.items()}
            self._table.add(f"{part}_named", Row(named[OURS], named.get(BEFORE)))
            self._table.add(
                f"{part}_misnamed", Row(ours.matched.misnamed, before.matched.misnamed if before else None, goal=0.0)
            )
        extra = {name: len(run.matched.extra) for name, run in runs.items()}
        self._table.add(f"{part}_events_of_nobody", Row(extra[OURS], extra.get(BEFORE)))
        for gate, cameras in ours.gates.items():
            self._table.add(f"{part}_{gate}_gate_open", Row(sum(cameras.values()) / max(1, len(cameras))))

    def _disturbed(self, part: str, runs: Mapping[str, Run]) -> None:
        others = self._more.setdefault("others_share", {})
        others[part] = {name: round(run.others_share, 3) for name, run in runs.items()}

    async def _vbr(self, bench: Bench) -> None:
        decode = await self._parts.run("bare decoding", measure.decode_share(bench))
        runs = await self._by_turns(bench, await measure.streams_plan(bench, "vbr"), "vbr")
        self._cost("cpu_share", "cpu_ratio_to_before", runs, decode)
        if OURS in runs and decode:
            self._table.add(
                "cpu_ratio_to_decode", Row(runs[OURS].cpu_share / decode, goal=GOALS["cpu_ratio_to_decode"])
            )
        self._waits(runs)

    async def _cbr(self, bench: Bench) -> None:
        runs = await self._by_turns(bench, await measure.streams_plan(bench, "cbr"), "cbr")
        self._cost("cbr_cpu_share", "cbr_cpu_ratio_to_before", runs, None)

    def _cost(self, share: str, ratio: str, runs: Mapping[str, Run], limit: float | None) -> None:
        """CPU seconds a second, and their ratio."""
        if OURS not in runs:
            return
        ours, before = runs[OURS].cpu_share, runs[BEFORE].cpu_share if BEFORE in runs else None
        self._table.add(share, Row(ours, before, limit))
        if before:
            self._table.add(ratio, Row(ours / before, goal=GOALS.get(ratio)))

    def _waits(self, runs: Mapping[str, Run]) -> None:
        """How late: after the first picture with the whole face, and after the picture that decided."""
        for key, is_first in (("asleep_p95_ms", True), ("awake_p95_ms", False)):
            waits = {name: run.matched.waits_s(is_first=is_first) for name, run in runs.items()}
            p95 = {name: _ms(percentile(found, 95)) for name, found in waits.items()}
            p50 = {name: _ms(percentile(found, 50)) for name, found in waits.items()}
            if p95.get(OURS) is not None:
                self._table.add(key, Row(p95[OURS], p95.get(BEFORE), goal=GOALS[key]))
                self._table.add(key.replace("p95", "p50"), Row(p50[OURS], p50.get(BEFORE)))
        captured = {name: percentile(latencies_ms(run), 95) for name, run in runs.items()}
        if captured.get(OURS) is not None:
            self._table.add("vbr_captured_p95_ms", Row(captured[OURS], captured.get(BEFORE)))

    async def _many(self, bench: Bench) -> None:
        run = await bench.watched(OURS, await measure.many_plan(bench))
        self._table.add("many64_share_of_two_cores", Row(run.cpu_share / 2.0, goal=0.8))
        self._told("many64", {OURS: run})

    async def _scenes(self, bench: Bench) -> None:
        runs = await self._by_turns(bench, await measure.scenes_plan(bench, self._options.negative), "scenes")
        self._cost("scenes_cpu_share", "scenes_cpu_ratio_to_before", runs, None)
        if OURS not in runs:
            return
        quiet = {name: sum(one.camera in QUIET for one in run.matched.extra) for name, run in runs.items()}
        self._table.add("quiet_scenes_events", Row(quiet[OURS], quiet.get(BEFORE), goal=0.0))
        gates = runs[OURS].gates
        self._more["gates_open"] = {
            gate: {camera: round(share, 3) for camera, share in cameras.items()} for gate, cameras in gates.items()
        }
        for gate, cameras in gates.items():
            told = ", ".join(f"{camera} {share:.0%}" for camera, share in sorted(cameras.items()))
            self._say(f"  gate before the {gate} was open: {told}")

    async def _busy(self, bench: Bench) -> None:
        plan = await measure.busy_plan(bench, self._options.crowd)
        runs = {}
        for name in bench.builds:
            run = await self._parts.run(f"busy, {name}", bench.watched(name, plan))
            if run is not None:
                runs[name] = run
        self._disturbed("busy", runs)
        found = {name: latencies_ms(run) for name, run in runs.items()}
        p95 = {name: percentile(values, 95) for name, values in found.items()}
        if OURS not in runs:
            return
        if p95[OURS] is None:
            self._parts.fail("busy", "no event was heard, so there is no latency to tell; choose a clip with faces")
        self._table.add("busy8_p95_ms", Row(p95[OURS], p95.get(BEFORE), goal=GOALS["busy8_p95_ms"]))
        self._table.add("busy8_events", Row(len(found[OURS]), len(found[BEFORE]) if BEFORE in found else None))
        least = {name: min(measure.shares(run).values(), default=0.0) for name, run in runs.items()}
        self._table.add("busy8_least_share_of_mean", Row(least[OURS], least.get(BEFORE), goal=0.5))
        self._more["busy8_shares"] = {name: measure.shares(run) for name, run in runs.items()}
        self._cost("busy8_cpu_share", "busy8_cpu_ratio_to_before", runs, None)

    async def _memory(self, bench: Bench) -> None:
        plan = await measure.memory_plan(bench)
        above: dict[str, float] = {}
        for name in bench.builds:
            bare = await self._parts.run(f"memory, {name}, imports", measure.bare_imports_mib(bench, name))
            run = await self._parts.run(f"memory, {name}", bench.watched(name, plan))
            if bare is not None and run is not None:
                self._table.add(f"rss_{name}_mib", Row(run.rss_mib, limit=bare))
                above[name] = run.rss_mib - bare
        if OURS in above:
            self._table.add("rss_above_imports_mib", Row(above[OURS], above.get(BEFORE)))
        if BEFORE in above and OURS in above:
            ratio = above[OURS] / above[BEFORE]
            self._table.add("rss_ratio_to_before", Row(ratio, goal=GOALS["rss_ratio_to_before"]))


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else 1000.0 * seconds
