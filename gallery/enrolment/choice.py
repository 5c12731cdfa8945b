"""Whose photo is it? The faces of each photo of one enrolment in, the face of the person in each out.

Pure; any thread. A photo is its person's where one face stands out; where several do, it is the one that the
person's other photos show too. What stays open is refused: a template of a bystander makes false names.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recognition.arrays import F32
from recognition.faces import Detections

# Of 9,525 photos of LFW that are of one person each, 1,494 show several faces to SCRFD-500M; in none a wrong one
# leads by so much (docs/accuracy.md).
BY_FAR = 1.25
_EDGE, _AT_THE_EDGE = 0.02, 0.8  # of a side; nobody puts the person whom a photo is of at its edge
_LEAD = 0.1  # of the cosine of one face over that of another, where both are like the person's other photos


def prominence(found: Detections, width: int, height: int) -> F32:
    """(n,) how much of a photo of this size each face takes, and how surely: the side of its visible box by score.

    What is found where no face is scores low. Who is cut by the border, or nearly, counts less: a bystander.
    """
    low, high = np.zeros(2, np.float32), np.array([width, height], np.float32)
    start, end = found.boxes[:, :2], found.boxes[:, 2:]
    sides = np.sqrt(np.maximum(np.clip(end, low, high) - np.clip(start, low, high), 0).prod(axis=1))
    at_edge = (np.minimum(start, high - end) < _EDGE * high).any(axis=1)
    return np.asarray(sides * found.scores * np.where(at_edge, _AT_THE_EDGE, 1.0), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """The faces of one photo that may be enrolled: embeddings (k,d) float32 unit vectors, the most prominent first.

    `clear`: the first one is the only face or by far the most prominent one.
    """

    embeddings: F32
    clear: bool


def whose(photos: Sequence[Faces], before: F32, threshold: float) -> list[int | None]:
    """For each photo which of its faces is the person's; None where that is not clear.

    before (m,d): the templates that the person has. Faces are alike from a cosine of `threshold` on.
    """
    chosen: list[int | None] = [0 if photo.clear else None for photo in photos]
    if not len(before) and not any(photo.clear for photo in photos):
        return _recurring(photos, threshold)
    sure = {number: photo.embeddings[0] for number, photo in enumerate(photos) if photo.clear}
    for number, photo in enumerate(photos):
        if len(photo.embeddings) < 2 and photo.clear:
            continue
        others = [embedding for other, embedding in sure.items() if other != number]
        chosen[number] = _agreeing(photo, before, np.stack(others) if others else before[:0], threshold)
    return chosen


def _agreeing(photo: Faces, before: F32, others: F32, threshold: float) -> int | None:
    """The one face that is like the person's templates of before, or else like the other photos' faces."""
    to_before, to_others = _nearest(photo.embeddings, before), _nearest(photo.embeddings, others)
    nearest = np.maximum(to_before, to_others)
    first, *rest = np.argsort(-nearest, kind="stable").tolist()
    if nearest[first] < threshold:
        return 0 if photo.clear else None
    if rest and nearest[rest[0]] >= threshold and nearest[first] - nearest[rest[0]] < _LEAD:
        return 0 if photo.clear and nearest[0] >= threshold else None
    # A photo in which somebody else is by far the largest: what was given along with it is no proof against that.
    if photo.clear and first and to_before[first] < threshold:
        return None
    return int(first)


def _nearest(embeddings: F32, others: F32) -> F32:
    if not len(others):
        return np.full(len(embeddings), -1.0, np.float32)
    return np.asarray((embeddings @ others.T).max(axis=1), np.float32)


def _recurring(photos: Sequence[Faces], threshold: float) -> list[int | None]:
    """Photos of groups alone: the face that is in more of them than any other is."""
    nobody: list[int | None] = [None] * len(photos)
    owners = np.repeat(np.arange(len(photos)), [len(photo.embeddings) for photo in photos])
    if len(photos) < 2:
        return nobody
    faces = np.concatenate([photo.embeddings for photo in photos])
    alike = faces @ faces.T >= threshold
    seen_in = np.array([len(set(owners[row]) - {owner}) for row, owner in zip(alike, owners, strict=True)])
    most = np.flatnonzero(seen_in == seen_in.max())
    # Two people who are together in as many photos: nobody can say which of them is meant.
    if not seen_in.max() or len(set(owners[most])) < len(most) or not alike[np.ix_(most, most)].all():
        return nobody
    starts = np.concatenate(([0], np.cumsum([len(photo.embeddings) for photo in photos])))
    seed = {int(owners[face]): int(face - starts[owners[face]]) for face in most}
    return [
        seed[number] if number in seed else _agreeing(photo, faces[:0], faces[most], threshold)
        for number, photo in enumerate(photos)
    ]
