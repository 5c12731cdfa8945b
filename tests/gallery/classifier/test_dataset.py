import numpy as np
import pytest

from gallery.classifier.dataset import Dataset, means_of
from gallery.classifier.errors import TrainingImpossible
from tests.gallery.classifier.crowd import faces


@pytest.mark.parametrize(("sizes", "kept", "dropped"), [([2, 2], 2, 0), ([1, 3, 2], 2, 1), ([1, 1, 5, 9, 2], 3, 2)])
def test_who_has_one_face_alone_is_no_class(sizes, kept, dropped):
    dataset = Dataset.of(*faces(sizes))

    assert (len(dataset.person_ids), dataset.dropped) == (kept, dropped)
    assert dataset.sizes.tolist() == [size for size in sizes if size > 1]


@pytest.mark.parametrize("sizes", [[], [1], [9], [1, 1, 1], [1, 7]])
def test_fewer_than_two_classes_are_none(sizes):
    embeddings, people = faces(sizes) if sizes else (np.empty((0, 64), np.float32), [])
    with pytest.raises(TrainingImpossible, match="two usable verified faces"):
        Dataset.of(embeddings, people)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_order_of_the_source_does_not_matter(seed):
    embeddings, people = faces([3, 4, 2])
    order = np.random.default_rng(seed).permutation(len(people))
    one, other = Dataset.of(embeddings, people), Dataset.of(embeddings[order], [people[row] for row in order])

    assert one.person_ids == other.person_ids
    assert np.array_equal(one.labels, other.labels)
    assert np.array_equal(one.embeddings, other.embeddings)


@pytest.mark.parametrize(("sizes", "validation"), [([2, 2], [1, 1]), ([5, 10, 3], [1, 2, 1]), ([20, 2, 40], [4, 1, 8])])
def test_each_person_is_in_both_parts(sizes, validation):
    dataset = Dataset.of(*faces(sizes))
    training, held_out = dataset.split(0.2, seed=42)

    assert held_out.sizes.tolist() == validation
    assert (training.sizes + held_out.sizes).tolist() == sizes
    both = {row.tobytes() for row in training.embeddings} & {row.tobytes() for row in held_out.embeddings}
    assert both == set()


def test_the_split_goes_by_its_seed():
    dataset = Dataset.of(*faces([20, 20]))
    first, again, other = (dataset.split(0.2, seed)[1].embeddings for seed in (1, 1, 2))

    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_means_are_unit_vectors_in_the_middle_of_their_class():
    dataset = Dataset.of(*faces([6, 9, 2]))
    means = means_of(dataset)

    assert np.linalg.norm(means, axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    assert (dataset.embeddings @ means.T).argmax(axis=1).tolist() == dataset.labels.tolist()
