import numpy as np
import pytest

from gallery.matching.exact import on_grid
from gallery.matching.negatives import Negatives, is_refuted
from tests.gallery.fakes import SPACE, near, templates_of, unit


@pytest.mark.parametrize(
    ("similarity", "negative", "refuted"),
    [(0.6, 0.9, True), (0.6, 0.6, True), (0.6, 0.551, True), (0.6, 0.549, False), (0.2, -1.0, False), (1.0, 1.0, True)],
)
def test_what_is_as_near_to_a_negative_is_refuted(similarity: float, negative: float, refuted: bool) -> None:
    assert is_refuted(similarity, negative) is refuted


def test_the_nearest_negative_of_each_person_counts() -> None:
    face = unit(1)
    negatives = Negatives(
        templates_of({3: ("pa", near(face, 0.4)), 5: ("pb", unit(5)), 8: ("pa", near(face, 0.7, seed=2))})
    )
    assert set(negatives.people) == {"pa", "pb"}
    found = negatives.nearest(on_grid(np.stack([face, unit(5)])), ["pa", "pc"])
    assert [set(one) for one in found] == [{"pa"}, {"pa"}]
    assert found[0]["pa"] == pytest.approx(0.7, abs=1e-6)
    (both,) = negatives.nearest(on_grid(unit(5)[None]), {"pb", "pa"})
    assert both["pb"] == pytest.approx(1.0, abs=1e-6)


def test_nobody_has_any() -> None:
    nobody = Negatives.none(SPACE)
    assert not nobody.people
    assert nobody.nearest(on_grid(np.stack([unit(1), unit(2)])), ["pa"]) == [{}, {}]


def test_those_of_another_size_say_nothing() -> None:
    """A model of before gave others in this space."""
    negatives = Negatives(templates_of({1: ("ada", unit(1, 32)), 2: ("ada", unit(2, 32))}))
    assert negatives.nearest(on_grid(np.stack([unit(1), unit(2)])), ["ada"]) == [{}, {}]
