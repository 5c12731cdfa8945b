"""Who is left out of a search because a decision can't depend on them."""

from itertools import accumulate

import numpy as np
import pytest

from gallery.index import contents
from gallery.index import faiss_index as index_module
from gallery.index.faiss_index import FaceIndex
from gallery.matching.aggregation import Aggregation
from gallery.matching.decide import Candidates, Match, Rule, decide
from gallery.matching.negatives import Negatives
from tests.gallery.fakes import near, templates_of, unit
from tests.gallery.index.test_faiss_index import OtherFaiss

HOWS: tuple[Aggregation, ...] = ("best", "mean_of_three", "class_mean")
PEOPLE = 24
FACES = [1, 1, 1, 2, 1, 3, 1, 1, 1, 1] * 4
THRESHOLD = 0.3
OWN = {"p3": 0.1, "p4": 0.95}


class Gallery:
    """People of whom some resemble each other, with twins, and negatives of every third; probes of them and others."""

    def __init__(self, how: Aggregation, seed: int) -> None:
        rng = np.random.default_rng(seed)
        alike = {n: near(unit(n % 5), rng.uniform(0.3, 0.97), seed=1000 * seed + n) for n in range(PEOPLE)}
        rows = {}
        for n in range(4 * PEOPLE):
            rows[n] = (f"p{n % PEOPLE}", near(alike[n % PEOPLE], rng.uniform(0.6, 0.95), seed=5000 * seed + n))
        rows[999] = ("twin", alike[0])
        self.negatives = Negatives(
            templates_of({n: (f"p{n}", near(alike[n], rng.uniform(0.5, 0.9), seed=n)) for n in range(0, PEOPLE, 3)})
        )
        self.index = FaceIndex.of(templates_of(rows), how)
        self.probes = np.stack(
            [
                near(alike[n % PEOPLE], rng.uniform(0.2, 0.95), seed=9000 * seed + n) if n % 4 else unit(7000 + n)
                for n in range(sum(FACES))
            ]
        )

    def found(self, rule: Rule | None) -> list[Candidates]:
        return self.index.search_people(self.probes, 8, faces=FACES, doubted=self.negatives.people, rule=rule)

    def decided(self, found: list[Candidates], margin: float) -> list[Match]:
        told = self.negatives.against(found, self.probes, FACES)
        ends = accumulate(FACES)
        return [
            decide(told[end - count : end], THRESHOLD, margin, [0.7] * count, OWN)
            for end, count in zip(ends, FACES, strict=True)
        ]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("margin", [0.0, 0.05, 0.4])
@pytest.mark.parametrize("rows_a_block", [7, 8192])
def test_who_is_left_out_changes_no_decision(
    monkeypatch: pytest.MonkeyPatch, how: Aggregation, seed: int, margin: float, rows_a_block: int
) -> None:
    monkeypatch.setattr(contents, "BLOCK_ROWS", rows_a_block)
    gallery = Gallery(how, seed)
    rule = Rule(min(THRESHOLD, *OWN.values()), margin)
    everybody, some = gallery.found(None), gallery.found(rule)
    expected = gallery.decided(everybody, margin)
    assert gallery.decided(some, margin) == expected
    assert len({match.outcome for match in expected}) > 1
    assert all(
        one.similarities.items() <= every.similarities.items() for one, every in zip(some, everybody, strict=True)
    )
    fewer = [len(one.similarities) < len(every.similarities) for one, every in zip(some, everybody, strict=True)]
    assert any(fewer) == (how != "mean_of_three")
    several = np.repeat(np.greater(FACES, 1), FACES)
    assert not np.any(fewer & several)
    for way in ("float64", "backwards", "rounds badly"):
        with monkeypatch.context() as patch:
            patch.setattr(index_module, "_faiss", lambda way=way: OtherFaiss(way))
            others = gallery.decided(gallery.found(rule), margin)
        assert others == expected


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("way", ["float64", "backwards", "rounds badly"])
@pytest.mark.parametrize("leads", [True, False])
def test_who_is_as_near_but_for_rounding_is_measured(
    monkeypatch: pytest.MonkeyPatch, seed: int, way: str, leads: bool
) -> None:
    """Six people differ by less than a search rounds: which of them is the second, or the best, only float64 says."""
    face = unit(seed)
    rng = np.random.default_rng(seed)
    twins = {n: (f"p{n}", near(face, 0.6 + rng.uniform(0, 2e-6), seed=100 * seed + n)) for n in range(6)}
    others = {n: (f"p{n}", near(face, 0.2, seed=100 * seed + n)) for n in range(10, 20)}
    rows = twins | others | ({9: ("first", near(face, 0.9))} if leads else {})
    index = FaceIndex.of(templates_of(rows))
    (everybody,) = index.search_people(face[None], 20)
    monkeypatch.setattr(index_module, "_faiss", lambda: OtherFaiss(way))
    (found,) = index.search_people(face[None], 10, rule=Rule(0.3, 0.0))
    assert len(found.similarities) == 6 + leads
    assert decide([found], 0.3, 0.0) == decide([everybody], 0.3, 0.0)


@pytest.mark.parametrize("rule", [Rule(0.3, 0.1), Rule(0.3, 0.0), Rule(-1.0, 0.3)])
def test_the_best_and_the_next_are_always_listed(rule: Rule) -> None:
    face = unit(1)
    cosines = {"pa": 0.8, "pb": 0.75, "pc": 0.5, "pd": 0.45, "pe": 0.2}
    rows = {n: (who, near(face, cosine, seed=50 + n)) for n, (who, cosine) in enumerate(cosines.items())}
    index = FaceIndex.of(templates_of(rows))
    for probe in (face, near(face, 0.5, seed=3), -face):
        (everybody,) = index.search_people(probe[None], 5)
        (found,) = index.search_people(probe[None], 5, rule=rule)
        falling = sorted(everybody.similarities, key=lambda who: -everybody.similarities[who])
        assert set(falling[:2]) <= found.similarities.keys()
    (found,) = index.search_people(face[None], 4, rule=rule, doubted=frozenset({"pa", "pb"}))
    assert {"pa", "pb", "pc", "pd"} <= found.similarities.keys()


def test_a_probe_of_nothing_lists_nobody_by_a_rule_either() -> None:
    index = FaceIndex.of(templates_of({n: (f"p{n}", unit(n)) for n in range(6)}))
    broken = np.full_like(unit(1), np.nan)
    alone, whole = index.search_people(np.stack([broken, unit(2)]), 3, rule=Rule(0.3, 0.05))
    assert (alone.similarities, max(whole.similarities, key=whole.similarities.__getitem__)) == ({}, "p2")


def test_the_doubted_are_those_of_this_search() -> None:
    """The index looks them up once: others, and other contents, are looked up anew."""
    face = unit(1)
    rows = {n: (f"p{n}", near(face, 0.9 - n / 10, seed=n)) for n in range(6)}
    index = FaceIndex.of(templates_of(rows))
    for doubted in (["p0"], ["p0", "p1"], [], ["p0", "p1", "p2"], ["nobody"]):
        some = frozenset(doubted)
        for _ in range(2):
            (found,) = index.search_people(face[None], 2, doubted=some, rule=Rule(0.3, 0.0))
            others = [f"p{n}" for n in range(6) if f"p{n}" not in some]
            assert set(others[:2]) <= found.similarities.keys()
