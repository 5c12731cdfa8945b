"""Tails of scores -> how often a gallery of so many people names a stranger, or misses somebody of its own.

Open-set identification with a lead over the next person (ISO/IEC 19795-1: FPIR, FNIR). People resemble a stranger
independently of each other here: measured on LFW, how alike a face is to many at once changes the rate by under 15 %
at FPIR 1e-2 (docs/calibration.md). Pure NumPy; any thread.
"""

import math
from collections.abc import Sequence

import numpy as np

from gallery.matching.tails import F64, GRID, Tail, place_of


def false_positive_rates(impostor: Tail, people: int, margin: float, own: Sequence[tuple[float, Tail]] = ()) -> F64:
    """(4001,) float64: the share of strangers who are named, by a threshold at each cosine of GRID.

    `impostor`: of the people without a threshold of their own, the mean; `own`: of each of the others the threshold and
    the tail. Named is who is the nearest, reaches the threshold, and leads the next of them by the margin.
    """
    everybody = people + len(own)
    if not everybody:
        return np.zeros_like(GRID)
    reached = people * impostor.rates + sum((tail.rates for _, tail in own), np.zeros_like(GRID))
    alone = np.exp(-_at(reached, -margin) * (everybody - 1) / everybody)
    named = people * impostor.shares * alone
    fixed = math.fsum(float((tail.shares * alone)[place_of(cosine) :].sum()) for cosine, tail in own)
    return np.minimum(np.cumsum(named[::-1])[::-1] + fixed, 1.0)


def false_negative_rates(genuine: Tail, impostor: Tail, people: int, margin: float) -> F64:
    """(4001,) float64: the share of probes of enrolled people that are not named as them, by the threshold."""
    others = max(people - 1, 0)
    alone = np.exp(-others * _at(impostor.rates, -margin))
    return np.clip(1.0 - np.cumsum((genuine.shares * alone)[::-1])[::-1], 0.0, 1.0)


def trust(genuine: Tail, impostor: Tail, people: int) -> F64:
    """(4001,) float64, rising: how likely somebody with this similarity to the nearest person is that person.

    Bayes' rule with the densities of both kinds of scores, as if strangers came as often as people of the gallery.
    Rises where the densities don't, too: a higher similarity never makes a name less sure.
    """
    ours, theirs = _smooth(genuine.shares), people * _smooth(impostor.shares)
    total = ours + theirs
    share = np.divide(ours, total, out=np.zeros_like(total), where=total > 0)
    # A photo of somebody else among a person's own must not make any similarity a sure one.
    share[impostor.rates > 0.5] = 0.0
    beyond = GRID[np.flatnonzero(genuine.shares > 0)[-1]] < GRID if (genuine.shares > 0).any() else GRID > 1
    share[beyond] = 0.0  # nobody's score was ever there: what was sure before stays so
    return np.maximum.accumulate(share)


_WIDTH = 40  # 0.02 of cosine


def _smooth(shares: F64) -> F64:
    reach = np.arange(-3 * _WIDTH, 3 * _WIDTH + 1)
    kernel = np.exp(-0.5 * (reach / _WIDTH) ** 2)
    return np.convolve(shares, kernel / kernel.sum(), mode="same")


def _at(rates: F64, offset: float) -> F64:
    """The rates at cosines that are so much higher; below the grid that of its first."""
    return np.interp(GRID + offset, GRID, rates)
