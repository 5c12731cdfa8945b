import sqlite3
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from gallery.index import contents
from gallery.index import faiss_index as index_module
from gallery.index.faiss_index import FaceIndex, Synced
from gallery.keys.master_key import KeySource
from gallery.matching.aggregate import class_mean
from gallery.matching.aggregation import Aggregation
from gallery.matching.decide import decide
from gallery.matching.exact import on_grid
from gallery.people import TemplateMark, Templates, TemplateStamps
from gallery.storage.store import PersonStore
from recognition.errors import EmbeddingSpaceMismatch, UnsupportedRuntime
from tests.gallery.fakes import DIM, SPACE, near, photo_of, templates_of, unit


class Rows(dict[int, tuple[str, np.ndarray]]):
    """{template id: (person, face)}: a store as sync() reads one."""

    written = 0

    def template_mark(self, space: str) -> TemplateMark:
        self.written += 1
        return TemplateMark(len(self), self.written)

    def template_stamps(self, space: str, after_id: int = -1) -> TemplateStamps:
        return TemplateStamps.of(
            [(key, owner, face.tobytes()[:16]) for key, (owner, face) in sorted(self.items()) if key > after_id]
        )

    def templates(self, space: str, after_id: int = 0, most: int = -1) -> Templates:
        numbers = sorted(number for number in self if number > after_id)[: most if most >= 0 else None]
        return templates_of({number: self[number] for number in numbers}, space)


@pytest.fixture(autouse=True, params=[1, 3, 8192])
def block_rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever holds of an index holds however many blocks its templates take."""
    monkeypatch.setattr(contents, "BLOCK_ROWS", request.param)
    monkeypatch.setattr(index_module, "_AT_ONCE", request.param + 1)


def _follow(index: FaceIndex, rows: Rows) -> Synced:
    return index.sync(cast(PersonStore, rows))


def _index(rows: Mapping[int, tuple[str, np.ndarray]]) -> FaceIndex:
    index = FaceIndex(SPACE, DIM)
    _follow(index, Rows(rows))
    return index


def _who(index: FaceIndex, probes: np.ndarray) -> list[str | None]:
    """The best of each probe's candidates."""
    return [max(c.similarities, key=c.similarities.__getitem__, default=None) for c in index.search_people(probes, 1)]


def test_an_empty_gallery_finds_nothing() -> None:
    index = FaceIndex(SPACE, DIM)
    for candidates in index.search_people(np.stack([unit(1), unit(2)]), 5):
        assert candidates.similarities == {}
    assert len(index) == index.people == 0


