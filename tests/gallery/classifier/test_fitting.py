import numpy as np
import pytest

from gallery.classifier.dataset import Dataset
from gallery.classifier.fitting import fit, margin_confidence
from tests.gallery.classifier.crowd import faces

KINDS = ("svc", "knn", "centroid")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", [[2, 2], [3, 2, 4, 2], [5, 5], [2, 9, 3, 12], [20] * 8])
def test_faces_that_it_never_saw_get_their_class(kind, sizes):
    fitted = fit(Dataset.of(*faces(sizes)), kind)
    probes, people = faces([4] * len(sizes), seed=500)
    said = fitted.predict(probes)

    assert [f"p{label:03}" for label in said.best] == people
    assert (said.similarity > 0.5).all()
    assert (said.lead > 0.2).all()
    assert ((said.confidence >= 0) & (said.confidence <= 1)).all()


@pytest.mark.parametrize(
    ("sizes", "with_probability"), [([2, 4, 3], []), ([5, 6, 9], [0, 1, 2]), ([2, 9, 4, 8], [1, 3])]
)
def test_probabilities_are_of_classes_of_five_faces_and_more(sizes, with_probability):
    fitted = fit(Dataset.of(*faces(sizes)))
    probes, _ = faces([2] * len(sizes), seed=500)
    said = fitted.predict(probes)

    assert fitted.calibrated_labels.tolist() == with_probability
    by_margin = margin_confidence(fitted.classifier, fitted.scaler.transform(probes.astype(np.float64)), said.best)
    small = ~np.isin(said.best, with_probability)
    assert said.confidence[small].tolist() == by_margin[small].tolist()
    if with_probability:
        assert (said.confidence[~small] > 0.9).all()


@pytest.mark.parametrize("photos", [5, 10, 20])
def test_the_name_is_the_surest_class_whatever_the_photos_a_person(photos):
    """Measured otherwise: with a sigmoid a class, and with one photo, the surest class was hardly ever right."""
    fitted = fit(Dataset.of(*faces([photos] * 12, cosine=0.75)))
    probes, people = faces([3] * 12, cosine=0.75, seed=700)
    said = fitted.predict(probes)
    shares = fitted.calibrated.predict_proba(fitted.scaler.transform(probes.astype(np.float64)))

    assert [f"p{label:03}" for label in said.best] == people
    assert shares.argmax(axis=1).tolist() == said.best.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_strangers_are_far_from_every_class(kind):
    fitted = fit(Dataset.of(*faces([6, 6, 6])), kind)
    strangers, _ = faces([1] * 12, seed=900)
    said = fitted.predict(strangers[3:])

    assert (said.similarity < 0.4).all()


def test_many_probes_are_taken_in_parts():
    fitted = fit(Dataset.of(*faces([3] * 300, cosine=0.95)))
    probes, people = faces([1] * 300, cosine=0.95, seed=500)

    assert [f"p{label:03}" for label in fitted.predict(probes).best] == people
    assert len(fitted.predict(probes[:0]).best) == 0
