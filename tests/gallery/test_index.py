import sys
import threading

import numpy as np
import pytest

from gallery import index as index_module
from gallery.index import FaceIndex
from gallery.store import PersonStore
from recognition.errors import EmbeddingSpaceMismatch, UnsupportedRuntime
from tests.gallery.fakes import DIM, SPACE, near, photo_of, templates_of, unit


def _index(rows: dict[int, tuple[str, np.ndarray]]) -> FaceIndex:
    index = FaceIndex(SPACE, DIM)
    index.add(templates_of(rows))
    return index


def test_an_empty_gallery_finds_nothing() -> None:
    index = FaceIndex(SPACE, DIM)
    similarities, ids, people = index.search(np.stack([unit(1), unit(2)]), 5)
    assert similarities.shape == ids.shape == (2, 0)
    assert people == [[], []]
    (candidates,) = index.search_people(unit(1)[None], 5)
    assert (candidates.similarities, candidates.floor) == ({}, -1.0)
    assert len(index) == index.people == 0


def test_search_gives_what_brute_force_gives() -> None:
    rows = {seed * 7: (f"p{seed % 9}", unit(seed)) for seed in range(300)}
    index = _index(rows)
    probes = np.stack([near(unit(seed), 0.6) for seed in range(20)])
    matrix = np.stack([face for _, face in rows.values()])
    for n in (1, 2, 20):  # the few go one by one, the many by matrix product
        similarities, ids, people = index.search(probes[:n], 4)
        exact = probes[:n] @ matrix.T
        order = np.argsort(-exact, axis=1)[:, :4]
        np.testing.assert_array_equal(ids, np.array(list(rows))[order])
        np.testing.assert_allclose(similarities, np.take_along_axis(exact, order, axis=1), atol=1e-5)
        assert people == [[rows[i][0] for i in row] for row in ids.tolist()]
        assert similarities.dtype == np.float32


def test_no_probe_no_neighbours() -> None:
    index = _index({1: ("pa", unit(1))})
    assert index.search(np.empty((0, DIM), np.float32), 3).person_ids == []
    assert index.search_people(np.empty((0, DIM), np.float32), 3) == []


def test_similarities_stay_cosines() -> None:
    faces = {seed: ("pa", unit(seed)) for seed in range(200)}
    index = _index(faces)
    similarities, _, _ = index.search(np.stack([face for _, face in faces.values()]), 1)
    assert similarities.max() <= 1.0
    np.testing.assert_allclose(similarities, 1.0, atol=1e-5)


def test_removed_templates_are_found_no_more() -> None:
    index = _index({1: ("pa", unit(1)), 2: ("pb", unit(2)), 3: ("pb", unit(3))})
    assert index.remove([1, 3, 99]) == 2
    _, ids, people = index.search(unit(1)[None], 5)
    assert (ids.tolist(), people) == ([[2]], [["pb"]])
    assert len(index) == index.people == 1
    index.add(templates_of({1: ("pa", unit(1))}))
    assert index.search(unit(1)[None], 1).person_ids == [["pa"]]


def test_people_are_listed_once_with_their_best() -> None:
    face = unit(1)
    index = _index(
        {
            1: ("pa", near(face, 0.5)),
            2: ("pa", near(face, 0.8)),
            3: ("pb", near(face, 0.6)),
            4: ("pc", unit(9)),
        }
    )
    (some,) = index.search_people(face[None], 3)
    assert some.similarities == pytest.approx({"pa": 0.8, "pb": 0.6}, abs=1e-5)
    assert some.floor == pytest.approx(0.5, abs=1e-5)
    (all_of_them,) = index.search_people(face[None], 4)
    assert set(all_of_them.similarities) == {"pa", "pb", "pc"}
    assert all_of_them.floor == -1.0


def test_a_person_with_many_templates_does_not_hide_the_next_one() -> None:
    face = unit(1)
    rows = {n: ("pa", near(face, 0.9 - n / 100, seed=n)) for n in range(20)}
    rows[50] = ("pb", near(face, 0.6))
    rows[51] = ("pc", near(face, 0.2))
    (candidates,) = _index(rows).search_people(face[None], 5)
    assert candidates.similarities == pytest.approx({"pa": 0.9, "pb": 0.6}, abs=1e-5)
    assert 0.2 < candidates.floor <= 0.6 + 1e-5


