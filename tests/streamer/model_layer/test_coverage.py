"""Whom which embedder could name: tables, and a real gallery."""

import pytest

from recognition.models.manager import ModelManager
from streamer.errors import PeopleNotCovered
from streamer.model_layer.coverage import NOBODY, Coverage, coverage_in, embedders_behind
from tests.ensembles import ensemble, tiny_model
from tests.galleries import open_store
from tests.gallery.fakes import photo_of, unit


@pytest.mark.parametrize(
    ("lacking", "others", "refused"),
    [
        ({}, ["a", "b"], False),
        ({"a": 0, "b": 2}, ["a", "b"], True),
        ({"a": 2, "b": 2}, ["a", "b"], False),
        ({"a": 3, "b": 2}, ["a", "b"], False),
        ({"b": 2}, ["b"], False),
        ({"b": 2}, [], False),
    ],
    ids=["all there", "another can", "no better", "better than another", "alone", "nothing else"],
)
def test_an_embedder_is_refused_for_people_whom_another_can_name(lacking, others, refused):
    against = Coverage(12, lacking).against("b", others)
    assert (against is not None) is refused
    if against is not None:
        assert against.code == PeopleNotCovered.code
        assert against.why.startswith("2 of 12 people have no template in its space; whosthere gallery reindex b ")


def test_where_nobody_is_enrolled_nothing_is_against_any():
    assert NOBODY.against("a", ["a", "b"]) is None


def test_what_has_to_agree_needs_the_templates_of_each(tmp_path):
    members = [tiny_model(tmp_path, name, dim=64, seed=seed, threshold=0.5) for seed, name in enumerate(("one", "two"))]
    both = ensemble(tmp_path, "both", members)
    joint = ensemble(tmp_path, "joint", members, "concat_l2")
    manager = ModelManager([tmp_path])
    assert [spec.name for spec in embedders_behind(manager, both.name)] == ["one", "two"]
    assert [spec.name for spec in embedders_behind(manager, joint.name)] == ["joint"]
    with open_store(tmp_path / "gallery.db") as store:
        for number, name in enumerate(("Ada", "Grace")):
            store.add_person(name, [photo_of(unit(number), number, space="one.1")])
        found = coverage_in(store, manager, ["one", "both", "joint"])
    assert found == Coverage(2, {"one": 0, "both": 2, "joint": 2})
