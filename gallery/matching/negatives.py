"""Faces that are known not to be a person's: what is so near to one of them is not named as that person.

Pure; any thread.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Self

import numpy as np

from gallery.matching.decide import Candidates
from gallery.matching.exact import cosines, on_grid
from gallery.people import Templates
from recognition.arrays import F32


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

    def nearest(self, probes: F32, people: Collection[str]) -> list[dict[str, float]]:
        """For each of probes (n,d) on the grid: by person, of those who have negatives, the cosine with the nearest."""
        found: list[dict[str, float]] = [{} for _ in range(len(probes))]
        for person in self._faces.keys() & people:
            for one, cosine in zip(found, cosines(probes, self._faces[person]).max(axis=1).tolist(), strict=True):
                one[person] = cosine
        return found

    def against(
        self, found: Sequence[Candidates], probes: F32, faces: Sequence[int] | None = None
    ) -> Sequence[Candidates]:
        """What was found for each of probes (n,d), with what speaks against it. `faces`: as FaceIndex.search_people()
        has it.
        """
        if not self._faces:
            return found
        probes, told, end = on_grid(probes), list(found), 0
        for count in [1] * len(found) if faces is None else faces:
            start, end = end, end + count
            if count and not self._faces.keys().isdisjoint(found[start].similarities):
                near = self.nearest(probes[start:end], found[start].similarities.keys())
                told[start:end] = [
                    replace(one, negatives=against) for one, against in zip(found[start:end], near, strict=True)
                ]
        return told
