"""How far two runs over one clip agree on who is seen. Pure.

The clip's people are not known, so they are made from the peer's own faces: its embeddings are grouped, and a few
faces of each group are enrolled as one person, for both.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recognition.arrays import F32
from recognition.faces import iou
from streamer.errors import BenchFailed

SAME_FACE_IOU = 0.5
SAME_PERSON_COSINE = 0.45
LEAST_FACES = 5
TEMPLATES_EACH = 5


@dataclass(frozen=True, slots=True, eq=False)
class SeenFace:
    """One face of our run in one frame: its box (4,) xyxy px, and whom its track is nearest to (None: nobody)."""

    frame: int
    box: F32
    person: int | None


def people_of(embeddings: F32, frames: NDArray[np.int64]) -> list[F32]:
    """Group unit embeddings (m,d) into people -> for each the templates (k,d) to enrol, spread over the clip.

    Single linkage, the most similar pair first, where two faces of one frame are never one person.
    """
    group = np.arange(len(embeddings))
    seen = [{int(frame)} for frame in frames]
    similarity = embeddings @ embeddings.T
    rows, columns = np.nonzero(np.triu(similarity >= SAME_PERSON_COSINE, k=1))
    for pair in np.argsort(-similarity[rows, columns], kind="stable"):
        one, other = int(group[rows[pair]]), int(group[columns[pair]])
        if one != other and seen[one].isdisjoint(seen[other]):
            group[group == other] = one
            seen[one] |= seen[other]
    people = []
    for number in np.unique(group):
        members = np.flatnonzero(group == number)
        if len(members) >= LEAST_FACES:
            spread = np.linspace(0, len(members) - 1, TEMPLATES_EACH).round().astype(int)
            people.append(embeddings[members[np.unique(spread)]])
    return people


def nearest(embeddings: F32, people: list[F32]) -> tuple[NDArray[np.int64], F32]:
    """For each embedding (m,d) the person with the most similar template, and that similarity."""
    each = np.stack([(embeddings @ templates.T).max(axis=1) for templates in people], axis=1)
    return each.argmax(axis=1), each.max(axis=1).astype(np.float32)


def agreement(
    peer_frames: NDArray[np.int64],
    peer_boxes: F32,
    peer_people: NDArray[np.int64],
    peer_similarities: F32,
    threshold: float,
    ours: list[SeenFace],
) -> float:
    """The share of the peer's faces above the threshold that a track of ours, by box, gives the same person.

    Raises BenchFailed where no face of the peer is: there is nothing to agree on.
    """
    by_frame: dict[int, list[SeenFace]] = {}
    for face in ours:
        by_frame.setdefault(face.frame, []).append(face)
    agreed, asked = 0, 0
    for frame, box, person, similarity in zip(peer_frames, peer_boxes, peer_people, peer_similarities, strict=True):
        if similarity < threshold:
            continue
        asked += 1
        candidates = by_frame.get(int(frame), [])
        if candidates:
            overlaps = iou(box[None], np.stack([face.box for face in candidates]))[0]
            best = int(overlaps.argmax())
            agreed += bool(overlaps[best] >= SAME_FACE_IOU and candidates[best].person == int(person))
    if not asked:
        raise BenchFailed(
            f"agreement: none of the peer's {len(peer_frames)} faces is above the threshold {threshold:g}; "
            "give a clip in which people are seen near enough and again"
        )
    return agreed / asked
