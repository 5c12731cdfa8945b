"""A cluster of kept visits that are one unknown person's, as plain data. Pure; any thread."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cluster:
    """`id` stands for its members: those of another id are others. `event_ids`: the one with the best face first;
    times in Unix s; `space`: the embedding space that they were compared in.
    """

    id: str
    event_ids: tuple[str, ...]
    cameras: tuple[str, ...]
    first_at: float
    last_at: float
    quality: float
    space: str

    @property
    def place(self) -> tuple[int, str]:
        """By which clusters are listed, the largest first."""
        return -len(self.event_ids), self.id


@dataclass(frozen=True, slots=True)
class Review:
    """All that there is to review. `apart`: by space, how many visits can be compared with no other: nothing good was
    seen of the face (""), or no model that is known here is of that space. `older`: how many are not compared yet.
    `ignored`: those of whom somebody said that they are not to be reviewed.
    """

    clusters: tuple[Cluster, ...]
    apart: dict[str, int]
    older: int = 0
    ignored: tuple[Cluster, ...] = ()


def cluster_id(event_ids: Iterable[str]) -> str:
    """Of these members, in whatever order."""
    return "c" + hashlib.sha256("\n".join(sorted(event_ids)).encode()).hexdigest()[:24]
