"""Enrolment: photo files -> faces -> quality gate -> store; good photos are kept, bad ones told with reasons.

Runs on the event loop; files, pixels and the store are touched on threads. A template of the wrong person
makes false names from then on: a photo that stands alone among three or more is refused, and so is one of somebody
who is enrolled under another name.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gallery.enrolment.likeness import Other, agreement, others_alike
from gallery.enrolment.quality_gate import Gate, Pick
from gallery.enrolment.shots import Album, FaceFinder, Shot, choose, embedding_in, take
from gallery.errors import EnrolledAlready, NoPhotoAccepted, OtherPerson, PersonDiffers, PersonNotFound
from gallery.people import Person, Templates, clean_name, space_mismatch
from gallery.storage.store import PersonStore
from recognition.arrays import F32
from recognition.errors import CodedError

__all__ = ["EnrolReport", "FaceFinder", "Gate", "Pick", "Refused", "Taken", "enrol"]

_MOST_TOLD = 5


class Taken(NamedTuple):
    path: Path
    quality: float


class Refused(NamedTuple):
    """`why` is one line without the path: what was wrong, what to do."""

    path: Path
    code: str
    why: str


@dataclass(frozen=True, slots=True)
class EnrolReport:
    """`person` is as stored now, `added_to` says whether before this enrolment already.

    `already` are photos that the person had before or that were given twice.
    """

    person: Person
    added_to: bool
    taken: tuple[Taken, ...]
    already: tuple[Path, ...]
    refused: tuple[Refused, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Enrolment:
    """One enrolment under way. `known`: by space, the digests that the person has there; `enrolled`: everybody's.

    Faces of two names are alike from a cosine of `threshold` on, photos given as one person's from `verifies` on.
    `force`: whoever else looks like this is another person. `chosen`: the person's face in each photo.
    """

    person: Person | None
    known: Mapping[str, frozenset[str]]
    enrolled: Templates
    threshold: float
    verifies: float
    force: bool
    chosen: dict[Path, Shot] = field(default_factory=dict)
    passed: dict[Path, Shot] = field(default_factory=dict)
    refused: dict[Path, CodedError] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def space(self) -> str:
        return self.enrolled.space

    @property
    def own(self) -> F32:
        """The person's templates, (m,d)."""
        return self.enrolled.matrix[self._mine]

    @property
    def _mine(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        person_id = None if self.person is None else self.person.id
        return np.array([owner == person_id for owner in self.enrolled.person_ids], bool)

    def others(self) -> tuple[F32, list[str]]:
        mine = self._mine
        owners = [owner for owner, own in zip(self.enrolled.person_ids, mine, strict=True) if not own]
        return self.enrolled.matrix[~mine], owners

    def refuse(self, path: Path, error: CodedError) -> None:
        del self.passed[path]
        self.refused[path] = error

    def embedding(self, path: Path) -> F32:
        return embedding_in(self.space, self.passed[path].photo)


async def enrol(
    name: str,
    paths: Sequence[Path],
    finder: FaceFinder,
    store: PersonStore,
    gate: Gate,
    pick: Pick = None,
    *,
    threshold: float,
    verifies: float | None = None,
    force: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> EnrolReport:
    """Enrol a person from photos, or add photos to the one who has this name (or id) already.

    `threshold`: the cosine from which on two faces count as one person's, the one that the service names by; for photos
    that are given as one person's it is `verifies` (None: the same), since few of those are not.
    `force`: enrol somebody who looks like a person of another name. `progress` is told (photos done, total).
    Raises NoPhotoAccepted and EnrolledAlready (then nothing was written), NameInvalid, NameTaken, PersonAmbiguous, and
    whatever the store or the finder raises that is not one photo's fault.
    """
    name = clean_name(name)
    cosines = threshold, threshold if verifies is None else verifies
    started = await asyncio.to_thread(_started, name, finder.space, finder.spaces, store, cosines, force)
    person = started.person
    album = await take(paths, finder, gate, pick, frozenset.intersection(*started.known.values()), progress)
    already = _settle(started, album, paths)
    _compare(started, await asyncio.to_thread(_names, store))
    warnings = (*started.warnings, *_blind_spots(started))
    refused = tuple(_told(path, started.refused[path]) for path in dict.fromkeys(paths) if path in started.refused)
    photos = [shot.photo for shot in started.passed.values()]
    if not photos and not (person and already):
        raise NoPhotoAccepted(_nothing_accepted(refused), refused)
    stored = person
    if stored is None:
        stored = await asyncio.to_thread(store.add_person, name, photos)
    elif photos:
        stored = await asyncio.to_thread(store.add_photos, stored.id, photos)
    told = tuple(Taken(path, shot.photo.quality) for path, shot in started.passed.items())
    return EnrolReport(stored, person is not None, told, already, refused, warnings)


def _started(
    name: str, space: str, spaces: Sequence[str], store: PersonStore, cosines: tuple[float, float], force: bool
) -> _Enrolment:
    """Who has the name already, by space the digests of the photos that have their template there, and everybody."""
    person: Person | None = None
    try:
        person = store.find(name)
    except PersonNotFound:
        store.check_free(name)
    if person is not None and name not in (person.id, person.name):
        store.check_free(name)  # who is nearly called that is not taken for the one who is meant
    known = {each: frozenset() if person is None else store.digests(person.id, each) for each in spaces}
    return _Enrolment(person, known, store.all_templates(space), *cosines, force)


def _settle(enrolment: _Enrolment, album: Album, paths: Sequence[Path]) -> tuple[Path, ...]:
    """Each photo to the passed or the refused; those that the person has already, in the order given."""
    dims = {len(embedding_in(enrolment.space, taken.shots[0].photo)) for taken in album.taken.values()}
    if len(enrolment.enrolled) and dims - {enrolment.enrolled.matrix.shape[1]}:
        raise space_mismatch(enrolment.space, enrolment.enrolled.matrix.shape[1], dims.pop())
    enrolment.chosen.update(choose(album, enrolment.own, enrolment.space, enrolment.threshold))
    enrolment.refused.update(album.refused)
    already = list(album.already)
    for path, shot in enrolment.chosen.items():
        if all(shot.photo.digest in enrolment.known.get(each.space, ()) for each in shot.photo.templates):
            already.append(path)
        else:
            enrolment.passed[path] = shot
    return tuple(sorted(already, key=list(paths).index))


def _names(store: PersonStore) -> dict[str, str]:
    return {person_id: profile.name for person_id, profile in store.profiles().items()}


def _compare(enrolment: _Enrolment, names: Mapping[str, str]) -> None:
    """Move the photos that stand alone, or are somebody else's, to the refused; what is odd about the others, in words.

    Raises EnrolledAlready.
    """
    # A photo that lacks its template of another space alone is among those of before: no witness for itself.
    known = enrolment.known[enrolment.space]
    paths = [path for path, shot in enrolment.passed.items() if shot.photo.digest not in known]
    for path in [path for path in enrolment.passed if path not in paths]:
        # Another detector may find another face largest: a photo of before is refused where it is another one now.
        own = enrolment.own
        nearest = float((own @ enrolment.embedding(path)).max()) if len(own) else -1.0
        if nearest < enrolment.threshold:
            enrolment.refuse(path, _stray(nearest, enrolment.threshold))
    if not paths:
        return
    agreed = agreement(np.stack([enrolment.embedding(path) for path in paths]), enrolment.own, enrolment.verifies)
    for number, cosine in agreed.strays.items():
        enrolment.refuse(paths[number], _stray(cosine, enrolment.verifies))
    if agreed.apart:
        apart = [paths[number] for number in agreed.apart]
        together = [path for number, path in enumerate(paths) if number not in {*agreed.apart, *agreed.strays}]
        enrolment.warnings.append(_divided(apart, together, agreed.nearest, enrolment.verifies))
    _compare_with_others(enrolment, [path for path in paths if path in enrolment.passed], names)


def _compare_with_others(enrolment: _Enrolment, paths: Sequence[Path], names: Mapping[str, str]) -> None:
    if not paths:
        return
    new = np.stack([enrolment.embedding(path) for path in paths])
    templates, owners = enrolment.others()
    for other in others_alike(new, enrolment.own, templates, owners, enrolment.threshold):
        whom = f"{names.get(other.person_id, 'somebody')} ({other.person_id}), who is enrolled already"
        if other.same and not enrolment.force:
            raise EnrolledAlready(
                f"these photos resemble {whom} (similarity {other.cosine:.2f} where {enrolment.threshold:.2f} is one "
                f"person's): add them to that name, or use --force if this is another person"
            )
        wrong = () if enrolment.force else other.photos
        for path in [paths[number] for number in wrong if paths[number] in enrolment.passed]:
            why = f"the face is rather that of {whom} (similarity {other.cosine:.2f})"
            enrolment.refuse(path, OtherPerson(f"{why}; give another photo, or use --force"))
        if not wrong:
            enrolment.warnings.append(_resembles(whom, other))


def _divided(apart: Sequence[Path], together: Sequence[Path], cosine: float, wanted: float) -> str:
    others = _listed(together) or "the photos enrolled before"
    return (
        f"{_listed(apart)} {'does' if len(apart) == 1 else 'do'} not resemble {others} (similarity {cosine:.2f} at "
        f"most, {wanted:.2f} is wanted): make sure that all show one person; `people photos` lists what is enrolled, "
        "`people remove-photo` takes one away"
    )


def _resembles(whom: str, other: Other) -> str:
    end = "if this is the same person, forget one of the two"
    return f"resembles {whom} (similarity {other.cosine:.2f}): {end}"


def _stray(cosine: float, threshold: float) -> PersonDiffers:
    return PersonDiffers(
        f"the face resembles none of the others enrolled with it (similarity {cosine:.2f} at most, "
        f"{threshold:.2f} is wanted); give photos of one person"
    )


def _blind_spots(enrolment: _Enrolment) -> list[str]:
    """Which models get no template of which photos, a line each."""
    missed: dict[str, list[Path]] = {}
    for path, shot in enrolment.chosen.items():
        for model in shot.blind if path not in enrolment.refused else ():
            missed.setdefault(model, []).append(path)
    return [
        f"model {model} gave NaN, infinity or zeros for {_listed(paths)}: it gets no template of them; try "
        f"`whosthere models selftest {model}`"
        for model, paths in missed.items()
    ]


def _listed(paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - _MOST_TOLD} more" if len(paths) > _MOST_TOLD else ""
    return ", ".join(str(path) for path in paths[:_MOST_TOLD]) + more


def _told(path: Path, error: CodedError) -> Refused:
    return Refused(path, error.code, str(error).removeprefix(str(path)).lstrip(": "))


def _nothing_accepted(refused: Sequence[Refused]) -> str:
    if not refused:
        return "no photo was given; give at least one"
    told = [f"{path}: {why} [{code}]" for path, code, why in refused[:_MOST_TOLD]]
    more = f" | and {len(refused) - _MOST_TOLD} more" if len(refused) > _MOST_TOLD else ""
    return f"no photo was accepted, nobody was enrolled: {' | '.join(told)}{more}"
