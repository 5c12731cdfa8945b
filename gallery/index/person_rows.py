"""Which rows of a matrix of templates are whose. Pure; any thread."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

_Numbers = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class PersonRows:
    """p people by number, n rows. numbers: of each person; owners (n,): whose a row is; by_person (n,): the rows, a
    person's side by side and rising, sizes[i] of person i from starts[i] on.
    """

    people: tuple[str, ...]
    numbers: dict[str, int]
    owners: _Numbers
    by_person: _Numbers
    starts: _Numbers
    sizes: _Numbers

    @classmethod
    def of(cls, owners: Iterable[str], rows: int = 0) -> Self:
        """Of the owner of each of so many rows."""
        numbers: dict[str, int] = {}
        found = np.fromiter((numbers.setdefault(owner, len(numbers)) for owner in owners), np.intp, rows)
        sizes = np.bincount(found, minlength=len(numbers)).astype(np.intp)
        starts = np.cumsum(sizes) - sizes
        return cls(tuple(numbers), numbers, found, np.argsort(found, kind="stable"), starts, sizes)

    def are(self, people: Iterable[str]) -> NDArray[np.bool_]:
        """(p,): whether somebody is one of these."""
        found = np.zeros(len(self.people), np.bool_)
        found[[self.numbers[person] for person in people if person in self.numbers]] = True
        return found

    def rows_of(self, numbers: _Numbers) -> _Numbers:
        """The rows of these people, one person after another."""
        sizes = self.sizes[numbers]
        ends = np.cumsum(sizes)
        places = np.arange(ends[-1] if len(ends) else 0) + np.repeat(self.starts[numbers] - ends + sizes, sizes)
        return np.asarray(self.by_person[places])
