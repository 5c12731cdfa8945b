"""Visits against walks that are known: which was told, which was missed, which is nobody's."""

import pytest

from streamer.bench.idle.heard import Heard, Visit
from streamer.bench.idle.scene import Scene, Walk
from streamer.bench.idle.truth import Clock, expected, matched, missed_by_ours

FIRST = Walk("anna", True, 10.0, 18.0, 0, (12.0, 16.0), turns=True)
SECOND = Walk("bert", False, 13.0, 16.5, 1)
SCENE = Scene(1280, 720, 15, 40.0, (FIRST, SECOND))
BEGAN_AT = 1000.0


def visit(camera="door", from_at=1011.0, until_at=1016.0, down=0.27, name=None, heard_at=None):
    document = {
        "first_seen_at": from_at,
        "captured_at": until_at,
        "box": (10, down * 720 - 50, 90, down * 720 + 50),
        "frame": {"width": 1280, "height": 720},
        "person": {"id": "p", "name": name} if name else None,
    }
    return Visit(camera, [(heard_at or from_at + 0.3, document)])


def walks(from_at=0.0, until_at=2000.0, from_s=0.0):
    return list(expected("door", SCENE, Clock(BEGAN_AT, from_s, 40.0), from_at, until_at))


def test_walks_come_again_each_lap_and_those_cut_off_are_not_asked_for():
    two_laps = walks(until_at=BEGAN_AT + 79)
    assert [(one.lap, one.person, one.is_first) for one in two_laps] == [
        *[(0, "anna", True), (0, "bert", False)],
        *[(1, "anna", True), (1, "bert", False)],
    ]
    assert two_laps[2].from_at - two_laps[0].from_at == pytest.approx(40.0)
    assert [one.person for one in walks(until_at=BEGAN_AT + 16.4)] == ["bert"], "anna has not left yet"
    assert [one.person for one in walks(from_at=BEGAN_AT + 12.0, until_at=BEGAN_AT + 30)] == ["bert"]


@pytest.mark.parametrize(("from_s", "anna_at"), [(0.0, 10.0), (5.0, 5.0), (39.0, -29.0)])
def test_a_camera_that_begins_within_the_scene_shows_it_earlier(from_s, anna_at):
    anna = walks(from_s=from_s, until_at=BEGAN_AT + 39)[0]
    whole_s = SCENE.in_view[0].from_s - FIRST.enter_s
    assert anna.from_at == pytest.approx(BEGAN_AT + anna_at + whole_s)


def test_who_is_told_on_their_path_and_in_their_time_is_found():
    anna, bert = walks(until_at=BEGAN_AT + 39)
    upper, lower = visit(name="anna"), visit(from_at=1013.6, down=0.73)
    found = matched([anna, bert], [lower, upper])
    assert (found.told[anna.key][1], found.told[bert.key][1]) == (upper, lower)
    assert (found.missed, found.extra, found.named, found.misnamed) == ([], [], 1, 0)
    assert found.waits_s(is_first=True) == [pytest.approx(upper.first_heard_at - anna.from_at)]


@pytest.mark.parametrize(
    "stray",
    [
        visit(camera="yard"),
        visit(from_at=1030.0, until_at=1031.0),
        visit(from_at=1001.0, until_at=1004.0),
        visit(from_at=1011.0, until_at=1011.5, down=0.73),
    ],
)
def test_what_is_told_elsewhere_or_at_another_time_is_nobody_s(stray):
    (anna, _) = walks(until_at=BEGAN_AT + 39)
    found = matched([anna], [stray])
    assert (found.missed, found.extra) == ([anna], [stray])


def test_who_was_cut_off_by_the_end_may_be_told():
    cut_off = walks(until_at=BEGAN_AT + 39)
    assert matched([], [visit()], cut_off).extra == []


def test_a_wrong_name_is_counted():
    anna, _ = walks(until_at=BEGAN_AT + 39)
    assert matched([anna], [visit(name="bert")]).misnamed == 1
    assert matched([anna], [visit(name="bert")]).named == 0


def test_missed_is_what_the_build_before_told():
    anna, bert = walks(until_at=BEGAN_AT + 39)
    nothing, all_of_it = matched([anna, bert], []), matched([anna, bert], [visit(), visit(from_at=1013.6, down=0.73)])
    assert missed_by_ours(nothing, all_of_it) == 2
    assert missed_by_ours(nothing, matched([anna, bert], [visit()])) == 1
    assert missed_by_ours(nothing, nothing) == 0, "the build before missed them, too"
    assert missed_by_ours(nothing, None) == 2, "nothing to compare with: by the truth"
    assert missed_by_ours(all_of_it, nothing) == 0


def test_a_message_heard_twice_counts_once():
    heard = Heard()
    document = b'{"event_id": "e", "seq": 1, "type": "new"}'
    for _ in range(2):
        heard.message("whosthere/cameras/door/identity/unknown", document, 5.0)
    heard.message("whosthere/cameras/door/status", b'{"state": "online", "since": 3.5}', 6.0)
    assert len(heard.visits["e"].messages) == 1
    assert heard.online_since == {"door": 3.5}
