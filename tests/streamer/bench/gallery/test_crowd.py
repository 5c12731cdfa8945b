"""The benchmark's made-up gallery is one of the release before, and says the same each time."""

import sqlite3
from contextlib import closing

import numpy as np
import pytest

from gallery.storage.store import PersonStore
from streamer.bench.gallery.crowd import SPACE, Somebody, faces, probes, write_crowd


@pytest.mark.parametrize("people", [1, 7, 5_003])
def test_it_opens_whole(tmp_path, people):
    write_crowd(tmp_path / "gallery.db", people)
    with closing(sqlite3.connect(tmp_path / "gallery.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
    with PersonStore(tmp_path / "gallery.db") as store:
        everybody = {person.id: person for person in store.people()}
        templates = store.templates(SPACE)
    assert everybody.keys() == {Somebody(number).id for number in range(people)}
    last = everybody[Somebody(people - 1).id]
    assert (last.name, last.photos, last.templates) == (Somebody(people - 1).name, 1, {SPACE: 1})
    assert len({person.name for person in everybody.values()}) == people
    assert np.array_equal(templates.matrix, faces(people))
    assert templates.person_ids == tuple(Somebody(number).id for number in range(people))


def test_probes_are_nearest_to_whom_they_show():
    templates = faces(500)
    similarities = probes(templates, 50) @ templates.T
    nearest, best = similarities.argmax(axis=1), similarities.max(axis=1)
    seen = np.arange(50) % 10 != 0
    assert nearest[seen].tolist() == [10 * row for row in range(50) if row % 10]
    assert best[seen].min() > 0.5
    assert best[~seen].max() < 0.3
