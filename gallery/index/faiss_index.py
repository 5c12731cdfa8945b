"""FaceIndex: the templates of one embedding space, searched exactly (FAISS), rebuilt from the store.

Methods block (CPU; sync() disk too): call them off the event loop. Any number of threads may search while
one adds or removes: they go on with what they began with, and a change takes its place when it is whole.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import NamedTuple

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
_ROOM = 16  # a matrix that is too small gets a 16th more than it needs


_AT_ONCE = 4096  # templates are read from the store

_Block = tuple[Templates, TemplateStamps]


class Synced(NamedTuple):
    added: int
    removed: int


@dataclass(frozen=True, slots=True, eq=False)
class _Contents:
    """n templates in the order in which they came, with their stamps, whose they are, how many each person has.

    matrix (m,d), m >= n: the rows after the nth are room for more, and nobody reads them.
    """

    matrix: F32
    stamps: TemplateStamps
    people: list[str]
    sizes: Counter[str]

    def __len__(self) -> int:
        return len(self.stamps)

    @property
    def vectors(self) -> F32:
        return self.matrix[: len(self)]

    def without(self, rows: NDArray[np.intp]) -> "_Contents":
        """A copy that holds nothing of these rows, which rise."""
        if not len(rows):
            return self
        kept = np.empty((len(self) - len(rows), self.matrix.shape[1]), np.float32)
        start = 0
        for number, row in enumerate([*rows.tolist(), len(self)]):  # slices are copied while other threads run
            kept[start - number : row - number] = self.matrix[start:row]
            start = row + 1
        gone = set(rows.tolist())
        people = [person for row, person in enumerate(self.people) if row not in gone]
        sizes = self.sizes - Counter(self.people[row] for row in gone)
        return _Contents(kept, self.stamps.at(np.delete(np.arange(len(self)), rows)), people, sizes)

    def with_more(self, blocks: Iterable[_Block], most: int) -> "_Contents":
        """Up to so many, written after those that are there, whose rows stay where they are while there is room."""
        n, matrix = len(self), self.matrix
        if len(matrix) < n + most:
            matrix = np.empty((n + most + (n + most) // _ROOM, matrix.shape[1]), np.float32)
            matrix[:n] = self.vectors
        stamps, people, sizes = [self.stamps], self.people.copy(), self.sizes.copy()
        for templates, their_stamps in blocks:
            matrix[n : n + len(templates)] = templates.matrix
            n += len(templates)
            stamps.append(their_stamps)
            people.extend(templates.person_ids)
            sizes.update(templates.person_ids)
        return _Contents(matrix, TemplateStamps.joined(stamps), people, sizes)


class FaceIndex:
    """Inner product is cosine here: templates and probes are unit vectors. 2 KiB a 512-d template."""

    def __init__(self, space: str, dim: int) -> None:
        """An empty index. Raises UnsupportedRuntime where FAISS is not installed."""
        _faiss()
        self.space = space
        self.dim = dim
        self._contents = _Contents(np.empty((0, dim), np.float32), TemplateStamps.of([]), [], Counter())
        self._store: PersonStore | None = None
        self._mark: TemplateMark | None = None
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

    def sync(self, store: PersonStore) -> Synced:
        """Follow the store: apply what was added and removed since the last time.

        Raises EmbeddingSpaceMismatch where the store's templates of this space have another size, and what
        the store raises. Read store.data_version() before, so that nothing written meanwhile is missed.
        """
        with self._changing:
            mark = store.template_mark(self.space)
            if store is self._store and mark == self._mark:
                return Synced(0, 0)
            former = self._contents
            contents, kept = self._with_newer(store, former, mark.count) if store is self._store else None, len(former)
            if contents is None:
                contents = self._as_stored(store, former)
                kept = int(former.stamps.are_among(contents.stamps).sum())
            self._contents = contents
            self._store, self._mark = store, mark  # read before the rest: what was written meanwhile makes another one
            return Synced(len(contents) - kept, len(former) - kept)

    def _with_newer(self, store: PersonStore, contents: _Contents, count: int) -> _Contents | None:
        """With what was written after all that is known; None where that makes not so many: others are gone."""
        newest = int(contents.stamps.ids.max(initial=-1))
        added = store.templates(self.space, newest)
        stamps = store.template_stamps(self.space, newest)
        if len(contents) + len(stamps) != count:
            return None
        return contents.with_more([self._stamped(added, stamps)], len(stamps)) if len(stamps) else contents

    def _as_stored(self, store: PersonStore, contents: _Contents) -> _Contents:
        """Whatever became of the store, another file in its place too."""
        stored = store.template_stamps(self.space)
        contents = contents.without(np.flatnonzero(~contents.stamps.are_among(stored)))
        missing = stored.at(np.flatnonzero(~stored.are_among(contents.stamps)))
        return contents.with_more(self._blocks(store, missing), len(missing)) if len(missing) else contents

    def _blocks(self, store: PersonStore, missing: TemplateStamps) -> Iterator[_Block]:
        """Read some at a time: opened, they take as much room as the index."""
        while len(missing):
            block = store.templates(self.space, int(missing.ids[0]) - 1, _AT_ONCE)
            if not len(block):
                return
            so_far = int(np.searchsorted(missing.ids, block.ids[-1], "right"))
            yield self._stamped(block, missing.at(np.arange(so_far)))
            missing = missing.at(np.arange(so_far, len(missing)))

    def _stamped(self, templates: Templates, stamps: TemplateStamps) -> _Block:
        """Those that have a stamp here; who has none is known, or was written or erased while this was read."""
        both, rows, places = np.intersect1d(templates.ids, stamps.ids, assume_unique=True, return_indices=True)
        if len(both):
            self._check_new(templates)
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

    def _check_new(self, added: Templates) -> None:
        if added.space != self.space or added.matrix.shape[1] != self.dim:
            raise EmbeddingSpaceMismatch(
                f"templates are {added.matrix.shape[1]} numbers of space {added.space}, "
                f"the index takes {self.dim} of {self.space}; enrol those people anew with this model"
            )


def _nearest(contents: _Contents, probes: F32, top_k: int) -> tuple[F32, list[list[str]]]:
    """The k nearest templates of n probes: similarities (n,k) float32, falling, and whose they are."""
    k = min(top_k, len(contents))
    if not k or not len(probes):
        return np.empty((len(probes), 0), np.float32), [[] for _ in probes]
    # OpenMP keeps this number for each calling thread; a search must not take the cores of its neighbours.
    faiss = _faiss()
    faiss.omp_set_num_threads(1)
    probes = np.ascontiguousarray(probes)
    similarities, rows = faiss.knn(probes, contents.vectors, k, metric=faiss.METRIC_INNER_PRODUCT)
    np.clip(similarities, -1.0, 1.0, out=similarities)
    return similarities, [[contents.people[i] for i in row if i >= 0] for row in rows.tolist()]


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
