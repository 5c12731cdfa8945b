"""Faces that are known not to be a person's: what is so near to one of them is not named as that person.

Pure; any thread.
"""

from collections.abc import Collection, Sequence
from itertools import chain
from typing import Self

import numpy as np

from gallery.matching.decide import Candidates
from gallery.matching.exact import on_grid
from gallery.people import Templates
from recognition.arrays import F32


class Negatives:
    """Of one embedding space, as PersonStore.negatives() gives them: a template's owner is who it is not."""

    def __init__(self, templates: Templates) -> None:
        self._rows: dict[str, list[int]] = {}
        for row, person in enumerate(templates.person_ids):
            self._rows.setdefault(person, []).append(row)
        self.people = frozenset(self._rows)  # who has some
        self._faces = on_grid(templates.matrix)

    @classmethod
    def none(cls, space: str) -> Self:
        """Nobody has any."""
        return cls(Templates(space, np.empty(0, np.int64), (), np.empty((0, 0), np.float32)))

    def nearest(self, probes: F32, people: Collection[str]) -> list[dict[str, float]]:
        """For each of probes (n,d) on the grid: by person, of those who have negatives, the cosine with the nearest."""
        found: list[dict[str, float]] = [{} for _ in range(len(probes))]
        self._measure(probes, [(range(len(probes)), person) for person in self._rows.keys() & people], found)
        return found

    def against(
        self, found: Sequence[Candidates], probes: F32, faces: Sequence[int] | None = None
    ) -> Sequence[Candidates]:
        """What was found for each of probes (n,d), with what speaks against it. `faces`: as FaceIndex.search_people()
        has it.
        """
        if not self._rows:
            return found
        asked: list[tuple[range, str]] = []
        end = 0
        for count in [1] * len(found) if faces is None else faces:
            start, end = end, end + count
            if count:
                theirs = [person for person in found[start].similarities if person in self._rows]
                asked += [(range(start, end), person) for person in theirs]
        if not asked:
            return found
        near: list[dict[str, float]] = [{} for _ in range(len(found))]
        self._measure(on_grid(probes), asked, near)
        return [Candidates(one.similarities, its) if its else one for one, its in zip(found, near, strict=True)]

    def _measure(self, probes: F32, asked: Sequence[tuple[range, str]], into: Sequence[dict[str, float]]) -> None:
        """The cosines of these probes with the nearest negative of a person each."""
        pairs = [(probe, person) for some, person in asked for probe in some]
        rows = [self._rows[person] for _, person in pairs]
        if not pairs or self._faces.shape[1] != probes.shape[1]:  # of a model that gave others in this space
            return
        counts = np.array([len(own) for own in rows], np.intp)
        each = np.repeat(np.array([probe for probe, _ in pairs], np.intp), counts)
        faces = self._faces[np.fromiter(chain.from_iterable(rows), np.intp)]
        exact = np.vecdot(probes[each].astype(np.float64), faces)
        nearest = np.maximum.reduceat(exact, np.cumsum(counts) - counts)
        for (probe, person), cosine in zip(pairs, nearest.tolist(), strict=True):
            into[probe][person] = cosine
