"""Kept visits of unknown people -> what there is to review: read, compared within a space, put together.

What is known of a visit is kept from one look to the next, so that each costs what came and went since. Blocks, for
seconds where there are thousands of visits the first time. For one thread at a time.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recognition.arrays import F32
from recognition.specs.spec import MatchThresholds
from streamer.kept_visits.visit import Unnamed, VisitFace
from streamer.kept_visits.visits_file import VisitsFile
from streamer.review.cluster import Cluster, Review, cluster_id
from streamer.review.linking import Key, Standing, put_together

# Compared with one another, the newest: what it takes grows faster than their number. Of these half at most are ignored
# ones, by which later visits of the same people are.
MOST_COMPARED = 30_000
_AT_ONCE = 500


@dataclass(frozen=True, slots=True, eq=False)
class _Face:
    """How a visit is compared: the unit mean (d,) of its faces in this space, None where it can't be; how good the best
    one is. `faces`: of which, as Unnamed has it.
    """

    faces: float
    space: str
    mean: F32 | None
    quality: float


class Queue:
    """What is to be reviewed, from one look to the next."""

    def __init__(self) -> None:
        self._asked: tuple[str, Mapping[str, MatchThresholds]] | None = None
        self._visits: Sequence[Unnamed] | None = None
        self._faces: dict[str, _Face] = {}
        self._standing: dict[tuple[str, int], Standing] = {}
        self._review = Review((), {})

    def look(self, file: VisitsFile, preferred: str, rates: Mapping[str, MatchThresholds]) -> Review:
        """As the file is now. preferred: the space in which a visit is compared that has faces of several. rates:
        by space that is known. Who is found to be one with an ignored visit is ignored, too.
        """
        if self._asked != (preferred, rates):
            self.clear()
            self._asked = (preferred, rates)
        visits = file.unnamed()
        if visits != self._visits:
            compared, older = newest(visits, MOST_COMPARED)
            self._faces = dict(self._compared(file, compared, preferred))
            self._review = self._put_together(compared, older, rates)
            self._visits = visits
        return self._review

    def clear(self) -> None:
        """Nothing is known of any face any more; the next look reads all of them."""
        self._asked = self._visits = None
        self._faces, self._standing, self._review = {}, {}, Review((), {})

    def _compared(self, file: VisitsFile, visits: Sequence[Unnamed], preferred: str) -> Iterator[tuple[str, _Face]]:
        """Those that are known as they are, and the others read."""
        anew = []
        for visit in visits:
            known = self._faces.get(visit.event_id)
            if known is None or known.faces != visit.faces:
                anew.append(visit)
            else:
                yield visit.event_id, known
        for first in range(0, len(anew), _AT_ONCE):
            some = anew[first : first + _AT_ONCE]
            faces = file.faces_of([visit.event_id for visit in some])
            for visit in some:
                space, kept = _in_one_space(faces.get(visit.event_id, ()), preferred)
                yield visit.event_id, _Face(visit.faces, space, mean_of(kept), kept[0].quality if kept else 0.0)

    def _put_together(self, visits: Sequence[Unnamed], older: int, rates: Mapping[str, MatchThresholds]) -> Review:
        together = defaultdict[tuple[str, int], dict[Key, Unnamed]](dict)
        apart = Counter[str]()
        for visit in visits:
            face = self._faces[visit.event_id]
            if face.space in rates and face.mean is not None:
                together[face.space, len(face.mean)][visit.event_id, visit.faces] = visit
            elif not visit.is_ignored:
                apart[face.space] += 1
        self._standing = {kind: self._standing_of(kind, here, rates) for kind, here in sorted(together.items())}
        clusters: dict[bool, list[Cluster]] = {False: [], True: []}
        for kind, standing in self._standing.items():
            for group in standing.groups:
                together_here = [together[kind][key] for key in group]
                is_ignored = any(visit.is_ignored for visit in together_here)
                clusters[is_ignored].append(self._cluster(together_here, kind[0]))
        open_, ignored = (tuple(sorted(clusters[one], key=lambda one: one.place)) for one in (False, True))
        return Review(open_, dict(apart), older, ignored)

    def _standing_of(
        self, kind: tuple[str, int], here: Mapping[Key, Unnamed], rates: Mapping[str, MatchThresholds]
    ) -> Standing:
        means = [mean for event_id, _ in here if (mean := self._faces[event_id].mean) is not None]
        return put_together(list(here), np.stack(means), rates[kind[0]], self._standing.get(kind, Standing()))

    def _cluster(self, visits: Sequence[Unnamed], space: str) -> Cluster:
        quality = {visit.event_id: self._faces[visit.event_id].quality for visit in visits}
        event_ids = tuple(sorted(quality, key=lambda one: (-quality[one], one)))
        return Cluster(
            cluster_id(event_ids),
            event_ids,
            tuple(sorted({visit.camera for visit in visits})),
            min(visit.began_at for visit in visits),
            max(visit.seen_at for visit in visits),
            quality[event_ids[0]],
            space,
        )


def newest(visits: Sequence[Unnamed], most: int) -> tuple[list[Unnamed], int]:
    """So many of them, which are in the order of their time, the newest; and how many others there are to review."""
    ignored = [visit for visit in visits if visit.is_ignored][-(most // 2) :]
    others = [visit for visit in visits if not visit.is_ignored]
    room = most - len(ignored)
    return ignored + others[-room:], max(0, len(others) - room)


def mean_of(faces: Iterable[VisitFace]) -> F32 | None:
    """The unit mean (d,) of faces of one space, each as heavy as it is good; None where there is none."""
    total = sum((face.embedding * max(face.quality, 1e-3) for face in faces), start=np.zeros(1, np.float32))
    length = float(np.linalg.norm(total))
    return np.asarray(total / length, np.float32) if np.isfinite(length) and length > 0.0 else None


def _in_one_space(faces: Sequence[VisitFace], preferred: str) -> tuple[str, list[VisitFace]]:
    """Those of the space that is preferred, else of the best one's."""
    if not faces:
        return "", []
    space = preferred if any(face.space == preferred for face in faces) else faces[0].space
    size = next(len(face.embedding) for face in faces if face.space == space)
    return space, [face for face in faces if face.space == space and len(face.embedding) == size]