def test_wrong_probes_are_refused() -> None:
    index = _index({1: ("pa", unit(1))})
    for probes in (unit(1), unit(1, DIM + 1)[None], unit(1)[None].astype(np.float64)):
        with pytest.raises(ValueError, match="probes"):
            index.search(probes, 1)
    with pytest.raises(ValueError, match="top_k"):
        index.search_people(unit(1)[None], 0)
    with pytest.raises(EmbeddingSpaceMismatch, match=r"other\.1"):
        index.search(unit(1)[None], 1, space="other.1")
    assert index.search(unit(1)[None], 1, space=SPACE).template_ids.tolist() == [[1]]


def test_wrong_templates_are_refused() -> None:
    index = _index({1: ("pa", unit(1))})
    with pytest.raises(EmbeddingSpaceMismatch):
        index.add(templates_of({2: ("pa", unit(2))}, space="other.1"))
    with pytest.raises(EmbeddingSpaceMismatch):
        index.add(templates_of({2: ("pa", unit(2, DIM * 2))}))
    with pytest.raises(ValueError, match="already"):
        index.add(templates_of({1: ("pa", unit(2))}))
    assert len(index) == 1


def test_sync_follows_the_store(store: PersonStore) -> None:
    index = FaceIndex(SPACE, DIM)
    assert index.sync(store) == (0, 0)
    ada = store.add_person("Ada", [photo_of(unit(1), 1), photo_of(unit(2), 2)])
    bob = store.add_person("Bob", [photo_of(unit(3), 3), photo_of(unit(3), 3, space="other.1")])
    assert index.sync(store) == (3, 0)
    assert index.sync(store) == (0, 0)
    store.forget(ada.id)
    eve = store.add_person("Eve", [photo_of(unit(4), 4)])
    store.add_photos(bob.id, [photo_of(unit(5), 5)])
    assert index.sync(store) == (2, 2)
    assert index.search(np.stack([unit(3), unit(4), unit(5)]), 1).person_ids == [[bob.id], [eve.id], [bob.id]]
    assert (index.people, index.person_ids) == (2, {bob.id, eve.id})
    store.forget(bob.id)
    store.forget(eve.id)
    assert index.sync(store) == (0, 3)
    assert index.search(unit(3)[None], 1).person_ids == [[]]


def test_sync_takes_back_what_was_removed_from_the_index_alone(store: PersonStore) -> None:
    store.add_person("Ada", [photo_of(unit(1), 1), photo_of(unit(2), 2)])
    index = FaceIndex(SPACE, DIM)
    index.sync(store)
    index.remove(store.template_ids(SPACE).tolist()[:1])
    assert index.sync(store) == (1, 0)
    assert len(index) == 2


def test_sync_refuses_templates_of_another_size(store: PersonStore) -> None:
    store.add_person("Ada", [photo_of(unit(1, DIM * 2))])
    with pytest.raises(EmbeddingSpaceMismatch):
        FaceIndex(SPACE, DIM).sync(store)


def test_searching_goes_on_while_templates_come_and_go() -> None:
    staying = {seed: ("stays", unit(seed)) for seed in range(50)}
    index = _index(staying)
    probes = np.stack([face for _, face in staying.values()])
    done, failures = threading.Event(), []

    def search() -> None:
        try:
            while not done.is_set():
                found = index.search(probes, 3)
                assert [row[0] for row in found.person_ids] == ["stays"] * 50
                assert found.template_ids[:, 0].tolist() == list(staying)
                for ids, people in zip(found.template_ids.tolist(), found.person_ids, strict=True):
                    assert people == ["stays" if i < 50 else f"p{i}" for i in ids]
                assert all(c.similarities["stays"] > 0.999 for c in index.search_people(probes[:4], 3))
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(100, 160):
        index.add(templates_of({i: (f"p{i}", unit(i)) for i in (number, number + 1000)}))
        index.remove([number - 3, number + 997])
    done.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(index) == 50 + 6


def test_a_search_keeps_to_its_own_core_on_every_thread() -> None:
    faiss = pytest.importorskip("faiss")
    index = _index({1: ("pa", unit(1))})
    threads_used = []

    def search() -> None:
        index.search(unit(1)[None], 1)
        threads_used.append(faiss.omp_get_max_threads())

    thread = threading.Thread(target=search)
    thread.start()
    thread.join()
    assert threads_used == [1]
    assert faiss.cvar.distance_compute_blas_threshold == 1025


def test_without_faiss_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    index_module._faiss.cache_clear()
    try:
        with pytest.raises(UnsupportedRuntime, match=r"whosthere\[cpu\]"):
            FaceIndex(SPACE, DIM)
    finally:
        index_module._faiss.cache_clear()
