"""One measurement of one build's gallery, as a program of its own: of this build, or of the release before.

`python -P probe.py WHAT ARGUMENTS` with the build's folder in PYTHONPATH; figures found are lines of JSON on stdout.
It calls only what both builds have, and what the one before lacks where it is there.
"""

import asyncio
import hashlib
import inspect
import json
import resource
import sys
import time
import zipfile
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import uvloop

from gallery.errors import NoPhotoAccepted
from gallery.people import NewPhoto, NewTemplate
from recognition.arrays import F32, U8
from recognition.recogniser import Recogniser
from recognition.specs.files import load_specs
from recognition.specs.spec import EmbedderSpec
from streamer.model_layer.enrolling import enrol_person
from streamer.model_layer.setup import open_for_enrolment
from streamer.pipeline.live_gallery import LiveGallery
from streamer.pipeline.tracking import KeptFace
from streamer.process import open_gallery
from streamer.settings import Settings
from streamer.telemetry.metrics import Metrics

Found = dict[str, Any]

try:
    from streamer.settings_reading import load
except ImportError:  # the release before has it there
    from streamer.settings import load  # type: ignore[attr-defined,no-redef]

try:
    from gallery.enrolment.enrol import Outcome, Sitter, enrol_many
    from gallery.people import Profile
    from streamer.bench.gallery.networks import recorded
    from streamer.model_layer.enrolling import EnrolmentDesk
except ImportError:  # the release before enrols one after another
    EnrolmentDesk, recorded = None, None  # type: ignore[assignment,misc]

EMBEDDER = "arcface_w600k_mbf"
SEARCH_EVERY_S = 0.025  # while somebody is forgotten: eight cameras that ask five times a second
_GONE_WITHIN_S = 60.0


def main(arguments: Sequence[str]) -> None:
    """WHAT is the name of one of the functions below."""
    what, data, *rest = arguments
    settings = load(overrides=[f"paths.data={data}"])
    if what == "erase":
        erase(settings, *rest)
        return
    measures: dict[str, Callable[..., Coroutine[None, None, Found]]] = {
        measure.__name__: measure for measure in (start, search, follow, enrol, photos, forget)
    }
    _say(uvloop.run(measures[what](settings, *rest)))


async def start(settings: Settings) -> Found:
    """The gallery opened as the service opens it: everybody's names, the index of the templates."""
    began_cpu_s, began_s = time.process_time(), time.monotonic()
    async with LiveGallery.open(settings, _models(), Metrics()) as live_gallery:
        cpu_s, wall_s = time.process_time() - began_cpu_s, time.monotonic() - began_s
        return {
            "cpu_s": cpu_s,
            "wall_s": wall_s,
            "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0,
            "people": live_gallery.people,
        }


async def search(settings: Settings, probes: str) -> Found:
    """Each probe of the .npy file (n,d) by itself, as a camera asks: how long it took, ms, and who it is."""
    async with LiveGallery.open(settings, _models(), Metrics()) as live_gallery:
        took_ms, named = [], []
        for face in np.load(probes):
            began_s = time.perf_counter()
            (verdict,) = await live_gallery.identify([[KeptFace(face, 0.9, EMBEDDER)]])
            took_ms.append(1000.0 * (time.perf_counter() - began_s))
            named.append(verdict.match.person_id)
    return {"took_ms": took_ms, "named": named}


async def follow(settings: Settings, chips: str, times: str) -> Found:
    """What it costs a service that somebody was enrolled elsewhere: CPU s of one refresh, each of so many times."""
    async with LiveGallery.open(settings, _models(), Metrics()) as live_gallery:
        cpu_s = []
        with _store(settings) as store:
            for number in range(int(times)):
                store.add_person(f"Newcomer {number}", _photos_of(1_000_000 + number, np.load(chips)[:1]))
                began_s = time.process_time()
                await live_gallery.refresh()
                cpu_s.append(time.process_time() - began_s)
    return {"cpu_s": cpu_s, "people": live_gallery.people}


async def enrol(settings: Settings, chips: str, people: str) -> Found:
    """So many people with a photo for each chip, written one person after another: chips to JPEG, rows, commit."""
    crowd = [(f"Enrolled {number}", _photos_of(number, np.load(chips))) for number in range(int(people))]
    with _store(settings) as store:
        began_cpu_s, began_s = time.process_time(), time.monotonic()
        for name, photos_of_one in crowd:
            store.add_person(name, photos_of_one)
        cpu_s, wall_s = time.process_time() - began_cpu_s, time.monotonic() - began_s
    return {"photos": sum(len(photos_of_one) for _, photos_of_one in crowd), "cpu_s": cpu_s, "wall_s": wall_s}


async def photos(settings: Settings, archive: str, most: str) -> Found:
    """Real photos out of a ZIP with a folder a person, through the models, as `enrol` does it for a folder of them.

    bare_s: what the very same runs of the networks take with nothing around them, after that; of this build alone.
    """
    folder = settings.paths.data / "photos"
    people: dict[str, list[Path]] = {}
    with zipfile.ZipFile(archive) as packed:
        for name in sorted(name for name in packed.namelist() if name.endswith(".jpg"))[: int(most)]:
            people.setdefault(Path(name).parent.name, []).append(Path(packed.extract(name, folder)))
    with _store(settings) as store:
        async with open_for_enrolment(settings) as recogniser:
            runs = recorded(recogniser) if recorded is not None else None
            began_cpu_s, began_s = time.process_time(), time.monotonic()
            taken = await _enrolled(settings, recogniser, store, people)
            found = {"cpu_s": time.process_time() - began_cpu_s, "wall_s": time.monotonic() - began_s}
            if runs is not None:
                began_cpu_s = time.process_time()
                found["bare_s"] = await asyncio.to_thread(runs.replay_s)
                found["bare_cpu_s"] = time.process_time() - began_cpu_s
    return {"photos": sum(map(len, people.values())), "taken": taken, **found}


