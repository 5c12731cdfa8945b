"""From which cosine on two visits are one person's, by the rates that were measured of their embedding space. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log10

from recognition.arrays import F32
from recognition.specs.spec import MatchThresholds
from streamer.review.clustering import Groups, grouped

# So many of all groups may find another one that is as much like them by chance. One in twenty keeps clusters apart
# among hundreds of people; the rate for 1:1 made every fifth one of two people (docs/kept-visits.md).
BY_CHANCE = 0.05
_TENTH = 10
_ROUNDS = 3  # by then it is a few visits that change their cluster


Key = tuple[str, float]
"""A visit by its id and by which faces it is compared: by others it is another one."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How visits were put together: the keys of each group's; by which cosine; of how many that was made, and how many
    came or went since.
    """

    groups: tuple[tuple[Key, ...], ...] = ()
    cosine: float = 1.0
    made_of: int = 0
    changed: int = 0


def put_together(
    keys: Sequence[Key], vectors: F32, thresholds: MatchThresholds, last: Standing = Standing()
) -> Standing:
    """Visits in groups, by their vectors (n,d). A group of the last time stays together if none of its visits is gone,
    which may have held the others together; all others are put to these. All is made anew where a tenth has come or
    gone since it was.
    """
    row_of = {key: row for row, key in enumerate(keys)}
    ids = {event_id for event_id, _ in keys}
    whole = (group for group in last.groups if all(event_id in ids for event_id, _ in group))
    stay = [rows for group in whole if (rows := [row_of[key] for key in group if key in row_of])]
    stood = sum(map(len, last.groups))
    staying = sum(key in row_of for group in last.groups for key in group)
    changed = last.changed + (stood - staying) + (len(keys) - staying)
    if changed * _TENTH > last.made_of:
        groups, cosine = _by_rate(vectors, thresholds)
        made_of, changed = len(keys), 0
    else:
        groups, cosine, made_of = grouped(vectors, last.cosine, stay), last.cosine, last.made_of
    return Standing(tuple(tuple(keys[row] for row in rows) for rows in groups), cosine, made_of, changed)


def _by_rate(vectors: F32, thresholds: MatchThresholds) -> tuple[Groups, float]:
    """As grouped(), and by which cosine. The more people there are, the more alike two have to be: as many as there are
    visits first, then as many as were found.
    """
    wanted = cosine_among(len(vectors), thresholds)
    groups = grouped(vectors, wanted)
    for _ in range(_ROUNDS):
        less = cosine_among(len(groups), thresholds)
        if less >= wanted:
            break
        wanted, groups = less, grouped(vectors, less)
    return groups, wanted


def cosine_among(people: int, thresholds: MatchThresholds) -> float:
    """From which cosine on BY_CHANCE of so many people are taken for another of them; the rows of the table, and a line
    through the two that are next. Never under the one for 1:1.
    """
    usual = thresholds.cosine_at(thresholds.verification)
    rows = sorted((log10(row.fmr), row.cosine) for row in thresholds.table)
    if len(rows) < 2 or people < 2:
        return usual
    wanted = log10(BY_CHANCE / people)
    (x, y), (x2, y2) = next((pair for pair in pairwise(rows) if wanted <= pair[1][0]), (rows[-2], rows[-1]))
    return min(max(usual, y + (y2 - y) * (wanted - x) / (x2 - x)), 1.0)
