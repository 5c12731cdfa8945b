"""Faces that are known not to be a person's: what is so near to one of them is not named as that person.

Pure; any thread.
"""

from collections.abc import Collection, Sequence
from typing import Self

import numpy as np

from gallery.matching.exact import cosines, on_grid
from gallery.people import Templates
from recognition.arrays import F32

REFUTED_WITHIN = 0.05  # measured on look-alike pairs: see docs/accuracy.md


def is_refuted(similarity: float, negative: float) -> bool:
    """Whether a face that resembles a person so much is not that person's, since it resembles a face that is not.

    Both by the same probes: as much as the person, or less by no more than REFUTED_WITHIN.
    """
    return negative >= similarity - REFUTED_WITHIN


class Negatives:
    """Of one embedding space, as PersonStore.negatives() gives them: a template's owner is who it is not."""

    def __init__(self, templates: Templates) -> None:
        by_person: dict[str, list[int]] = {}
        for row, person in enumerate(templates.person_ids):
            by_person.setdefault(person, []).append(row)
        self._faces = {person: on_grid(templates.matrix[rows]) for person, rows in by_person.items()}

    @classmethod
    def none(cls, space: str) -> Self:
        """Nobody has any."""
        return cls(Templates(space, np.empty(0, np.int64), (), np.empty((0, 0), np.float32)))

    @property
    def people(self) -> Collection[str]:
        """Who has some."""
        return self._faces.keys()

    def nearest(self, probes: F32, people: Collection[str]) -> Sequence[dict[str, float]]:
        """For each of probes (n,d) on the grid: by person, of those who have negatives, the cosine with the nearest."""
        found: list[dict[str, float]] = [{} for _ in range(len(probes))]
        for person in self._faces.keys() & people:
            if self._faces[person].shape[1] != probes.shape[1]:  # of a model that gave other sizes in this space
                continue
            for one, cosine in zip(found, cosines(probes, self._faces[person]).max(axis=1).tolist(), strict=True):
                one[person] = cosine
        return found
