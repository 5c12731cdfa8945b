import numpy as np
import pytest

from gallery.matching.aggregate import aggregate, class_mean, class_means
from gallery.matching.aggregation import Aggregation
from gallery.matching.exact import cosines, on_grid
from tests.gallery.fakes import DIM, near, unit

COSINES = np.array([0.5, 0.2, 0.9, 0.1, 0.7, 0.3, -0.4])
STARTS = np.array([0, 1, 3], np.intp)  # people of one, two and four templates


@pytest.mark.parametrize(
    ("how", "expected"),
    [("best", [0.5, 0.9, 0.7]), ("mean_of_three", [0.5, 0.55, (0.7 + 0.3 + 0.1) / 3]), ("class_mean", [0.5, 0.9, 0.7])],
)
def test_one_score_a_person(how: Aggregation, expected: list[float]) -> None:
    assert aggregate(COSINES, STARTS, how) == pytest.approx(expected)
    many = np.stack([COSINES, COSINES[::-1], np.zeros(7)])
    found = aggregate(many, STARTS, how)
    assert found.shape == (3, 3)
    assert found[0] == pytest.approx(expected)
    assert not found[2].any()


@pytest.mark.parametrize("how", ["best", "mean_of_three", "class_mean"])
@pytest.mark.parametrize("n", [0, 2])
def test_nobody_and_nothing(how: Aggregation, n: int) -> None:
    assert aggregate(np.empty((n, 0)), np.empty(0, np.intp), how).shape == (n, 0)
    assert aggregate(np.empty(0), np.empty(0, np.intp), how).shape == (0,)


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_the_mean_of_a_class_is_a_unit_vector_amid_its_templates(count: int) -> None:
    face = unit(1)
    templates = on_grid(np.stack([near(face, 0.8, seed=n) for n in range(count)]))
    mean = class_mean(templates)
    assert mean.dtype == np.float32
    assert np.linalg.norm(mean) == pytest.approx(1.0, abs=1e-6)
    assert np.array_equal(on_grid(mean), mean)
    assert float(mean @ face) >= 0.8 - 1e-6
    if count == 1:
        assert np.array_equal(mean, templates[0])


@pytest.mark.parametrize("place", [0, 2, 4])
def test_who_is_unlike_the_others_is_left_out_of_the_mean(place: int) -> None:
    face = unit(1)
    own = [near(face, 0.9, seed=n) for n in range(4)]
    with_another = [*own[:place], unit(7), *own[place:]]
    assert np.array_equal(class_mean(on_grid(np.stack(with_another))), class_mean(on_grid(np.stack(own))))
    two = on_grid(np.stack([face, unit(7)]))
    assert float(class_mean(two) @ two[1]) > 0.5, "of two nobody knows which is the other one"


def test_the_same_template_twice_counts_twice_and_opposite_ones_leave_one() -> None:
    one, other = on_grid(unit(1)), on_grid(near(unit(1), 0.5))
    mean = class_mean(np.stack([one, one, other]))
    assert float(mean @ one) > float(mean @ other) + 0.2
    assert np.array_equal(class_mean(np.stack([one, -one])), one)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_means_do_not_depend_on_who_else_is_there_nor_on_the_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 7, 12)
    people = [on_grid(np.stack([near(unit(n), 0.7, seed=100 * n + k) for k in range(c)])) for n, c in enumerate(counts)]
    starts = np.cumsum(counts) - counts
    means = class_means(np.concatenate(people), starts.astype(np.intp))
    assert means.shape == (12, DIM)
    for mean, templates in zip(means, people, strict=True):
        assert np.array_equal(mean, class_mean(templates))
        assert np.array_equal(mean, class_mean(templates[rng.permutation(len(templates))]))
        assert np.array_equal(mean, on_grid(mean))
    assert cosines(means, means).shape == (12, 12)


def test_a_thousand_templates_of_one_person() -> None:
    face = unit(1)
    mean = class_mean(on_grid(np.stack([near(face, 0.6, seed=n) for n in range(1000)])))
    assert float(mean @ face) > 0.99
