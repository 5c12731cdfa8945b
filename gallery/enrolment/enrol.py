"""Enrolment: photos -> faces -> quality gate -> store; a diverse few of the good ones are kept, the others told.

Runs on the event loop; files, pixels and the store are touched on threads.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gallery.enrolment.photo_reading import InFlight, Read, of_file
from gallery.enrolment.quality_gate import Gate, Pick
from gallery.enrolment.report import EnrolReport, Refused, Taken
from gallery.enrolment.settling import Terms, Whom, known_digests, person_of, profile_of, settle
from gallery.enrolment.shots import Album, FaceFinder, Shot, only_fault, take
from gallery.errors import (
    EnrolledAlready,
    ExternalIdTaken,
    GallerySealBroken,
    NameInvalid,
    NameTaken,
    NoPhotoAccepted,
    PersonAmbiguous,
    PersonNotFound,
)
from gallery.people import Profile
from gallery.storage.store import PersonStore
from recognition.errors import CodedError

__all__ = [
    "EnrolReport",
    "FaceFinder",
    "Gate",
    "InFlight",
    "Outcome",
    "Pick",
    "Refused",
    "Sitter",
    "Taken",
    "Terms",
    "Whom",
    "enrol",
    "enrol_many",
    "settled",
]

Progress = Callable[[int, int], None]
# What is wrong with one person of many; the others go on.
_ONE_PERSONS = (
    NoPhotoAccepted,
    EnrolledAlready,
    NameInvalid,
    NameTaken,
    PersonAmbiguous,
    PersonNotFound,
    ExternalIdTaken,
    GallerySealBroken,
)
_PHOTOS_AHEAD = 4  # so many times those in flight are looked at before their people's turn has come


def _nobody_asks(done: int, total: int) -> None:
    pass


async def enrol(
    who: str | Profile,
    paths: Sequence[Path],
    finder: FaceFinder,
    store: PersonStore,
    terms: Terms,
    *,
    read: Read = of_file,
    in_flight: InFlight | None = None,
    progress: Progress = _nobody_asks,
) -> EnrolReport:
    """Enrol a person from photos, or add photos to the one who has this name (or id) already.

    `read`: what the paths lead to, so many at once as are `in_flight` (None: one). `progress` is told (photos done,
    total). Raises NoPhotoAccepted and EnrolledAlready (then nothing was written), NameInvalid, NameTaken,
    PersonAmbiguous, ExternalIdTaken, and whatever the store or the finder raises that is not one photo's fault.
    """
    profile = profile_of(who)
    album = await _album(profile, paths, finder, store, terms, read, in_flight or InFlight(), progress)
    return await settled(profile, album, paths, finder, store, terms)


async def settled(
    who: Profile,
    album: Album,
    paths: Sequence[Path],
    finder: FaceFinder,
    store: PersonStore,
    terms: Terms,
    chosen: Mapping[Path, Shot] | None = None,
) -> EnrolReport:
    """settle(), on a thread of its own and to its end, also when this is cancelled: the gallery may be closed then."""
    work = asyncio.to_thread(settle, who, album, paths, finder.spaces, store, terms, chosen)
    writing = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(writing)
    finally:
        await asyncio.wait([writing])


async def _album(
    who: Profile,
    paths: Sequence[Path],
    finder: FaceFinder,
    store: PersonStore,
    terms: Terms,
    read: Read,
    in_flight: InFlight,
    progress: Progress,
) -> Album:
    known = await asyncio.to_thread(_known_in_all, who, finder.spaces, store, terms.whom)
    return await take(paths, finder, terms.gate, terms.pick, known, progress, read=read, in_flight=in_flight)


def _known_in_all(who: Profile, spaces: Sequence[str], store: PersonStore, whom: Whom) -> frozenset[str]:
    return frozenset.intersection(*known_digests(person_of(who, store, whom), spaces, store).values())


@dataclass(frozen=True, slots=True)
class Sitter:
    """Somebody who is to be enrolled, and from which photos."""

    who: Profile
    photos: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one person of many: a report, or why there is none."""

    sitter: Sitter
    report: EnrolReport | None
    error: CodedError | None = None


async def enrol_many(
    sitters: Iterable[Sitter],
    finder: FaceFinder,
    store: PersonStore,
    terms: Terms,
    told: Callable[[Outcome], None],
    *,
    read: Read = of_file,
    in_flight: InFlight | None = None,
    looked: Callable[[], None] = lambda: None,
) -> None:
    """As enrol(), one person after another; photos of those who come next are looked at meanwhile.

    told() gets each person's outcome, in the order given, when it is in the gallery; looked() is called for each photo
    that was looked at. Each person is there wholly or not at all, whatever ends it. Raises what is nobody's fault.
    """
    in_flight = in_flight or InFlight()
    ahead = deque[tuple[Sitter, asyncio.Task[Album | CodedError]]]()
    waiting = 0

    async def one() -> None:
        nonlocal waiting
        sitter, task = ahead.popleft()
        told(await _outcome(sitter, await task, finder, store, terms))
        waiting -= 1 + len(sitter.photos)

    try:
        async with asyncio.TaskGroup() as tasks:
            for sitter in sitters:
                look = _looked(sitter, finder, store, terms, read, in_flight, looked)
                ahead.append((sitter, tasks.create_task(look, name="person")))
                waiting += 1 + len(sitter.photos)
                while ahead and waiting > _PHOTOS_AHEAD * in_flight.photos:
                    await one()
            while ahead:
                await one()
    except BaseExceptionGroup as faults:
        raise only_fault(faults) from None


async def _looked(
    sitter: Sitter,
    finder: FaceFinder,
    store: PersonStore,
    terms: Terms,
    read: Read,
    in_flight: InFlight,
    looked: Callable[[], None],
) -> Album | CodedError:
    def progress(done: int, total: int) -> None:
        if done:
            looked()

    try:
        who = profile_of(sitter.who)
        return await _album(who, sitter.photos, finder, store, terms, read, in_flight, progress)
    except _ONE_PERSONS as error:
        return error.with_traceback(None)


async def _outcome(
    sitter: Sitter, album: Album | CodedError, finder: FaceFinder, store: PersonStore, terms: Terms
) -> Outcome:
    if isinstance(album, CodedError):
        return Outcome(sitter, None, album)
    try:
        report = await settled(profile_of(sitter.who), album, sitter.photos, finder, store, terms)
    except _ONE_PERSONS as error:
        return Outcome(sitter, None, error.with_traceback(None))
    return Outcome(sitter, report)