async def _enrolled(settings: Settings, recogniser: Recogniser, store: Any, people: dict[str, list[Path]]) -> int:  # noqa: ANN401
    """How many photos were taken. The release before has a command for one person after another alone."""
    taken = 0
    if EnrolmentDesk is None:
        for name, files in people.items():
            with suppress(NoPhotoAccepted):
                taken += len(
                    (await enrol_person(settings, recogniser, store, name, files, "largest", force=True)).taken
                )
        return taken

    def told(outcome: Outcome) -> None:
        nonlocal taken
        taken += len(outcome.report.taken) if outcome.report else 0

    desk = EnrolmentDesk(settings, recogniser, store)
    sitters = [Sitter(Profile(name), tuple(files)) for name, files in people.items()]
    terms = desk.terms("largest", force=True)
    await enrol_many(sitters, desk.finder, store, terms, told, in_flight=desk.in_flight())
    return taken


async def forget(settings: Settings, probes: str, person_id: str, beside_s: str) -> Found:
    """A service that searches, from some seconds before to some after a process of its own forgets somebody.

    searches: (when it was due, s since that process began to erase; how long it took from then, ms); done: by what is
    done, s; unknown_s: when the service had no name for the person any more.
    """
    faces = np.load(probes)
    async with LiveGallery.open(settings, _models(), Metrics()) as live_gallery:
        searches: list[tuple[float, float]] = []
        unknown, unknown_at_s = asyncio.Event(), 0.0

        def changed(gone: object) -> None:
            nonlocal unknown_at_s
            if not unknown.is_set() and live_gallery.name_of(person_id) is None:
                unknown_at_s = time.monotonic()
                unknown.set()

        tasks = [
            asyncio.create_task(live_gallery.follow(changed), name="gallery"),
            asyncio.create_task(_search_on(live_gallery, faces, searches), name="searches"),
        ]
        try:
            await asyncio.sleep(float(beside_s))
            done = await _erased_elsewhere(settings, person_id)
            async with asyncio.timeout(_GONE_WITHIN_S):
                await unknown.wait()
            await asyncio.sleep(float(beside_s))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    began_s = done.pop("began")
    return {
        "searches": [(due_s - began_s, took_ms) for due_s, took_ms in searches],
        "done": {what: at_s - began_s for what, at_s in done.items()},
        "unknown_s": unknown_at_s - began_s,
    }


def erase(settings: Settings, person_id: str) -> None:
    """Forget somebody; a line for what is done as soon as it is."""
    with _store(settings) as store:
        _say({"began": time.monotonic()})
        store.forget(person_id)
        _say({"forgotten": time.monotonic()})
        if hasattr(store, "vacuum"):
            if not store.vacuum():
                raise RuntimeError("the file could not be written anew: somebody used it for too long")
            _say({"vacuumed": time.monotonic()})


async def _erased_elsewhere(settings: Settings, person_id: str) -> dict[str, float]:
    arguments = [sys.executable, "-P", __file__, "erase", str(settings.paths.data), person_id]
    process = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)
    told, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"forgetting somebody ended with {process.returncode}")
    return {what: at_s for line in told.splitlines() for what, at_s in json.loads(line).items()}


async def _search_on(live_gallery: LiveGallery, faces: F32, searches: list[tuple[float, float]]) -> None:
    """One search after another, each due so long after the one before; what holds one up is in the next ones' times."""
    due_s = time.monotonic()
    for number in range(sys.maxsize):
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        await live_gallery.identify([[KeptFace(faces[number % len(faces)], 0.9, EMBEDDER)]])
        searches.append((due_s, 1000.0 * (time.monotonic() - due_s)))
        due_s += SEARCH_EVERY_S


def _models() -> Recogniser:
    """What a gallery asks of a recogniser: the embedder's spec and a pool to search on. Weights are not loaded."""
    stand_in = SimpleNamespace(
        detector=SimpleNamespace(spec=_specs()["scrfd_500m"]),
        embedder=SimpleNamespace(spec=_spec()),
        manager=None,  # of members that have to agree alone
        signature_with=lambda spec: spec.name,
        pool=ThreadPoolExecutor(2, thread_name_prefix="cpu"),
    )
    return cast(Recogniser, stand_in)


def _store(settings: Settings) -> Any:  # noqa: ANN401 - the other build's class is another one
    takes_a_path = "path" in inspect.signature(open_gallery).parameters
    return open_gallery(cast(Any, settings.gallery_path if takes_a_path else settings))


def _photos_of(number: int, chips: U8) -> list[NewPhoto]:
    """Made-up photos of one person, one for each chip (n,256,256,3), each with a template of 512 numbers."""
    rng = np.random.default_rng([4, number])
    made = []
    for photo, chip in enumerate(chips):
        face = rng.standard_normal(512)
        template = NewTemplate(_spec().space, "bench", (face / np.linalg.norm(face)).astype(np.float32))
        digest = hashlib.sha256(f"{number} {photo}".encode()).hexdigest()
        made.append(NewPhoto(chip, np.zeros((5, 2), np.float32), digest, (template,), 0.9))
    return made


_specs = cache(load_specs)


def _spec() -> EmbedderSpec:
    spec = _specs()[EMBEDDER]
    assert isinstance(spec, EmbedderSpec)
    return spec


def _say(found: Found) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
