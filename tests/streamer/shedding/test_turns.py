"""Whose turn it is: equal shares, more for cameras with faces, in a row where rounds are long; nobody is left out."""

from collections import Counter
from itertools import pairwise

import pytest

from streamer.shedding.turns import LEAST_SHARE, FairTurns, Need

NAMES = [f"cam{number}" for number in range(8)]


class Desk:
    """Cameras that ask again as soon as they had their turn, `per_s` turns a second."""

    def __init__(self, needs: dict[str, Need], per_s: float = 100.0) -> None:
        self.turns, self.needs, self.now_s, self.every_s = FairTurns(), needs, 0.0, 1 / per_s
        self.waiting: dict[str, Need] = {}
        self.given: list[str] = []

    def run(self, turns: int) -> Counter[str]:
        begun = len(self.given)
        for _ in range(turns):
            self.step()
        return Counter(self.given[begun:])

    def step(self) -> None:
        for name in self.needs:
            if name not in self.waiting:
                self.turns.ask(name, self.now_s)
        self.waiting = dict(self.needs)
        chosen = self.turns.next(self.waiting, self.now_s)
        del self.waiting[chosen]
        self.given.append(chosen)
        self.now_s += self.every_s


@pytest.mark.parametrize("need", list(Need))
def test_all_alike_have_equal_shares(need):
    given = Desk(dict.fromkeys(NAMES, need)).run(800)
    assert set(given.values()) <= {99, 100, 101}


@pytest.mark.parametrize("faces", range(1, 8))
@pytest.mark.parametrize("per_s", [100.0, 5.0])
def test_cameras_with_faces_keep_more_and_no_other_falls_under_half_of_the_mean(faces, per_s):
    desk = Desk({name: Need.UNKNOWN if place < faces else Need.NOBODY for place, name in enumerate(NAMES)}, per_s)
    desk.run(200)
    given = desk.run(1600)
    mean = 1600 / len(NAMES)
    least = min(given[name] for name in NAMES)
    assert given[NAMES[7]] == pytest.approx(LEAST_SHARE * mean, abs=0.05 * mean)
    assert least > mean / 2
    assert min(given[name] for name in NAMES[:faces]) > mean


def test_who_asks_for_little_has_its_turn_within_a_round():
    desk = Desk(dict.fromkeys(NAMES[:4], Need.UNKNOWN))
    desk.run(101)
    desk.turns.ask("seldom", desk.now_s)
    desk.needs["seldom"] = desk.waiting["seldom"] = Need.NOBODY
    assert "seldom" in desk.run(4)


def test_who_did_not_ask_gathers_no_turns():
    desk = Desk(dict.fromkeys(NAMES[:2], Need.NOBODY))
    desk.run(10)
    del desk.needs["cam1"]
    desk.run(500)
    desk.needs["cam1"] = Need.NOBODY
    assert desk.run(100)["cam1"] in (50, 51)


def test_where_rounds_are_long_whoever_is_unknown_is_looked_at_in_a_row():
    desk = Desk(dict.fromkeys(NAMES, Need.UNKNOWN), per_s=4.0)
    desk.run(50)
    begun = len(desk.given)
    desk.run(80)
    rows = _rows(desk.given[begun:])
    assert max(rows[1:]) <= 5
    assert sum(row >= 3 for row in rows) >= 0.8 * len(rows)
    assert set(Counter(desk.given).values()) <= set(range(11, 22)), "nobody is left out for it"


def test_who_is_known_is_looked_at_in_a_row_no_more():
    desk = Desk(dict.fromkeys(NAMES, Need.KNOWN), per_s=4.0)
    desk.run(80)
    assert max(_rows(desk.given)) == 1


def test_where_rounds_are_short_nobody_has_turns_in_a_row():
    desk = Desk(dict.fromkeys(NAMES, Need.UNKNOWN), per_s=25.0)
    desk.run(200)
    assert max(_rows(desk.given)) == 1


def test_a_row_waits_for_its_cameras_next_frame_and_leaves_the_others_their_turn():
    turns = FairTurns()
    for name in NAMES:
        turns.ask(name, 0.0)
    waiting = dict.fromkeys(NAMES, Need.UNKNOWN)
    ahead = []
    for step in range(12):
        chosen = turns.next(waiting, step * 0.2)
        ahead.append(chosen)
        del waiting[chosen]
        for name in NAMES:  # whose turn it was has a frame again one turn later
            if name not in waiting and name != chosen:
                turns.ask(name, step * 0.2)
                waiting[name] = Need.UNKNOWN
    most, times = Counter(ahead).most_common(1)[0]
    assert times >= 4, ahead
    assert all(one != other for one, other in pairwise(ahead)), (most, ahead)


def test_a_camera_that_is_gone_is_forgotten():
    desk = Desk(dict.fromkeys(NAMES, Need.UNKNOWN), per_s=4.0)
    desk.run(20)
    for name in NAMES[1:]:
        desk.turns.forget(name)
        del desk.needs[name]
        desk.waiting.pop(name, None)
    assert set(desk.run(5)) == {"cam0"}
    with pytest.raises(ValueError, match="empty"):
        desk.turns.next({}, 99.0)


def _rows(given: list[str]) -> list[int]:
    rows = [1]
    for one, other in pairwise(given):
        if one == other:
            rows[-1] += 1
        else:
            rows.append(1)
    return rows
