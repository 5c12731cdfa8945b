"""Made-up people whose likeness is known: every way of naming finds them, or not, as it must."""

from dataclasses import replace

import numpy as np
import pytest

from gallery.evaluation.naming import ENROLLED, FPIRS, Naming, Rules, measure_naming
from recognition.evaluation.error_rates import Templates

DIM = 64
OF_CLASSES = {"margin_of_classes", "classifier"}
RULES = Rules("class_mean", 0.05, 10, None, classifies=True)


def crowd(people: int, photos: int, spread: float, seed: int = 1) -> Templates:
    """Everybody at random; a person's photos about the person's own direction, as far from it as `spread` says."""
    random = np.random.default_rng(seed)
    own = np.repeat(random.standard_normal((people, DIM)), photos, axis=0)
    vectors = own + spread * random.standard_normal(own.shape)
    return templates(vectors, np.repeat(np.arange(people), photos))


def templates(vectors: np.ndarray, people: np.ndarray) -> Templates:
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return Templates(unit, people, np.ones(len(people), np.bool_))


def measured(photos: Templates, rules: Rules = RULES) -> Naming:
    return measure_naming(photos, np.arange(len(photos.first_photos)) % 2 == 0, rules)


def test_who_is_unlike_everybody_else_is_found_every_way() -> None:
    naming = measured(crowd(40, 6, spread=0.3))
    assert set(naming.rates) == {"best", "mean_of_three", "class_mean", "margin", "rerank", *OF_CLASSES}
    for way, by_enrolled in naming.rates.items():
        classes = way in OF_CLASSES
        assert set(by_enrolled) == set(ENROLLED) - ({"one"} if classes else set())
        for by_fpir in by_enrolled.values():
            assert set(by_fpir) == set(FPIRS)
            common, rare = by_fpir[1e-2], by_fpir[1e-3]
            assert (common.fnir, common.people, common.probes, common.impostors) == (0.0, 40, 40, 240)
            assert (rare.fnir, rare.threshold) == (None, None)  # 240 impostors can't tell one in a thousand


def test_more_photos_and_their_mean_find_more() -> None:
    rates = measured(crowd(60, 12, spread=1.3)).rates

    def fnir(way: str, enrolled: str) -> float:
        found = rates[way][enrolled][1e-2].fnir  # type: ignore[index]
        assert found is not None
        return found

    assert fnir("best", "one") == fnir("mean_of_three", "one") == fnir("class_mean", "one")
    assert fnir("class_mean", "all") < fnir("class_mean", "three") < fnir("class_mean", "one") - 0.1
    assert fnir("class_mean", "all") < fnir("best", "all") - 0.1


def test_twins_are_not_named_where_the_margin_leaves_them_in_doubt() -> None:
    """Numbers 0 and 2 are enrolled together, then 1 and 3; all others are themselves."""
    alone = crowd(30, 4, spread=0.2)
    vectors = alone.embeddings.copy()
    for one, other in ((0, 2), (1, 3)):
        vectors[alone.people == other] = vectors[alone.people == one]
    rates = measured(templates(vectors, alone.people)).rates
    assert rates["margin"]["three"][1e-2].fnir == pytest.approx(4 / 30)
    assert rates["class_mean"]["three"][1e-2].fnir == pytest.approx(2 / 30)  # one of two is guessed


def test_a_face_that_was_not_found_is_missed() -> None:
    photos = crowd(20, 4, spread=0.2)
    found = photos.found.copy()
    found[3] = False  # the probe of number 0
    rates = measured(Templates(photos.embeddings, photos.people, found)).rates
    assert rates["best"]["all"][1e-2].fnir is None  # 79 impostors
    assert rates["best"]["all"][1e-2].impostors == 79
    photos = crowd(60, 4, spread=0.2)
    found = photos.found.copy()
    found[3] = False
    rates = measured(Templates(photos.embeddings, photos.people, found)).rates
    assert rates["best"]["all"][1e-2].fnir == pytest.approx(1 / 60)


@pytest.mark.parametrize("photos", [crowd(1, 4, 0.2), crowd(3, 1, 0.2), crowd(2, 2, 0.2)])
def test_too_few_people_or_photos_tell_nothing(photos: Templates) -> None:
    rates = measured(photos).rates
    assert rates["best"]["all"][1e-2].fnir is None
    assert "classifier" not in rates


def test_no_classifier_where_none_is_wanted() -> None:
    rates = measured(crowd(10, 4, 0.2), Rules("best", 0.0, 5, None, classifies=False)).rates
    assert set(rates) == {"best", "mean_of_three", "class_mean", "margin", "rerank"}


def test_re_ranking_takes_names_away_alone() -> None:
    photos = crowd(60, 6, spread=1.3)
    by_order, by_bar = (measured(photos, replace(RULES, rerank_bar=bar)).rates for bar in (None, 0.99))
    for enrolled in ENROLLED:
        assert by_bar["rerank"][enrolled][1e-2].fnir == 1.0
        assert by_bar["margin"][enrolled] == by_order["margin"][enrolled]
    named = [by_order[way]["all"][1e-2].fnir for way in ("margin", "rerank")]
    assert named[0] is not None
    assert named[1] is not None
    assert named[1] < 1.0
