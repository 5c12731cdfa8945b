"""Trials and rates on numbers small enough to reckon by hand."""

import numpy as np
import pytest

from gallery.evaluation.open_set import Named, NamingRates, Trial, naming_rates, trials
from recognition.evaluation.error_rates import Templates


def photos(*counts: int, without_face: tuple[int, ...] = ()) -> Templates:
    people = np.repeat(np.arange(len(counts)), counts)
    found = ~np.isin(np.arange(len(people)), without_face)
    return Templates(np.zeros((len(people), 2), np.float32), people, found)


@pytest.mark.parametrize(
    ("most", "first", "second"), [(1, [0, 10], [8]), (3, [0, 1, 2, 10], [8]), (None, [0, 1, 2, 3, 4, 5, 10], [8])]
)
def test_both_halves_are_enrolled_once(most: int | None, first: list[int], second: list[int]) -> None:
    # Ada has 8 photos, Bob 2, Cy 1.
    one, other = trials(photos(8, 2, 1), np.array([True, False, True]), most)
    assert one.enrolled.tolist() == first
    assert other.enrolled.tolist() == second
    assert one.genuine.tolist() == [6, 7]  # Cy has none to spare
    assert other.genuine.tolist() == [9]
    assert one.impostors.tolist() == [8, 9]
    assert other.impostors.tolist() == [*range(8), 10]


def test_a_photo_without_a_face_is_neither_enrolled_nor_a_stranger_but_a_genuine_probe() -> None:
    one, other = trials(photos(4, 2, without_face=(0, 3, 5)), np.array([True, False]), 1)
    assert one.enrolled.tolist() == [1]
    assert one.genuine.tolist() == [3]
    assert one.impostors.tolist() == [4]
    assert other.impostors.tolist() == [1, 2]


def test_nobody_at_all() -> None:
    one, other = trials(photos(), np.zeros(0, np.bool_), None)
    assert not any(len(rows) for trial in (one, other) for rows in (trial.enrolled, trial.genuine, trial.impostors))


PEOPLE = np.array([0, 0, 0, 1, 2, 2, 2, 2])


def rates(genuine: list[float], impostors: list[float], fpir: float) -> NamingRates:
    """Photos 0 to 2 are Ada's, 3 is Bob's: genuine. The others are Cy's."""
    trial = Trial(np.arange(0), np.array([0, 1, 2, 3]), np.array([4, 5, 6, 7]))
    return naming_rates(PEOPLE, [(trial, Named(np.array(genuine), np.array(impostors)))], [fpir])[fpir]


@pytest.mark.parametrize(
    ("impostors", "fpir", "threshold"),
    [
        ([0.9, 0.2, 0.4, 0.1], 0.25, 0.4),  # one of four may pass
        ([0.9, 0.2, 0.4, 0.1], 0.5, 0.2),
        ([0.9, 0.9, 0.4, 0.1], 0.25, 0.9),  # two at once may not
        ([0.9, -np.inf, -np.inf, -np.inf], 0.25, None),  # the others have no name at any threshold
    ],
)
def test_no_more_impostors_pass_than_asked_for(impostors: list[float], fpir: float, threshold: float | None) -> None:
    told = rates([0.95, 0.95, 0.95, 0.95], impostors, fpir)
    assert told.fnir == 0.0
    assert told.threshold is not None
    assert told.threshold == (-1.0 if threshold is None else np.nextafter(threshold, 1))
    assert np.mean([one >= told.threshold for one in impostors]) <= fpir


@pytest.mark.parametrize(
    ("genuine", "fnir"),
    [
        ([0.5, 0.5, 0.5, 0.5], 0.0),
        ([0.5, 0.5, 0.3, 0.5], 1 / 6),  # a third of Ada, who is half of all
        ([0.5, 0.5, 0.5, -np.inf], 1 / 2),
        ([-np.inf] * 4, 1.0),
    ],
)
def test_each_person_counts_once(genuine: list[float], fnir: float) -> None:
    assert rates(genuine, [0.9, 0.4, 0.2, 0.1], 0.25).fnir == pytest.approx(fnir)


def test_too_few_impostors_tell_no_rate() -> None:
    assert rates([1.0] * 4, [0.9, 0.4, 0.2, 0.1], 0.2) == NamingRates(None, None, None, None, 2, 4, 4)


def test_the_interval_holds_the_figure_and_shrinks_with_more_people() -> None:
    widths = []
    for count in (40, 400):
        people = np.arange(2 * count)
        trial = Trial(people[:0], people[:count], people[count:])
        random = np.random.default_rng(1)
        named = Named(random.normal(0.6, 0.15, count), random.normal(0.1, 0.1, count))
        told = naming_rates(people, [(trial, named)], [0.05])[0.05]
        assert told.fnir is not None
        assert told.low is not None
        assert told.high is not None
        assert told.low <= told.fnir <= told.high
        widths.append(told.high - told.low)
    assert widths[1] < widths[0] / 1.5
