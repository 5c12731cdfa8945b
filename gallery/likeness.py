"""Who resembles whom at enrolment: do the photos show one person, and is that somebody enrolled already?

Pure; any thread. Embeddings are float32 unit vectors; faces count as alike from a cosine of `threshold` on.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recognition.arrays import F32


@dataclass(frozen=True, slots=True)
class Agreement:
    """`strays`: the new faces that resemble no other face, with their highest cosine, where three or more
    could be compared; `divided`: the other faces do not all hang together, or not with those of before.
    """

    strays: dict[int, float]
    divided: bool


def agreement(new: F32, before: F32, threshold: float) -> Agreement:
    """Compare the new faces (n,d) of a person with each other and with the templates (m,d) of before.

    Of two faces that differ nobody can say which is the wrong one, so that there are no strays among two.
    """
    faces = np.concatenate((new, before)) if len(before) else new
    if len(faces) < 2 or not len(new):
        return Agreement({}, divided=False)
    cosines = faces @ faces.T
    np.fill_diagonal(cosines, -np.inf)
    nearest = cosines[: len(new)].max(axis=1)
    strays = {n: float(c) for n, c in enumerate(nearest) if c < threshold} if len(faces) > 2 else {}
    rest = [n for n in range(len(new)) if n not in strays]
    if not rest:
        return Agreement(strays, divided=False)
    group = _reachable(cosines >= threshold, rest[0])
    joined = bool(group[rest].all()) and (not len(before) or bool(group[len(new) :].any()))
    return Agreement(strays, divided=not joined)


def _reachable(alike: NDArray[np.bool_], start: int) -> NDArray[np.bool_]:
    """The faces that hang together with one, directly or through others."""
    group = np.zeros(len(alike), bool)
    group[start] = True
    while not np.array_equal(wider := group | alike[group].any(axis=0), group):
        group = wider
    return group


def lookalikes(new: F32, others: F32, person_ids: list[str], threshold: float) -> dict[str, float]:
    """The people whose templates (m,d) one of the new faces (n,d) resembles, each with the highest cosine."""
    found: dict[str, float] = {}
    if len(new) and len(others):
        nearest = (new @ others.T).max(axis=0)
        for template in np.flatnonzero(nearest >= threshold):
            person_id = person_ids[template]
            found[person_id] = max(found.get(person_id, -1.0), float(nearest[template]))
    return found
