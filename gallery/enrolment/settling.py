"""An enrolment's album -> the photos that are kept, in one transaction; all others told with the reason.

Blocks for the gallery. A template of the wrong person makes false names from then on: a photo that stands alone among
three or more is refused, and so is one of somebody who is enrolled under another name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from gallery.enrolment.diversity import NEARLY_THE_SAME, LeftOver, diverse_few
from gallery.enrolment.likeness import Other, agreement, others_alike
from gallery.enrolment.quality_gate import Gate, Pick
from gallery.enrolment.report import EnrolReport, LeftOut, Taken, listed, nothing_accepted, refusal
from gallery.enrolment.shots import Album, Shot, choose, embedding_in
from gallery.errors import EnrolledAlready, ExternalIdTaken, FaceDenied, NoPhotoAccepted, OtherPerson, PersonDiffers
from gallery.people import Person, Profile, Templates, clean_name, space_mismatch
from gallery.storage.store import PersonStore
from recognition.arrays import F32
from recognition.errors import CodedError

Whom = Literal["anybody", "somebody new", "who is enrolled"]

# From ten on more did not find a person more often; these leave room for other looks (docs/accuracy.md).
MOST_PHOTOS = 20


@dataclass(frozen=True, slots=True)
class Terms:
    """What an enrolment goes by. Faces of two names are alike from a cosine of `threshold` on, the one that the service
    names by; photos given as one person's from `verifies` on (None: the same), since few of those are not.

    pick: which face of several is the person's. force: whoever else looks like this is another person. most: photos
    that are kept of a person. by_hand: the photos were chosen one by one, so that none is left out for being nearly the
    same as another. whom: whether a name (or id) that is given may be a new person's, or one's who is there already.
    despite: sources of negatives that don't count any more, and are erased where this is done: the newer word counts.
    """

    gate: Gate
    threshold: float
    verifies: float | None = None
    pick: Pick = None
    force: bool = False
    most: int = MOST_PHOTOS
    by_hand: bool = True
    whom: Whom = "anybody"
    despite: frozenset[str] = frozenset()

    @property
    def verifying(self) -> float:
        return self.threshold if self.verifies is None else self.verifies


def profile_of(who: str | Profile) -> Profile:
    """Raises NameInvalid."""
    profile = Profile(who) if isinstance(who, str) else who
    return replace(profile, name=clean_name(profile.name))


def person_of(who: Profile, store: PersonStore, whom: Whom = "anybody") -> Person | None:
    """Who is meant; None where it is somebody new.

    Raises NameTaken, PersonAmbiguous, ExternalIdTaken, and PersonNotFound of who is to be there.
    """
    if whom == "somebody new":
        store.check_free(who)
        return None
    person = store.find(who.name) if whom == "who is enrolled" else store.lookup(who.name)
    if person is None:
        store.check_free(who)
        return None
    if who.name not in (person.id, person.name):
        store.check_free(who.name)  # who is nearly called that is not taken for the one who is meant
    former = person.profile.external_id
    if who.external_id is not None and former not in (None, who.external_id):
        raise ExternalIdTaken(
            f"{person.name} ({person.id}) is enrolled with another external id: if this is somebody else, give another "
            f"name, or say it anew by `whosthere people set {person.id} --external-id`"
        )
    return person


def known_digests(person: Person | None, spaces: Sequence[str], store: PersonStore) -> dict[str, frozenset[str]]:
    """By space, the SHA-256 of the photos that the person has a template of there."""
    return {space: frozenset() if person is None else store.digests(person.id, space) for space in spaces}


@dataclass(frozen=True, slots=True, eq=False)
class _Enrolment:
    """One enrolment under way. `known`: see known_digests(); `enrolled`: everybody's templates, `own` (m,d) the
    person's. `chosen`: the person's face in each photo; `passed` and `refused`: what became of it.
    """

    person: Person | None
    known: Mapping[str, frozenset[str]]
    enrolled: Templates
    own: F32
    terms: Terms
    chosen: dict[Path, Shot] = field(default_factory=dict)
    passed: dict[Path, Shot] = field(default_factory=dict)
    refused: dict[Path, CodedError] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def space(self) -> str:
        return self.enrolled.space

    def refuse(self, path: Path, error: CodedError) -> None:
        del self.passed[path]
        self.refused[path] = error

    def embedding(self, path: Path) -> F32:
        return embedding_in(self.space, self.passed[path].photo)

    def embeddings(self, paths: Sequence[Path]) -> F32:
        return np.stack([self.embedding(path) for path in paths])


def settle(
    who: Profile,
    album: Album,
    paths: Sequence[Path],
    spaces: Sequence[str],
    store: PersonStore,
    terms: Terms,
    chosen: Mapping[Path, Shot] | None = None,
) -> EnrolReport:
    """Enrol a person from an album, or add to the one who has this name (or id) already; all or nothing.

    `paths`: the photos in the order given; `spaces`: those that templates were made in, compared in the first;
    `chosen`: the person's face in each photo, where that is settled already. Raises NoPhotoAccepted and EnrolledAlready
    (then nothing was written), what person_of() raises, EmbeddingSpaceMismatch, and what the store does.
    """
    person = person_of(who, store, terms.whom)
    enrolled = store.all_templates(spaces[0])
    mine = [] if person is None else [n for n, owner in enumerate(enrolled.person_ids) if owner == person.id]
    known = known_digests(person, spaces, store)
    enrolment = _Enrolment(person, known, enrolled, enrolled.matrix[mine], terms)
    already = _sort(enrolment, album, paths, chosen)
    new = _not_refuted(enrolment, _agreeing(enrolment), store)
    left_out = _left_out(enrolment, new)
    _compare_with_others(enrolment, [path for path in new if path in enrolment.passed], store)
    warnings = (*enrolment.warnings, *_blind_spots(enrolment))
    refused = tuple(
        refusal(path, enrolment.refused[path]) for path in dict.fromkeys(paths) if path in enrolment.refused
    )
    if not enrolment.passed and not (person and (already or left_out)):
        raise NoPhotoAccepted(nothing_accepted(refused), refused)
    stored = _stored(who, enrolment, store)
    taken = tuple(Taken(path, shot.photo.quality) for path, shot in enrolment.passed.items())
    back = store.remove_negatives_of(stored.id, terms.despite)
    return EnrolReport(stored, person is not None, taken, already, left_out, refused, warnings, back)


def _stored(who: Profile, enrolment: _Enrolment, store: PersonStore) -> Person:
    photos = [shot.photo for shot in enrolment.passed.values()]
    person = enrolment.person
    if person is None:
        return store.add_person(who, photos)
    if photos:
        person = store.add_photos(person.id, photos)
    profile = person.profile
    tags = tuple(dict.fromkeys((*profile.tags, *who.tags)))
    external_id = profile.external_id or who.external_id
    if (set(tags), external_id) == (set(profile.tags), profile.external_id):
        return person
    return store.change(person.id, lambda former: replace(former, tags=tags, external_id=external_id))


def _sort(
    enrolment: _Enrolment, album: Album, paths: Sequence[Path], chosen: Mapping[Path, Shot] | None
) -> tuple[Path, ...]:
    """Each photo to the passed or the refused; those that the person has already, in the order given."""
    dims = {len(embedding_in(enrolment.space, taken.shots[0].photo)) for taken in album.taken.values()}
    if len(enrolment.enrolled) and dims - {enrolment.enrolled.matrix.shape[1]}:
        raise space_mismatch(enrolment.space, enrolment.enrolled.matrix.shape[1], dims.pop())
    if chosen is None:
        chosen = choose(album, enrolment.own, enrolment.space, enrolment.terms.threshold)
    enrolment.chosen.update(chosen)
    enrolment.refused.update(album.refused)
    already = list(album.already)
    for path, shot in enrolment.chosen.items():
        if all(shot.photo.digest in enrolment.known.get(each.space, ()) for each in shot.photo.templates):
            already.append(path)
        else:
            enrolment.passed[path] = shot
    order = {path: number for number, path in reversed(list(enumerate(paths)))}
    return tuple(sorted(already, key=lambda path: order[path]))


def _agreeing(enrolment: _Enrolment) -> list[Path]:
    """The photos that passed and that the person has not yet, those refused that stand alone."""
    # A photo that lacks its template of another space alone is among those of before: no witness for itself.
    known, own, terms = enrolment.known[enrolment.space], enrolment.own, enrolment.terms
    new = [path for path, shot in enrolment.passed.items() if shot.photo.digest not in known]
    for path in [path for path in enrolment.passed if path not in new]:
        # Another detector may find another face largest: a photo of before is refused where it is another one now.
        nearest = float((own @ enrolment.embedding(path)).max()) if len(own) else -1.0
        if nearest < terms.threshold:
            enrolment.refuse(path, _stray(nearest, terms.threshold))
    if not new:
        return []
    agreed = agreement(enrolment.embeddings(new), own, terms.verifying)
    for number, cosine in agreed.strays.items():
        enrolment.refuse(new[number], _stray(cosine, terms.verifying))
    if agreed.apart:
        apart = [new[number] for number in agreed.apart]
        together = [path for number, path in enumerate(new) if number not in {*agreed.apart, *agreed.strays}]
        enrolment.warnings.append(_divided(apart, together, agreed.nearest, terms.verifying))
    return [path for path in new if path in enrolment.passed]


def _not_refuted(enrolment: _Enrolment, new: Sequence[Path], store: PersonStore) -> list[Path]:
    """Those that passed; refused is what is nearer to a face that was said not to be the person than to the person."""
    person, own = enrolment.person, enrolment.own
    if person is None:
        return list(new)
    negatives, but = store.negatives(enrolment.space), store.negative_rows(person.id, enrolment.terms.despite)
    theirs = [
        n
        for n, (owner, row) in enumerate(zip(negatives.person_ids, negatives.ids.tolist(), strict=True))
        if owner == person.id and row not in but
    ]
    if not theirs:
        return list(new)
    for path in new:
        face = enrolment.embedding(path)
        nearest = float((negatives.matrix[theirs] @ face).max())
        of_person = float((own @ face).max()) if len(own) else -1.0  # nobody's templates have no length
        if nearest >= enrolment.terms.threshold and nearest > of_person:
            enrolment.refuse(
                path,
                FaceDenied(
                    f"of a face like this one it was said that it is not {person.name} (similarity {nearest:.2f}); if "
                    "it is, take that back by `whosthere people not --undo`"
                ),
            )
    return [path for path in new if path in enrolment.passed]


def _left_out(enrolment: _Enrolment, new: Sequence[Path]) -> tuple[LeftOut, ...]:
    """Those of the new ones that passed and add nothing: they pass no more."""
    if not new:
        return ()
    held = enrolment.person.photos if enrolment.person else 0
    quality = [enrolment.passed[path].photo.quality for path in new]
    terms = enrolment.terms
    nearly = None if terms.by_hand else NEARLY_THE_SAME
    left = diverse_few(enrolment.embeddings(new), quality, enrolment.own, terms.most - held, nearly)
    for one in left:
        del enrolment.passed[new[one.face]]
    return tuple(LeftOut(new[one.face], _why_left(one, new, held, terms.most)) for one in sorted(left))


def _why_left(left: LeftOver, new: Sequence[Path], held: int, most: int) -> str:
    if left.cosine is not None:
        like = "a photo that is enrolled" if left.like is None else new[left.like]
        return f"nearly the same as {like} (similarity {left.cosine:.2f})"
    if held:
        return (
            f"{most} photos of a person are kept (gallery.enrol.max_photos), {held} were there already; make room by "
            "`people remove-photo`"
        )
    return f"{most} better ones are kept (gallery.enrol.max_photos)"


def _compare_with_others(enrolment: _Enrolment, paths: Sequence[Path], store: PersonStore) -> None:
    """Those that are rather somebody else's are refused. Raises EnrolledAlready."""
    if not paths:
        return
    new, enrolled, terms = enrolment.embeddings(paths), enrolment.enrolled, enrolment.terms
    for other in others_alike(new, enrolment.own, enrolled.matrix, enrolled.person_ids, terms.threshold):
        if enrolment.person is not None and other.person_id == enrolment.person.id:
            continue
        whom = f"{store.name_of(other.person_id) or 'somebody'} ({other.person_id}), who is enrolled already"
        if other.same and not terms.force:
            raise EnrolledAlready(
                f"these photos resemble {whom} (similarity {other.cosine:.2f} where {terms.threshold:.2f} is one "
                f"person's): add them to that name, or use --force if this is another person"
            )
        wrong = () if terms.force else other.photos
        for path in [paths[number] for number in wrong if paths[number] in enrolment.passed]:
            why = f"the face is rather that of {whom} (similarity {other.cosine:.2f})"
            enrolment.refuse(path, OtherPerson(f"{why}; give another photo, or use --force"))
        if not wrong:
            enrolment.warnings.append(_resembles(whom, other))


def _divided(apart: Sequence[Path], together: Sequence[Path], cosine: float, wanted: float) -> str:
    others = listed(together) or "the photos enrolled before"
    return (
        f"{listed(apart)} {'does' if len(apart) == 1 else 'do'} not resemble {others} (similarity {cosine:.2f} at "
        f"most, {wanted:.2f} is wanted): make sure that all show one person; `people photos` lists what is enrolled, "
        "`people remove-photo` takes one away"
    )


def _resembles(whom: str, other: Other) -> str:
    end = "if this is the same person, make the two one: whosthere people merge"
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
        f"model {model} gave NaN, infinity or zeros for {listed(paths)}: it gets no template of them; try "
        f"`whosthere models selftest {model}`"
        for model, paths in missed.items()
    ]