def test_search_gives_what_brute_force_gives() -> None:
    rows = {seed * 7: (f"p{seed % 9}", unit(seed)) for seed in range(300)}
    index = _index(rows)
    probes = np.stack([near(unit(seed), 0.6) for seed in range(20)])
    owners, faces = zip(*rows.values(), strict=True)
    matrix = np.stack(faces)
    for n in (1, 2, 20):  # the few go one by one, the many by matrix product
        exact = probes[:n] @ matrix.T
        order = np.argsort(-exact, axis=1)[:, :40]
        for row, nearest, found in zip(exact, order, index.search_people(probes[:n], 40), strict=True):
            best: dict[str, float] = {}
            for place in nearest.tolist():
                best.setdefault(owners[place], row[place])
            assert found.similarities == pytest.approx(best, abs=1e-5)
            assert list(found.similarities) == list(best)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_search_gives_what_brute_force_gives_whatever_came_and_went(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, index, newest = Rows(), FaceIndex(SPACE, DIM), 0
    for _ in range(12):
        for _ in range(int(rng.integers(0, 9))):
            newest += 1
            rows[newest] = (f"p{newest % 5}", unit(newest))
        for key in rng.permutation(list(rows))[: int(rng.integers(0, 6))].tolist():
            del rows[key]
        _follow(index, rows)
        assert len(index) == len(rows)
        assert index.person_ids == {person for person, _ in rows.values()}
        probe = unit(int(rng.integers(0, newest + 1)))
        (found,) = index.search_people(probe[None], len(rows) + 1)
        best: dict[str, float] = {}
        for person, face in rows.values():
            best[person] = max(best.get(person, -1.0), float(face @ probe))
        assert found.similarities == pytest.approx(best, abs=1e-5)


def test_no_probe_no_neighbours() -> None:
    index = _index({1: ("pa", unit(1))})
    assert index.search_people(np.empty((0, DIM), np.float32), 3) == []


def test_similarities_stay_cosines() -> None:
    faces = {seed: ("pa", unit(seed)) for seed in range(200)}
    index = _index(faces)
    for found in index.search_people(np.stack([face for _, face in faces.values()]), 1):
        assert found.similarities["pa"] <= 1.0
        assert found.similarities["pa"] == pytest.approx(1.0, abs=1e-5)


def test_removed_templates_are_found_no_more() -> None:
    rows = Rows({1: ("pa", unit(1)), 2: ("pb", unit(2)), 3: ("pb", unit(3))})
    index = _index(rows)
    gone = rows.pop(1), rows.pop(3)
    assert _follow(index, rows) == (0, 2)
    (found,) = index.search_people(unit(1)[None], 5)
    assert found.similarities == {"pb": pytest.approx(float(unit(1) @ unit(2)), abs=1e-5)}
    assert len(index) == index.people == 1
    rows[1] = gone[0]
    assert _follow(index, rows) == (1, 0)
    assert _who(index, unit(1)[None]) == ["pa"]


def test_people_are_listed_once_with_their_best() -> None:
    face = unit(1)
    index = _index(
        {1: ("pa", near(face, 0.5)), 2: ("pa", near(face, 0.8)), 3: ("pb", near(face, 0.6)), 4: ("pc", unit(9))}
    )
    (some,) = index.search_people(face[None], 3)
    assert some.similarities == pytest.approx({"pa": 0.8, "pb": 0.6}, abs=1e-5)
    (all_of_them,) = index.search_people(face[None], 4)
    assert set(all_of_them.similarities) == {"pa", "pb", "pc"}


def test_a_person_with_many_templates_does_not_hide_the_next_one() -> None:
    face = unit(1)
    rows = {n: ("pa", near(face, 0.9 - n / 100, seed=n)) for n in range(20)}
    rows[50] = ("pb", near(face, 0.6))
    rows[51] = ("pc", near(face, 0.2))
    (candidates,) = _index(rows).search_people(face[None], 5)
    assert {who: candidates.similarities[who] for who in ("pa", "pb")} == pytest.approx(
        {"pa": 0.9, "pb": 0.6}, abs=1e-5
    )


def test_wrong_probes_are_refused() -> None:
    index = _index({1: ("pa", unit(1))})
    for probes in (unit(1), unit(1, DIM + 1)[None], unit(1)[None].astype(np.float64)):
        with pytest.raises(ValueError, match="probes"):
            index.search_people(probes, 1)
    with pytest.raises(ValueError, match="top_k"):
        index.search_people(unit(1)[None], 0)
    with pytest.raises(EmbeddingSpaceMismatch, match=r"other\.1"):
        index.search_people(unit(1)[None], 1, space="other.1")
    assert len(index.search_people(unit(1)[None], 1, space=SPACE)) == 1


def test_templates_of_another_space_are_refused() -> None:
    class OfAnotherSpace(Rows):
        def templates(self, space: str, after_id: int = 0, most: int = -1) -> Templates:
            return super().templates("other.1", after_id, most)

    index = _index({1: ("pa", unit(1))})
    with pytest.raises(EmbeddingSpaceMismatch):
        _follow(index, OfAnotherSpace({2: ("pa", unit(2))}))
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
    assert _who(index, np.stack([unit(3), unit(4), unit(5)])) == [bob.id, eve.id, bob.id]
    assert (index.people, index.person_ids) == (2, {bob.id, eve.id})
    store.forget(bob.id)
    store.forget(eve.id)
    assert index.sync(store) == (0, 3)
    assert _who(index, unit(3)[None]) == [None]


def test_the_same_numbers_in_another_file_are_other_templates(tmp_path: Path) -> None:
    index = FaceIndex(SPACE, DIM)
    with PersonStore(tmp_path / "one.db") as one, PersonStore(tmp_path / "two.db") as two:
        ada = one.add_person("Ada", [photo_of(unit(1), 1), photo_of(unit(2), 2)])
        bob = two.add_person("Bob", [photo_of(unit(3), 3), photo_of(unit(4), 4)])
        assert one.template_stamps(SPACE).ids.tolist() == two.template_stamps(SPACE).ids.tolist()
        assert index.sync(one) == (2, 0)
        assert _who(index, unit(1)[None]) == [ada.id]
        assert index.sync(two) == (2, 2)
        assert _who(index, np.stack([unit(3), unit(4)])) == [bob.id] * 2
        (found,) = index.search_people(unit(1)[None], 5)
        assert found.similarities.keys() == {bob.id}


def test_a_gallery_made_anew_of_the_same_photos_has_its_own_ids(tmp_path: Path) -> None:
    index = FaceIndex(SPACE, DIM)
    made = []
    for name in ("one", "two", "three"):
        with PersonStore(tmp_path / f"{name}.db") as store:
            made.append([store.add_person(who, [photo_of(unit(n), n)]).id for n, who in enumerate(("Ada", "Bob"), 1)])
            assert index.sync(store) == (2, 0 if name == "one" else 2)
            assert _who(index, np.stack([unit(1), unit(2)])) == made[-1]


@pytest.mark.parametrize("harmed", [1, 2, 3])
def test_a_template_that_does_not_open_is_not_there_and_hides_nobody_s_going(
    tmp_path: Path, keys: KeySource, harmed: int
) -> None:
    path = tmp_path / "gallery.db"
    with PersonStore(path, keys) as store:
        ids = [store.add_person(f"Number {n}", [photo_of(unit(n), n)]).id for n in (1, 2, 3)]
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE templates SET embedding = CAST(substr(embedding, 1, 40) AS BLOB) WHERE id = ?", (harmed,))
    index = FaceIndex(SPACE, DIM)
    with PersonStore(path, keys) as store:
        index.sync(store)
        whole = [n for n in (1, 2, 3) if n != harmed]
        assert index.person_ids == {ids[n - 1] for n in whole} == set(store.all_templates(SPACE).person_ids)
        with PersonStore(path, keys) as other:
            other.forget(ids[whole[0] - 1])
        index.sync(store)
        assert index.person_ids == {ids[whole[1] - 1]} == set(store.all_templates(SPACE).person_ids)
        with PersonStore(path, keys) as other:
            eve = other.add_person("Eve", [photo_of(unit(4), 4)])
            other.forget(ids[whole[1] - 1])
        index.sync(store)
        assert index.person_ids == {eve.id} == set(store.all_templates(SPACE).person_ids)
        assert list(store.unreadable) == [ids[harmed - 1]]


def test_the_same_file_opened_anew_is_not_read_again(store: PersonStore, keys: KeySource | None) -> None:
    class Counting(PersonStore):
        read = 0

        def templates(self, space: str, after_id: int = 0, most: int = -1) -> Templates:
            found = super().templates(space, after_id, most)
            self.read += len(found)
            return found

    index = FaceIndex(SPACE, DIM)
    ada = store.add_person("Ada", [photo_of(unit(1), 1), photo_of(unit(2), 2)])
    index.sync(store)
    with Counting(store.path, keys) as anew:
        assert (index.sync(anew), anew.read) == ((0, 0), 0)
        bob = store.add_person("Bob", [photo_of(unit(3), 3)])
        assert (index.sync(anew), anew.read) == ((1, 0), 1)
        store.forget(ada.id)
        assert (index.sync(anew), anew.read) == ((0, 2), 1)
        assert _who(index, unit(3)[None]) == [bob.id]


def test_many_are_read_some_at_a_time(store: PersonStore) -> None:
    people = [store.add_person(f"Person {n}", [photo_of(unit(n), n)]).id for n in range(7)]
    index = FaceIndex(SPACE, DIM)
    assert index.sync(store) == (7, 0)
    assert _who(index, np.stack([unit(n) for n in range(7)])) == people


@pytest.mark.parametrize("comes", [True, False])
@pytest.mark.parametrize("goes", ["at once", "later", "never"])
@pytest.mark.parametrize("an_older_one_goes", [True, False])
def test_what_changes_while_the_store_is_read_is_followed(comes: bool, goes: str, an_older_one_goes: bool) -> None:
    """Whatever comes and goes between two of sync()'s readings: after the next one the index is as the store is."""

    class Changing(Rows):
        to_come: Callable[[], None] = staticmethod(lambda: None)

        def template_mark(self, space: str) -> TemplateMark:
            mark = TemplateMark(len(self), self.written)
            self.to_come()
            return mark

    def meanwhile() -> None:
        if comes:
            rows[9] = ("pb", unit(9))
            rows.written = 9
        if goes == "at once":
            rows.pop(9, None)
        if an_older_one_goes:
            rows.pop(2, None)

    rows = Changing({key: ("pa", unit(key)) for key in (1, 2, 3)})
    index = FaceIndex(SPACE, DIM)
    _follow(index, rows)
    rows[5] = ("pa", unit(5))
    rows.written = 5
    rows.to_come = meanwhile
    _follow(index, rows)
    rows.to_come = lambda: None
    if goes == "later":
        rows.pop(9, None)
    _follow(index, rows)
    assert len(index) == len(rows)
    found = {who for row in rows for who in _who(index, unit(row)[None])}
    assert found == {person for person, _ in rows.values()}
    assert max(index.search_people(unit(9)[None], 1)[0].similarities.values()) == pytest.approx(
        max(float(unit(9) @ face) for _, face in rows.values()), abs=1e-5
    )


@pytest.mark.parametrize("dim", [2, DIM // 2, DIM * 2])
def test_templates_of_another_size_are_left_out(store: PersonStore, dim: int) -> None:
    index = FaceIndex(SPACE, DIM)
    ada = store.add_person("Ada", [photo_of(unit(1, dim), 1)])
    assert index.sync(store) == (0, 0)
    bob = store.add_person("Bob", [photo_of(unit(2, dim), 2), photo_of(unit(3, dim), 3)])
    assert index.sync(store) == (0, 0)
    assert (len(index), index.misfits) == (0, {ada.id, bob.id})
    store.forget(ada.id)
    index.sync(store)
    assert index.misfits == {bob.id}
    store.forget(bob.id)
    eve = store.add_person("Eve", [photo_of(unit(4), 4)])
    index.sync(store)
    assert (index.person_ids, index.misfits) == ({eve.id}, frozenset())
    assert index.search_people(unit(4)[None], 1)[0].similarities == {eve.id: pytest.approx(1.0, abs=1e-5)}


def test_searching_goes_on_while_templates_come_and_go() -> None:
    rows = Rows({seed: ("stays", unit(seed)) for seed in range(50)})
    index = _index(rows)
    probes = np.stack([face for _, face in rows.values()])
    done, failures = threading.Event(), []

    def search() -> None:
        try:
            while not done.is_set():
                assert _who(index, probes) == ["stays"] * 50
                assert all(c.similarities["stays"] > 0.999 for c in index.search_people(probes[:4], 3))
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(100, 160):
        rows |= {i: (f"p{i}", unit(i)) for i in (number, number + 1000)}
        _follow(index, rows)
        for gone in (number - 3, number + 997):
            rows.pop(gone, None)
        _follow(index, rows)
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
        index.search_people(unit(1)[None], 1)
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


HOWS: tuple[Aggregation, ...] = ("best", "mean_of_three", "class_mean")


def _crowd(people: int, each: int, seed: int = 0) -> Templates:
    rng = np.random.default_rng(seed)
    owners = [f"p{number % people}" for number in range(people * each)]
    rows = {n: (who, near(unit(int(who[1:])), 0.6 + 0.3 * rng.random(), seed=n)) for n, who in enumerate(owners)}
    return templates_of(rows)


def _plainly(templates: Templates, probe: np.ndarray, how: Aggregation) -> dict[str, float]:
    """Every person's score, one after another, in float64, the numbers of a vector backwards."""
    scores = {}
    for person in set(templates.person_ids):
        own = np.stack(
            [face for who, face in zip(templates.person_ids, templates.matrix, strict=True) if who == person]
        )
        own = on_grid(own)
        faces = class_mean(own)[None] if how == "class_mean" else own
        cosines = sorted(float((on_grid(probe)[::-1].astype(np.float64) * face[::-1]).sum()) for face in faces)[::-1]
        scores[person] = sum(cosines[:3]) / len(cosines[:3]) if how == "mean_of_three" else cosines[0]
    return scores


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize(("people", "each"), [(1, 1), (12, 1), (9, 4), (2, 12)])
def test_how_alike_somebody_is_is_the_same_number_by_every_way(how: Aggregation, people: int, each: int) -> None:
    templates = _crowd(people, each)
    index = FaceIndex.of(templates, how)
    probes = np.stack([near(unit(n % people), 0.7, seed=5000 + n) for n in range(8)])
    together = index.search_people(probes, 5)
    for probe, found in zip(probes, together, strict=True):
        assert index.search_people(probe[None], 5)[0] == found
        everybody = _plainly(templates, probe, how)
        assert {who: everybody[who] for who in found.similarities} == found.similarities
        nearest = sorted(everybody, key=lambda who: -everybody[who])[: 2 if how != "mean_of_three" else 1]
        assert set(nearest) <= found.similarities.keys()


@pytest.mark.parametrize("how", HOWS)
def test_probes_of_one_face_list_the_same_people(how: Aggregation) -> None:
    index = FaceIndex.of(_crowd(9, 3), how)
    probes = np.stack([unit(n) for n in (0, 1, 2, 3, 4, 5)])
    lists = index.search_people(probes, 3, faces=[3, 1, 2])
    assert [one.similarities.keys() for one in lists[:3]] == [lists[0].similarities.keys()] * 3
    assert {"p0", "p1", "p2"} <= lists[0].similarities.keys()
    assert lists[4].similarities.keys() == lists[5].similarities.keys() >= {"p4", "p5"}
    with pytest.raises(ValueError, match="faces"):
        index.search_people(probes, 3, faces=[3, 1])


@pytest.mark.parametrize("how", HOWS)
def test_a_probe_of_nothing_resembles_nobody_and_spoils_no_other(how: Aggregation) -> None:
    index = FaceIndex.of(_crowd(5, 2), how)
    broken = np.full(DIM, np.nan, np.float32)
    alone, whole = index.search_people(np.stack([broken, unit(2)]), 3)
    assert alone.similarities == {}
    assert whole == index.search_people(unit(2)[None], 3)[0]
    beside = index.search_people(np.stack([broken, unit(2)]), 3, faces=[2])
    assert beside[0].similarities == dict.fromkeys(beside[1].similarities, 0.0)
    assert beside[1] == whole


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("people", [2, 7, 30])
def test_whoever_ties_is_listed(how: Aggregation, people: int) -> None:
    """The same template under many names: by whatever way it is searched, all of them are found."""
    face = unit(1)
    index = FaceIndex.of(templates_of({n: (f"p{n}", face) for n in range(people)} | {99: ("far", unit(9))}), how)
    (found,) = index.search_people(near(face, 0.7)[None], 2)
    assert {f"p{n}" for n in range(people)} <= found.similarities.keys()
    assert len({found.similarities[f"p{n}"] for n in range(people)}) == 1


@pytest.mark.parametrize("how", HOWS)
def test_a_person_with_a_thousand_templates(how: Aggregation) -> None:
    face = unit(1)
    rows = {n: ("many", near(face, 0.8, seed=n)) for n in range(1000)} | {2000: ("one", near(face, 0.5))}
    (found,) = FaceIndex.of(templates_of(rows), how).search_people(face[None], 10)
    assert set(found.similarities) == {"many", "one"}
    assert found.similarities["many"] > found.similarities["one"] + 0.2


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_class_means_follow_whoever_comes_and_goes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, index, newest = Rows(), FaceIndex(SPACE, DIM, "class_mean"), 0
    for _ in range(10):
        for _ in range(int(rng.integers(0, 6))):
            newest += 1
            rows[newest] = (f"p{newest % 4}", near(unit(newest % 4), 0.7, seed=newest))
        for key in rng.permutation(list(rows))[: int(rng.integers(0, 4))].tolist():
            del rows[key]
        _follow(index, rows)
        anew = FaceIndex.of(templates_of(rows), "class_mean") if rows else FaceIndex(SPACE, DIM, "class_mean")
        probes = np.stack([unit(n) for n in range(4)])
        assert index.search_people(probes, 4) == anew.search_people(probes, 4)
        assert (len(index), index.person_ids) == (len(rows), {who for who, _ in rows.values()})


def test_the_templates_of_some_people_in_their_order() -> None:
    rows = {n: (f"p{n % 3}", unit(n)) for n in range(10)}
    found = _index(rows).templates_of(["p2", "p0", "nobody"])
    assert found.ids.tolist() == [2, 5, 8, 0, 3, 6, 9]
    assert found.person_ids == ("p2",) * 3 + ("p0",) * 4
    assert np.array_equal(found.matrix, on_grid(np.stack([unit(n) for n in found.ids.tolist()])))
    assert len(_index({}).templates_of(["p0"])) == 0


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("doubted", [["p0"], ["p0", "p1"], ["p2", "gone"]])
def test_two_people_are_listed_beside_those_who_may_be_no_candidates(how: Aggregation, doubted: list[str]) -> None:
    """However many templates the doubted have: without them there is a lead to be told all the same."""
    face = unit(1)
    rows = {n: (f"p{n // 20}", near(face, 0.9 - 0.1 * (n // 20), seed=n)) for n in range(100)}
    (found,) = FaceIndex.of(templates_of(rows), how).search_people(face[None], 2, doubted=frozenset(doubted))
    others = [f"p{n}" for n in range(5) if f"p{n}" not in doubted]
    assert set(others[:2]) <= found.similarities.keys()
    (everybody,) = FaceIndex.of(templates_of(rows), how).search_people(
        face[None], 2, doubted=frozenset(f"p{n}" for n in range(5))
    )
    assert len(everybody.similarities) == 5


class OtherFaiss:
    """Another way to search: in float64, in float32 with the numbers of a vector backwards, or rounding badly."""

    METRIC_INNER_PRODUCT = 0

    def __init__(self, way: str) -> None:
        self._way = way

    def omp_set_num_threads(self, threads: int) -> None:
        pass

    def knn(self, probes: np.ndarray, rows: np.ndarray, k: int, metric: int) -> tuple[np.ndarray, np.ndarray]:
        if self._way == "float64":
            cosines = probes.astype(np.float64) @ rows.astype(np.float64).T
        else:
            cosines = np.einsum("pd,rd->pr", probes[:, ::-1], rows[:, ::-1])
        if self._way == "rounds badly":
            cosines = cosines + np.random.default_rng(0).uniform(-3e-6, 3e-6, cosines.shape)
        nearest = np.argsort(-cosines, axis=1)[:, :k]
        return np.take_along_axis(cosines, nearest, axis=1).astype(np.float32), nearest


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("way", ["float64", "backwards", "rounds badly"])
def test_a_close_call_is_decided_alike_whatever_way_is_searched(
    monkeypatch: pytest.MonkeyPatch, how: Aggregation, way: str
) -> None:
    """Thresholds and margins are those similarities and leads themselves: the last bit decides."""
    templates = _crowd(30, 3)
    twice = Templates(
        SPACE,
        np.arange(2 * len(templates)),
        (*templates.person_ids, *(f"twin of {who}" for who in templates.person_ids)),
        np.concatenate([templates.matrix, templates.matrix]),
    )
    probes = np.stack([near(unit(n % 30), 0.5, seed=7000 + n) for n in range(40)])
    for gallery in (templates, twice):
        index = FaceIndex.of(gallery, how)
        ours = [decide([one], -1.0, 0.0) for one in index.search_people(probes, 10)]
        with monkeypatch.context() as patch:
            patch.setattr(index_module, "_faiss", lambda: OtherFaiss(way))
            others = index.search_people(probes, 10)
        for one, found in zip(ours, others, strict=True):
            assert one.margin is not None
            for threshold in (one.similarity, np.nextafter(one.similarity, 2)):
                for margin in (one.margin, np.nextafter(one.margin, 2)):
                    match = decide([found], threshold, margin)
                    expected = (
                        "unknown" if threshold > one.similarity else "ambiguous" if margin > one.margin else "known"
                    )
                    assert (match.outcome, match.best_person, match.similarity) == (
                        expected,
                        one.best_person,
                        one.similarity,
                    )
