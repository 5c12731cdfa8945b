import numpy as np
import pytest

from gallery.matching.decide import Candidates
from gallery.matching.negatives import Negatives
from tests.gallery.fakes import SPACE, near, templates_of, unit


def test_the_nearest_negative_of_each_candidate_counts() -> None:
    face = unit(1)
    negatives = Negatives(
        templates_of({3: ("pa", near(face, 0.4)), 5: ("pb", unit(5)), 8: ("pa", near(face, 0.7, seed=2))})
    )
    assert set(negatives.people) == {"pa", "pb"}
    asked = [{"pa": 0.5, "pc": 0.4}, {"pc": 0.9}, {"pb": 0.3, "pa": 0.2}]
    found = negatives.against([Candidates(one) for one in asked], np.stack([face, face, unit(5)]))
    assert [one.similarities for one in found] == asked
    assert [set(one.negatives) for one in found] == [{"pa"}, set(), {"pa", "pb"}]
    assert found[0].negatives["pa"] == pytest.approx(0.7, abs=1e-6)
    assert found[2].negatives["pb"] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("faces", [[2, 1], [1, 2], [3]])
def test_probes_of_one_face_have_the_negatives_of_the_same_people(faces: list[int]) -> None:
    negatives = Negatives(templates_of({1: ("pa", unit(1)), 2: ("pb", unit(2))}))
    probes = np.stack([unit(1), unit(1), unit(2)])
    found = negatives.against([Candidates({"pa": 0.5, "pb": 0.4})] * 3, probes, faces)
    assert found == negatives.against([Candidates({"pa": 0.5, "pb": 0.4})] * 3, probes)
    assert [round(one.negatives["pa"], 4) for one in found][:2] == [1.0, 1.0]


def test_nobody_has_any() -> None:
    nobody = Negatives.none(SPACE)
    assert not nobody.people
    found = [Candidates({"pa": 0.5})] * 2
    assert nobody.against(found, np.stack([unit(1), unit(2)])) == found


def test_those_of_another_size_say_nothing() -> None:
    """A model of before gave others in this space."""
    negatives = Negatives(templates_of({1: ("ada", unit(1, 32)), 2: ("ada", unit(2, 32))}))
    found = [Candidates({"ada": 0.5})] * 2
    assert negatives.against(found, np.stack([unit(1), unit(2)])) == found
