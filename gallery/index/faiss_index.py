"""FaceIndex: the templates of one embedding space, searched exactly (FAISS), rebuilt from the store.

Methods block (CPU; sync() disk too): call them off the event loop. Any number of threads may search while
one adds or removes: they go on with what they began with, and a change takes its place when it is whole.
"""

import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from types import ModuleType
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from gallery.index.contents import Contents, Stamped
from gallery.index.person_rows import PersonRows
from gallery.index.search import exactly, nearest
from gallery.matching.aggregate import class_means
from gallery.matching.aggregation import Aggregation
from gallery.matching.decide import Candidates, Rule
from gallery.matching.exact import on_grid
from gallery.people import TemplateMark, Templates, TemplateStamps
from gallery.storage.store import PersonStore
from recognition.arrays import F32
from recognition.errors import EmbeddingSpaceMismatch, UnsupportedRuntime

# FAISS compares queries x dimensions with it: up to two 512-d probes go one by one, more by matrix product,
# which took 50 ms and not 240 for 16 probes against 100k templates.
_BLAS_THRESHOLD = 1025
_AT_ONCE = 1024  # are read from the store: opened, they take room besides


class Synced(NamedTuple):
    added: int
    removed: int


@dataclass(frozen=True, slots=True, eq=False)
class _State:
    """What a search goes by, whatever comes meanwhile: the templates, and what is searched, both with whose they are.

    Searched are the templates themselves, or the class means of the people, one each.
    """

    templates: Contents
    searched: Contents
    of_templates: PersonRows
    of_searched: PersonRows


class _Doubts(NamedTuple):
    """Of whom, by number, these are: looked up once, since a search takes less than looking up all of them does."""

    whose: PersonRows
    people: frozenset[str]
    are_they: NDArray[np.bool_]


