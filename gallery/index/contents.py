"""The templates of one space in blocks, with whose they are: what changes, changes in a copy that shares the others.

Pure; any thread may read one while another is made of it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gallery.matching.exact import on_grid
from gallery.people import Templates, TemplateStamps
from recognition.arrays import F32

BLOCK_ROWS = 8192  # what is copied where one of them is forgotten

Stamped = tuple[Templates, TemplateStamps]


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """n templates in the order in which they came, on the grid of exact cosines, with their stamps, and whose they are.

    matrix (m,d), m >= n: the rows after the nth are room for more, and nobody reads them.
    """

    matrix: F32
    stamps: TemplateStamps
    people: tuple[str, ...]

    @classmethod
    def of(cls, rows: int, dim: int, parts: Iterable[tuple[F32, TemplateStamps, Sequence[str]]]) -> Self:
        """Copies of all parts, in their order, with room for so many rows."""
        matrix, stamps, n = np.empty((rows, dim), np.float32), [TemplateStamps.of([])], 0
        people: list[str] = []
        for vectors, their_stamps, owners in parts:
            matrix[n : n + len(vectors)] = vectors
            n += len(vectors)
            stamps.append(their_stamps)
            people.extend(owners)
        return cls(matrix, TemplateStamps.joined(stamps), tuple(people))

    def __len__(self) -> int:
        return len(self.stamps)

    @property
    def vectors(self) -> F32:
        return self.matrix[: len(self)]

    def kept(self, rows: NDArray[np.intp]) -> tuple[F32, TemplateStamps, Sequence[str]]:
        return self.matrix[rows], self.stamps.at(rows), [self.people[row] for row in rows.tolist()]

    def with_more(self, added: Templates, stamps: TemplateStamps) -> Self:
        """Written after those that are there, whose rows stay where they are."""
        self.matrix[len(self) : len(self) + len(added)] = on_grid(added.matrix)
        stamps = TemplateStamps.joined([self.stamps, stamps])
        return type(self)(self.matrix, stamps, (*self.people, *added.person_ids))


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """All blocks, and how many templates each person has. What changes, changes in a copy that shares the others."""

    dim: int
    blocks: tuple[Block, ...] = ()
    sizes: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return sum(map(len, self.blocks))

    @property
    def owners(self) -> Iterator[str]:
        """Whose each row is."""
        return chain.from_iterable(block.people for block in self.blocks)

    @property
    def firsts(self) -> NDArray[np.intp]:
        """The first row of each block."""
        return np.array([0, *accumulate(len(block) for block in self.blocks[:-1])], np.intp)

    def vectors(self, rows: NDArray[np.intp]) -> F32:
        """Of these rows (r,): (r,d)."""
        if len(self.blocks) == 1:
            return self.blocks[0].matrix[rows]
        found = np.empty((len(rows), self.dim), np.float32)
        if self.blocks:
            firsts = self.firsts
            numbers = np.searchsorted(firsts, rows, "right") - 1
            for number in np.unique(numbers).tolist():
                here = numbers == number
                found[here] = self.blocks[number].matrix[rows[here] - firsts[number]]
        return found

    @property
    def stamps(self) -> TemplateStamps:
        return TemplateStamps.joined([TemplateStamps.of([]), *(block.stamps for block in self.blocks)])

    def only(self, stays: NDArray[np.bool_]) -> "Contents":
        """Those (n,) that stay. Nothing is left of the others: the blocks that had some are copied."""
        if stays.all():
            return self
        blocks: list[Block] = []
        sizes, start = self.sizes.copy(), 0
        for block in self.blocks:
            here = stays[start : start + len(block)]
            start += len(block)
            if here.all():
                blocks.append(block)
                continue
            sizes.subtract(owner for owner, stay in zip(block.people, here.tolist(), strict=True) if not stay)
            parts = [block.kept(np.flatnonzero(here))]
            if blocks and len(blocks[-1]) + len(parts[0][0]) <= BLOCK_ROWS:  # many that come and go fill no blocks
                last = blocks.pop()
                parts.insert(0, last.kept(np.arange(len(last))))
            blocks.append(Block.of(BLOCK_ROWS, self.dim, parts))
        return Contents(self.dim, tuple(filter(len, blocks)), +sizes)

    def with_more(self, parts: Iterable[Stamped]) -> "Contents":
        blocks, sizes = list(self.blocks), self.sizes.copy()
        for templates, stamps in parts:
            sizes.update(templates.person_ids)
            while len(templates):
                if not blocks or len(blocks[-1]) == len(blocks[-1].matrix):
                    blocks.append(Block.of(BLOCK_ROWS, self.dim, ()))
                room = len(blocks[-1].matrix) - len(blocks[-1])
                blocks[-1] = blocks[-1].with_more(*cut(templates, stamps, slice(room)))
                templates, stamps = cut(templates, stamps, slice(room, None))
        return Contents(self.dim, tuple(blocks), sizes)


def cut(templates: Templates, stamps: TemplateStamps, rows: slice) -> Stamped:
    owners = templates.person_ids[rows]
    some = Templates(templates.space, templates.ids[rows], owners, templates.matrix[rows])
    return some, TemplateStamps(stamps.ids[rows], stamps.stamps[rows])
