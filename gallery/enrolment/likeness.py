"""Who resembles whom at enrolment: do the photos show one person, and is that somebody enrolled already?

Pure; any thread. Embeddings are float32 unit vectors; faces count as alike from a cosine of `threshold` on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recognition.arrays import F32


@dataclass(frozen=True, slots=True)
class Agreement:
    """`strays`: the new faces that resemble no other face, with their highest cosine, where three or more
    could be compared. `apart`: those of the other new ones that do not hang together with most of them, or with any
    of before; `nearest`: the highest cosine between these and the faces that they stand apart from.
    """

    strays: dict[int, float]
    apart: tuple[int, ...] = ()
    nearest: float = -1.0


def agreement(new: F32, before: F32, threshold: float) -> Agreement:
    """Compare the new faces (n,d) of a person with each other and with the templates (m,d) of before.

    Of two faces that differ nobody can say which is the wrong one, so that there are no strays among two.
    """
    faces = np.concatenate((new, before)) if len(before) else new
    if len(faces) < 2 or not len(new):
        return Agreement({})
    cosines = faces @ faces.T
    np.fill_diagonal(cosines, -np.inf)
    nearest = cosines[: len(new)].max(axis=1)
    strays = {n: float(c) for n, c in enumerate(nearest) if c < threshold} if len(faces) > 2 else {}
    rest = np.array([n for n in range(len(new)) if n not in strays], int)
    groups, alike = list[NDArray[np.bool_]](), cosines >= threshold
    for n in rest:
        if not any(group[n] for group in groups):
            groups.append(_reachable(alike, n))
    main = max(
        (group for group in groups if not len(before) or group[len(new) :].any()),
        key=lambda group: group[rest].sum(),
        default=np.arange(len(faces)) >= len(new),
    )
    apart = rest[~main[rest]]
    if not len(apart):
        return Agreement(strays)
    return Agreement(strays, tuple(apart.tolist()), float(cosines[np.ix_(apart, np.flatnonzero(main))].max()))


def _reachable(alike: NDArray[np.bool_], start: int) -> NDArray[np.bool_]:
    """The faces that hang together with one, directly or through others."""
    group = np.zeros(len(alike), bool)
    group[start] = True
    while not np.array_equal(wider := group | alike[group].any(axis=0), group):
        group = wider
    return group


@dataclass(frozen=True, slots=True)
class Other:
    """Somebody of another name whom the new faces resemble, with the highest cosine.

    `same`: together they are that person's; `photos`: the numbers of those that are rather that person's.
    """

    person_id: str
    cosine: float
    same: bool
    photos: tuple[int, ...]


def others_alike(new: F32, own: F32, templates: F32, person_ids: Sequence[str], threshold: float) -> list[Other]:
    """Whom of the others (their templates (m,d), person_ids) the new faces (n,d) of a person resemble, nearest first.

    `own` (k,d): the templates that the person has. A person who has none is the other one where the new faces' mean
    cosine says so; one who has some, only where the other is nearer besides.
    """
    if not len(new) or not len(templates):
        return []
    all_cosines = templates @ new.T
    alike = np.flatnonzero((all_cosines >= threshold).any(axis=1))
    rows = {person_id: row for row, person_id in enumerate(dict.fromkeys(person_ids[at] for at in alike.tolist()))}
    if not rows:
        return []
    theirs = [at for at, person_id in enumerate(person_ids) if person_id in rows]
    cosines = np.full((len(rows), len(new)), -1.0, np.float32)
    np.maximum.at(cosines, [rows[person_ids[at]] for at in theirs], all_cosines[theirs])
    to_own = (new @ own.T).max(axis=1) if len(own) else np.full(len(new), -1.0, np.float32)
    among = new @ new.T
    np.fill_diagonal(among, -1.0)
    support = np.maximum(to_own, among.max(axis=1))
    found = []
    for person_id, row in rows.items():
        nearest = cosines[row]
        same = bool(nearest.mean() >= threshold and nearest.mean() > to_own.mean())
        photos = tuple(np.flatnonzero((nearest >= threshold) & (nearest > support)).tolist())
        found.append(Other(person_id, float(nearest.max()), same, photos))
    return sorted(found, key=lambda other: -other.cosine)
