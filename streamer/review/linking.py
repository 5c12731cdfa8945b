"""From which cosine on two visits are one person's, by the rates that were measured of their embedding space. Pure."""

from itertools import pairwise
from math import log10

from recognition.arrays import F32
from recognition.specs.spec import MatchThresholds
from streamer.review.clustering import Groups, grouped

# So many of all groups may find another one that is as much like them by chance. One in twenty keeps clusters apart
# among hundreds of people; the rate for 1:1 made every fifth one of two people (docs/kept-visits.md).
BY_CHANCE = 0.05
_ROUNDS = 3  # by then it is a few visits that change their cluster


def grouped_by_rate(vectors: F32, thresholds: MatchThresholds) -> Groups:
    """As grouped(). The more people there are, the more alike two have to be: as many as there are visits first, then
    as many as were found.
    """
    wanted = cosine_among(len(vectors), thresholds)
    groups = grouped(vectors, wanted)
    for _ in range(_ROUNDS):
        less = cosine_among(len(groups), thresholds)
        if less >= wanted:
            break
        wanted, groups = less, grouped(vectors, less)
    return groups


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
