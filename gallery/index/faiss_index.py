"""FaceIndex: the templates of one embedding space, searched exactly (FAISS), rebuilt from the store.

Methods block (CPU; sync() disk too): call them off the event loop. Any number of threads may search while
one adds or removes: they go on with what they began with, and a change takes its place when it is whole.
"""

import threading
from bisect import bisect
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate
from types import ModuleType
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from gallery.matching.decide import Candidates
from gallery.people import TemplateMark, Templates, TemplateStamps
from gallery.storage.store import PersonStore
from recognition.arrays import F32
from recognition.errors import EmbeddingSpaceMismatch, UnsupportedRuntime

# FAISS compares queries x dimensions with it: up to two 512-d probes go one by one, more by matrix product,
# which took 50 ms and not 240 for 16 probes against 100k templates.
_BLAS_THRESHOLD = 1025
_AT_ONCE = 1024  # are read from the store: opened, they take room besides
_BLOCK_ROWS = 8192  # what is copied where one of them is forgotten

_Stamped = tuple[Templates, TemplateStamps]


class Synced(NamedTuple):
    added: int
    removed: int


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """n templates in the order in which they came, with their stamps, and whose they are.

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
        self.matrix[len(self) : len(self) + len(added)] = added.matrix
        stamps = TemplateStamps.joined([self.stamps, stamps])
        return type(self)(self.matrix, stamps, (*self.people, *added.person_ids))


@dataclass(frozen=True, slots=True, eq=False)
class _Contents:
    """All blocks, and how many templates each person has. What changes, changes in a copy that shares the others."""

    dim: int
    blocks: tuple[_Block, ...] = ()
    sizes: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return sum(map(len, self.blocks))

    @property
    def stamps(self) -> TemplateStamps:
        return TemplateStamps.joined([TemplateStamps.of([]), *(block.stamps for block in self.blocks)])

    def only(self, stays: NDArray[np.bool_]) -> "_Contents":
        """Those (n,) that stay. Nothing is left of the others: the blocks that had some are copied."""
        if stays.all():
            return self
        blocks: list[_Block] = []
        sizes, start = self.sizes.copy(), 0
        for block in self.blocks:
            here = stays[start : start + len(block)]
            start += len(block)
            if here.all():
                blocks.append(block)
                continue
            sizes.subtract(owner for owner, stay in zip(block.people, here.tolist(), strict=True) if not stay)
            parts = [block.kept(np.flatnonzero(here))]
            if blocks and len(blocks[-1]) + len(parts[0][0]) <= _BLOCK_ROWS:  # many that come and go fill no blocks
                last = blocks.pop()
                parts.insert(0, last.kept(np.arange(len(last))))
            blocks.append(_Block.of(_BLOCK_ROWS, self.dim, parts))
        return _Contents(self.dim, tuple(filter(len, blocks)), +sizes)

    def with_more(self, parts: Iterable[_Stamped]) -> "_Contents":
        blocks, sizes = list(self.blocks), self.sizes.copy()
        for templates, stamps in parts:
            sizes.update(templates.person_ids)
            while len(templates):
                if not blocks or len(blocks[-1]) == len(blocks[-1].matrix):
                    blocks.append(_Block.of(_BLOCK_ROWS, self.dim, ()))
                room = len(blocks[-1].matrix) - len(blocks[-1])
                blocks[-1] = blocks[-1].with_more(*_cut(templates, stamps, slice(room)))
                templates, stamps = _cut(templates, stamps, slice(room, None))
        return _Contents(self.dim, tuple(blocks), sizes)


class FaceIndex:
    """Inner product is cosine here: templates and probes are unit vectors. 2 KiB a 512-d template."""

    def __init__(self, space: str, dim: int) -> None:
        """An empty index. Raises UnsupportedRuntime where FAISS is not installed."""
        _faiss()
        self.space = space
        self.dim = dim
        self._contents = _Contents(dim)
        self._store: PersonStore | None = None
        self._mark: TemplateMark | None = None
        self._misfits: set[str] = set()
        self._is_whole = False
        self._changing = threading.Lock()

    def __len__(self) -> int:
        return len(self._contents)

    @property
    def people(self) -> int:
        """How many different people have templates here."""
        return len(self._contents.sizes)

    @property
    def person_ids(self) -> frozenset[str]:
        """Who has templates here."""
        return frozenset(self._contents.sizes)

    @property
    def misfits(self) -> frozenset[str]:
        """Who has templates in the store that are of another size, and were left out."""
        with self._changing:
            return frozenset(self._misfits)

    def sync(self, store: PersonStore) -> Synced:
        """Follow the store: apply what was added and removed since the last time.

        Templates of another size are left out: see `misfits`. Raises EmbeddingSpaceMismatch where the store gives
        those of another space, and what the store raises. Read store.data_version() before, so that nothing written
        meanwhile is missed.
        """
        with self._changing:
            mark = store.template_mark(self.space)
            if store is self._store and mark == self._mark:
                return Synced(0, 0)
            former = self._contents
            contents, kept = None, len(former)
            if store is self._store and self._is_whole:  # else so many are no sign that nobody is gone
                contents = self._with_newer(store, former, mark.count)
            if contents is None:
                contents, self._is_whole = self._as_stored(store, former)
                kept = int(former.stamps.are_among(contents.stamps).sum())
            self._contents = contents
            self._store, self._mark = store, mark  # read before the rest: what was written meanwhile makes another one
            return Synced(len(contents) - kept, len(former) - kept)

    def _with_newer(self, store: PersonStore, contents: _Contents, count: int) -> _Contents | None:
        """With what was written after all that is known; None where that makes not so many: others are gone."""
        if self._misfits:
            return None
        newest = int(contents.stamps.ids.max(initial=-1))
        added = store.templates(self.space, newest)
        stamps = store.template_stamps(self.space, newest)
        if len(contents) + len(stamps) != count or len(added) < len(stamps):
            return None
        return contents.with_more([self._stamped(added, stamps)])

    def _as_stored(self, store: PersonStore, contents: _Contents) -> tuple[_Contents, bool]:
        """Whatever became of the store, another file in its place too; whether nothing that is stored was left out."""
        self._misfits = set()
        stored = store.template_stamps(self.space)
        contents = contents.only(contents.stamps.are_among(stored))
        missing = stored.at(np.flatnonzero(~stored.are_among(contents.stamps)))
        contents = contents.with_more(self._read(store, missing))
        return contents, len(contents) == len(stored)

    def _read(self, store: PersonStore, missing: TemplateStamps) -> Iterator[_Stamped]:
        """Read some at a time."""
        while len(missing):
            found = store.templates(self.space, int(missing.ids[0]) - 1, _AT_ONCE)
            if not len(found):
                return
            so_far = int(np.searchsorted(missing.ids, found.ids[-1], "right"))
            yield self._stamped(found, missing.at(np.arange(so_far)))
            missing = missing.at(np.arange(so_far, len(missing)))

    def _stamped(self, templates: Templates, stamps: TemplateStamps) -> _Stamped:
        """Those that have a stamp here; who has none is known, or was written or erased while this was read."""
        both, rows, places = np.intersect1d(templates.ids, stamps.ids, assume_unique=True, return_indices=True)
        if templates.space != self.space:
            raise EmbeddingSpaceMismatch(f"templates are of space {templates.space}, the index is of {self.space}")
        if len(both) and templates.matrix.shape[1] != self.dim:
            self._misfits.update(templates.person_ids[row] for row in rows)
            none = Templates(templates.space, both[:0], (), np.empty((0, self.dim), np.float32))
            return none, stamps.at(places[:0])
        if len(both) == len(templates):
            return templates, stamps.at(places)
        owners = tuple(templates.person_ids[row] for row in rows)
        return Templates(templates.space, both, owners, templates.matrix[rows].reshape(-1, self.dim)), stamps.at(places)

    def search_people(self, probes: F32, top_k: int, space: str | None = None) -> list[Candidates]:
        """For each probe (n,d) float32 the best similarity of every person among its top_k templates.

        Where all of these are one person's, that probe's list is made just long enough to hold a second
        person, so that a lead can be told. `space`, where given, is the probes' own. Raises EmbeddingSpaceMismatch,
        ValueError for a wrong shape.
        """
        self._check(probes, top_k, space)
        contents = self._contents
        lists = []
        for row, (scores, owners) in enumerate(zip(*_nearest(contents, probes, top_k), strict=True)):
            if owners and len(contents.sizes) > 1 and len(set(owners)) == 1:
                (scores,), (owners,) = _nearest(contents, probes[row : row + 1], contents.sizes[owners[0]] + 1)
            lists.append(_by_person(scores, owners, everybody=len(owners) == len(contents)))
        return lists

    def _check(self, probes: F32, top_k: int, space: str | None) -> None:
        if space is not None and space != self.space:
            raise EmbeddingSpaceMismatch(f"probes are of space {space}, the index is of {self.space}")
        if probes.ndim != 2 or probes.shape[1] != self.dim or probes.dtype != np.float32:
            raise ValueError(f"probes: want float32 (n, {self.dim}), got {probes.dtype} {probes.shape}")
        if top_k < 1:
            raise ValueError(f"top_k: want at least 1, got {top_k}")


def _nearest(contents: _Contents, probes: F32, top_k: int) -> tuple[F32, list[list[str]]]:
    """The k nearest templates of n probes: similarities (n,k) float32, falling, and whose they are."""
    k = min(top_k, len(contents))
    if not k or not len(probes):
        return np.empty((len(probes), 0), np.float32), [[] for _ in probes]
    faiss = _faiss()
    # OpenMP keeps this number for each calling thread; a search must not take the cores of its neighbours.
    faiss.omp_set_num_threads(1)
    probes = np.ascontiguousarray(probes)
    starts = [0, *accumulate(map(len, contents.blocks))]
    scores, rows = [], []
    for start, block in zip(starts, contents.blocks, strict=False):
        theirs, places = faiss.knn(probes, block.vectors, min(k, len(block)), metric=faiss.METRIC_INNER_PRODUCT)
        scores.append(theirs)
        rows.append(np.where(places < 0, -1, places + start))
    every = np.concatenate(scores, axis=1)
    best = np.argsort(-every, axis=1, kind="stable")[:, :k]
    similarities = np.clip(np.take_along_axis(every, best, axis=1), -1.0, 1.0)
    found = np.take_along_axis(np.concatenate(rows, axis=1), best, axis=1).tolist()

    def owner(row: int) -> str:
        number = bisect(starts, row) - 1
        return contents.blocks[number].people[row - starts[number]]

    return similarities, [[owner(row) for row in nearest if row >= 0] for nearest in found]


def _cut(templates: Templates, stamps: TemplateStamps, rows: slice) -> _Stamped:
    owners = templates.person_ids[rows]
    cut = Templates(templates.space, templates.ids[rows], owners, templates.matrix[rows])
    return cut, TemplateStamps(stamps.ids[rows], stamps.stamps[rows])


def _by_person(scores: F32, owners: Sequence[str], *, everybody: bool) -> Candidates:
    similarities: dict[str, float] = {}
    for owner, score in zip(owners, scores.tolist(), strict=False):
        similarities.setdefault(owner, score)  # falling: the first one is the best
    floor = -1.0 if everybody or not owners else float(scores[len(owners) - 1])
    return Candidates(similarities, floor)


@cache
def _faiss() -> ModuleType:
    try:
        import faiss
    except ImportError:
        raise UnsupportedRuntime(
            "faiss is not installed; run pip install 'whosthere[cpu]' (or 'whosthere[gpu]' for CUDA)"
        ) from None
    faiss.cvar.distance_compute_blas_threshold = _BLAS_THRESHOLD
    return faiss