class FaceIndex:
    """Inner product is cosine here: templates and probes are unit vectors. 2 KiB a 512-d template, and as much again a
    person where class means are searched.
    """

    def __init__(self, space: str, dim: int, aggregation: Aggregation = "best") -> None:
        """An empty index. Raises UnsupportedRuntime where FAISS is not installed."""
        _faiss()
        self.space = space
        self.dim = dim
        self.aggregation = aggregation
        nothing = PersonRows.of(())
        self._state = _State(Contents(dim), Contents(dim), nothing, nothing)
        self._doubts = _Doubts(nothing, frozenset(), nothing.are(()))
        self._store: PersonStore | None = None
        self._mark: TemplateMark | None = None
        self._misfits: set[str] = set()
        self._is_whole = False
        self._changing = threading.Lock()

    @classmethod
    def of(cls, templates: Templates, aggregation: Aggregation = "best") -> Self:
        """Of these templates, (n,d), for good: without a store."""
        index = cls(templates.space, templates.matrix.shape[1], aggregation)
        contents = index._state.templates.with_more([(templates, _unstamped(templates.ids))])
        index._state = index._made(contents, contents.sizes)
        return index

    def __len__(self) -> int:
        return len(self._state.templates)

    @property
    def people(self) -> int:
        """How many different people have templates here."""
        return len(self._state.of_templates.people)

    @property
    def person_ids(self) -> frozenset[str]:
        """Who has templates here."""
        return frozenset(self._state.of_templates.people)

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
            former = self._state.templates
            contents, stays = None, np.ones(len(former), np.bool_)
            if store is self._store and self._is_whole:  # else so many are no sign that nobody is gone
                contents = self._with_newer(store, former, mark.count)
            if contents is None:
                contents, self._is_whole = self._as_stored(store, former)
                stays = former.stamps.are_among(contents.stamps)
            kept = int(stays.sum())
            changed = {owner for owner, stay in zip(former.owners, stays.tolist(), strict=True) if not stay}
            changed.update(islice(contents.owners, kept, None))
            if changed:
                self._state = self._made(contents, changed)
                self._doubts = _Doubts(self._state.of_searched, frozenset(), self._state.of_searched.are(()))
            self._store, self._mark = store, mark  # read before the rest: what was written meanwhile makes another one
            return Synced(len(contents) - kept, len(former) - kept)

    def _made(self, templates: Contents, changed: Collection[str]) -> _State:
        """Of these templates, where those of some people are others than before: theirs alone are meant anew."""
        of_templates = PersonRows.of(templates.owners, len(templates))
        if self.aggregation != "class_mean":
            return _State(templates, templates, of_templates, of_templates)
        former = self._state.searched
        same = np.fromiter((owner not in changed for owner in former.owners), np.bool_, len(former))
        means = former.only(same).with_more(self._means(templates, of_templates, changed))
        return _State(templates, means, of_templates, PersonRows.of(means.owners, len(means)))

    def _means(self, templates: Contents, whose: PersonRows, changed: Collection[str]) -> Iterator[Stamped]:
        """The class means of those of these people who have templates, some at a time."""
        there = [person for person in whose.people if person in changed]
        for first in range(0, len(there), _AT_ONCE):
            some = there[first : first + _AT_ONCE]
            numbers = np.array([whose.numbers[person] for person in some], np.intp)
            sizes = whose.sizes[numbers]
            means = class_means(templates.vectors(whose.rows_of(numbers)), np.cumsum(sizes) - sizes)
            ids = np.zeros(len(some), np.int64)
            yield Templates(self.space, ids, tuple(some), means), _unstamped(ids)

    def _with_newer(self, store: PersonStore, contents: Contents, count: int) -> Contents | None:
        """With what was written after all that is known; None where that makes not so many: others are gone."""
        if self._misfits:
            return None
        newest = int(contents.stamps.ids.max(initial=-1))
        added = store.templates(self.space, newest)
        stamps = store.template_stamps(self.space, newest)
        if len(contents) + len(stamps) != count or len(added) < len(stamps):
            return None
        return contents.with_more([self._stamped(added, stamps)])

    def _as_stored(self, store: PersonStore, contents: Contents) -> tuple[Contents, bool]:
        """Whatever became of the store, another file in its place too; whether nothing that is stored was left out."""
        self._misfits = set()
        stored = store.template_stamps(self.space)
        contents = contents.only(contents.stamps.are_among(stored))
        missing = stored.at(np.flatnonzero(~stored.are_among(contents.stamps)))
        contents = contents.with_more(self._read(store, missing))
        return contents, len(contents) == len(stored)

    def _read(self, store: PersonStore, missing: TemplateStamps) -> Iterator[Stamped]:
        """Read some at a time."""
        while len(missing):
            found = store.templates(self.space, int(missing.ids[0]) - 1, _AT_ONCE)
            if not len(found):
                return
            so_far = int(np.searchsorted(missing.ids, found.ids[-1], "right"))
            yield self._stamped(found, missing.at(np.arange(so_far)))
            missing = missing.at(np.arange(so_far, len(missing)))

    def _stamped(self, templates: Templates, stamps: TemplateStamps) -> Stamped:
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

    def templates_of(self, people: Collection[str]) -> Templates:
        """These people's templates, on the grid: one person's after another's, in the order in which they came."""
        state = self._state
        whose = state.of_templates
        numbers = np.array([whose.numbers[person] for person in people if person in whose.numbers], np.intp)
        rows = whose.rows_of(numbers)
        owners = tuple(whose.people[number] for number in whose.owners[rows])
        return Templates(self.space, state.templates.stamps.ids[rows], owners, state.templates.vectors(rows))

    def search_people(
        self,
        probes: F32,
        top_k: int,
        space: str | None = None,
        *,
        faces: Sequence[int] | None = None,
        doubted: frozenset[str] = frozenset(),
        rule: Rule | None = None,
    ) -> list[Candidates]:
        """For each probe (n,d) float32 how alike it is to the people near to it, by this index's aggregation.

        Near are those whose templates (class means) are among the top_k of a probe, and in any case two people beside
        the `doubted`, who may turn out to be no candidates, and whoever ties with the second. `faces`: how many probes,
        one after another, are of one face (None: each is of its own); those of one face list the same people. `rule`:
        nothing but decide() by it is to come, so that who doesn't matter to that may be left out; None: all near are
        listed. Exact: whatever way it is searched, the numbers are the same (gallery.matching.exact). A probe that is
        not finite resembles nobody. `space`, where given, is the probes' own. Raises EmbeddingSpaceMismatch, ValueError
        for a wrong shape.
        """
        self._check(probes, top_k, space)
        faces = [1] * len(probes) if faces is None else faces
        if sum(faces) != len(probes):
            raise ValueError(f"faces: want {len(probes)} probes in all, got {sum(faces)}")
        state = self._state
        if not len(state.searched) or not len(probes):
            return [Candidates({}) for _ in range(len(probes))]
        probes = np.ascontiguousarray(on_grid(probes))
        if self.aggregation == "mean_of_three":
            rule = None  # the mean of somebody farther may be higher
        of_several = np.repeat(np.greater(faces, 1), faces)
        doubts = self._doubts
        if doubts.whose is not state.of_searched or doubts.people is not doubted:
            doubts = self._doubts = _Doubts(state.of_searched, doubted, state.of_searched.are(doubted))
        near = nearest(_faiss(), state.searched, state.of_searched, probes, top_k, doubts.are_they, rule, of_several)
        return exactly(probes, near, faces, state.searched, state.of_searched, self.aggregation)

    def _check(self, probes: F32, top_k: int, space: str | None) -> None:
        if space is not None and space != self.space:
            raise EmbeddingSpaceMismatch(f"probes are of space {space}, the index is of {self.space}")
        if probes.ndim != 2 or probes.shape[1] != self.dim or probes.dtype != np.float32:
            raise ValueError(f"probes: want float32 (n, {self.dim}), got {probes.dtype} {probes.shape}")
        if top_k < 1:
            raise ValueError(f"top_k: want at least 1, got {top_k}")


def _unstamped(ids: NDArray[np.int64]) -> TemplateStamps:
    return TemplateStamps(ids, np.zeros((len(ids), 4), np.uint64))


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
