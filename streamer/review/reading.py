"""Kept visits of unknown people -> what there is to review: read, compared within a space, put together.

Blocks, for seconds where there are thousands of visits.
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
from streamer.review.linking import grouped_by_rate

# Compared with one another, the newest: what it takes grows faster than their number. Of these half at most are ignored
# ones, by which later visits of the same people are.
MOST_COMPARED = 30_000
_AT_ONCE = 500


@dataclass(frozen=True, slots=True, eq=False)
class _Face:
    """A visit as it is compared: the unit mean (d,) of its faces, and how good the best one is."""

    visit: Unnamed
    mean: F32
    quality: float


def review_of(
    file: VisitsFile, visits: Sequence[Unnamed], preferred: str, rates: Mapping[str, MatchThresholds]
) -> Review:
    """Of these visits. preferred: the space in which a visit is compared that has faces of several. rates:
    by space that is known. Who is found to be one with an ignored visit is ignored, too.
    """
    compared, older = newest(visits, MOST_COMPARED)
    faces = defaultdict[tuple[str, int], list[_Face]](list)
    apart = Counter[str]()
    for visit, seen in _with_faces(file, compared):
        space, kept = _in_one_space(seen, preferred)
        mean = mean_of(kept)
        if space in rates and mean is not None:
            faces[space, len(mean)].append(_Face(visit, mean, kept[0].quality))
        elif not visit.is_ignored:
            apart[space] += 1
    clusters = [
        _cluster([here[row] for row in rows], space)
        for (space, _), here in sorted(faces.items())
        for rows in grouped_by_rate(np.stack([face.mean for face in here]), rates[space])
        if not any(here[row].visit.is_ignored for row in rows)
    ]
    return Review(tuple(sorted(clusters, key=lambda one: one.place)), dict(apart), older)


def newest(visits: Sequence[Unnamed], most: int) -> tuple[list[Unnamed], int]:
    """So many of them, which are in the order of their time, the newest; and how many others there are to review."""
    ignored = [visit for visit in visits if visit.is_ignored][-(most // 2) :]
    others = [visit for visit in visits if not visit.is_ignored]
    room = most - len(ignored)
    return ignored + others[-room:], max(0, len(others) - room)


def _with_faces(file: VisitsFile, visits: Sequence[Unnamed]) -> Iterator[tuple[Unnamed, Sequence[VisitFace]]]:
    for first in range(0, len(visits), _AT_ONCE):
        some = visits[first : first + _AT_ONCE]
        faces = file.faces_of([visit.event_id for visit in some])
        yield from ((visit, faces.get(visit.event_id, ())) for visit in some)


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


def _cluster(members: Sequence[_Face], space: str) -> Cluster:
    best_first = sorted(members, key=lambda face: (-face.quality, face.visit.event_id))
    visits = [face.visit for face in members]
    event_ids = tuple(face.visit.event_id for face in best_first)
    return Cluster(
        cluster_id(event_ids),
        event_ids,
        tuple(sorted({visit.camera for visit in visits})),
        min(visit.began_at for visit in visits),
        max(visit.seen_at for visit in visits),
        best_first[0].quality,
        space,
    )
