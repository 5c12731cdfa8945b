"""FaceIndex: the templates of one embedding space, searched exactly (FAISS), rebuilt from the store.

Methods block (CPU; sync() disk too): call them off the event loop. Any number of threads may search while
one adds or removes: a change is made on a copy, which then takes the old one's place.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from gallery.matching.decide import Candidates
from gallery.people import Templates
from gallery.storage.store import PersonStore
from recognition.arrays import F32
from recognition.errors import EmbeddingSpaceMismatch, UnsupportedRuntime

# FAISS compares queries x dimensions with it: up to two 512-d probes go one by one, more by matrix product,
# which took 50 ms and not 240 for 16 probes against 100k templates.
_BLAS_THRESHOLD = 1025


class Synced(NamedTuple):
    added: int
    removed: int


@dataclass(frozen=True, slots=True, eq=False)
class _Contents:
    vectors: Any
    people: dict[int, str]
    sizes: Counter[str]


class FaceIndex:
    """Inner product is cosine here: templates and probes are unit vectors. 2 KiB a 512-d template."""

    def __init__(self, space: str, dim: int) -> None:
        """An empty index. Raises UnsupportedRuntime where FAISS is not installed."""
        faiss = _faiss()
        self.space = space
        self.dim = dim
        self._contents = _Contents(faiss.IndexIDMap2(faiss.IndexFlatIP(dim)), {}, Counter())
        self._changing = threading.Lock()

    def __len__(self) -> int:
        return len(self._contents.people)

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
            known = self._contents.people
            stored = set(store.template_ids(self.space).tolist())
            missing = stored - known.keys()
            added = _without(store.templates(self.space, min(missing) - 1), known) if missing else None
            removed = known.keys() - stored
            self._change(added, removed)
            return Synced(len(added or ()), len(removed))

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
            lists.append(_by_person(scores, owners, everybody=len(owners) == len(contents.people)))
        return lists

    def _check(self, probes: F32, top_k: int, space: str | None) -> None:
        if space is not None and space != self.space:
            raise EmbeddingSpaceMismatch(f"probes are of space {space}, the index is of {self.space}")
        if probes.ndim != 2 or probes.shape[1] != self.dim or probes.dtype != np.float32:
            raise ValueError(f"probes: want float32 (n, {self.dim}), got {probes.dtype} {probes.shape}")
        if top_k < 1:
            raise ValueError(f"top_k: want at least 1, got {top_k}")

    def _change(self, added: Templates | None, removed: Iterable[int]) -> None:
        gone = np.fromiter(removed, np.int64)
        old = self._contents
        if added is not None and len(added):
            self._check_new(added)
        elif not len(gone):
            return
        vectors, people = _faiss().clone_index(old.vectors), dict(old.people)
        if len(gone):
            vectors.remove_ids(gone)
            for template_id in gone.tolist():
                del people[template_id]
        if added is not None and len(added):
            vectors.add_with_ids(np.ascontiguousarray(added.matrix), added.ids)
            people.update(zip(added.ids.tolist(), added.person_ids, strict=True))
        self._contents = _Contents(vectors, people, Counter(people.values()))

    def _check_new(self, added: Templates) -> None:
        if added.space != self.space or added.matrix.shape[1] != self.dim:
            raise EmbeddingSpaceMismatch(
                f"templates are {added.matrix.shape[1]} numbers of space {added.space}, "
                f"the index takes {self.dim} of {self.space}; enrol those people anew with this model"
            )


def _without(templates: Templates, known: Mapping[int, str]) -> Templates:
    new = [row for row, template_id in enumerate(templates.ids.tolist()) if template_id not in known]
    if len(new) == len(templates):
        return templates
    owners = tuple(templates.person_ids[row] for row in new)
    return Templates(templates.space, templates.ids[new], owners, templates.matrix[new])


def _nearest(contents: _Contents, probes: F32, top_k: int) -> tuple[F32, list[list[str]]]:
    """The k nearest templates of n probes: similarities (n,k) float32, falling, and whose they are."""
    k = min(top_k, len(contents.people))
    if not k or not len(probes):
        return np.empty((len(probes), 0), np.float32), [[] for _ in probes]
    # OpenMP keeps this number for each calling thread; a search must not take the cores of its neighbours.
    _faiss().omp_set_num_threads(1)
    similarities, ids = contents.vectors.search(np.ascontiguousarray(probes), k)
    np.clip(similarities, -1.0, 1.0, out=similarities)
    return similarities, [[contents.people[i] for i in row if i >= 0] for row in ids.tolist()]


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
