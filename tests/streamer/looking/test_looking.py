"""Which frames are looked at, as a tracker with scripted faces has it: how few, and no track begins or ends late."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from streamer.looking.looking import Looking, LookingRules, Shown
from streamer.motion.moved import Moved
from streamer.pipeline.tracking import Tracker, TrackingRules
from tests.streamer.scripted import SIZE, Face, found

ROWS, COLUMNS = 90, 160


def moved(*boxes, sudden=False):
    """What moved in these, [left, top, right, bottom] px."""
    cells = np.zeros((ROWS, COLUMNS), np.bool_)
    for left, top, right, bottom in boxes:
        cells[int(top / 8) : int(bottom / 8) + 1, int(left / 8) : int(right / 8) + 1] = True
    return Moved(cells, sudden)


def of(face):
    return [max(edge, 0) for edge in face.box]


@dataclass
class World:
    """A camera at `fps` whose frames go by: faces(t), moves(t) -> Moved or None; gate: False looks at every frame."""

    faces: object
    moves: object
    fps: int = 10
    gate: bool = True
    settles_after: int = 3  # sightings
    has_names: bool = True
    misses: object = lambda at_s: False  # the detector then finds nobody
    fails: object = lambda at_s: False  # it can't run then
    looking: Looking = field(default_factory=Looking)
    tracker: Tracker = field(default_factory=lambda: Tracker("cam", TrackingRules()))
    looked: list = field(default_factory=list)
    began: list = field(default_factory=list)
    ended: list = field(default_factory=list)

    def play(self, seconds):
        self.looking.opened()
        for number in range(round(seconds * self.fps)):
            at_s = number / self.fps
            shown = Shown(self.moves(at_s), SIZE, at_s)
            wanted = self.looking.wants(shown, self.tracker.tracks, 0)
            if not wanted and self.gate:
                continue
            if self.fails(at_s):
                self.looking.missed()
                continue
            self.looked.append(at_s)
            faces = [] if self.misses(at_s) else self.faces(at_s)
            before = set(map(id, self.tracker.tracks))
            _, gone = self.tracker.update(found(*faces), SIZE, at_s, at_s)
            self.looking.looked(at_s)
            self.began += [at_s for track in self.tracker.tracks if id(track) not in before]
            self.ended += [(at_s, track.last_seen_s) for track in gone]
            for track in self.tracker.tracks:
                track.settled = track.sightings >= self.settles_after
                track.named = track.settled and self.has_names
        return self

    def per_s(self, from_s, until_s):
        return len([at_s for at_s in self.looked if from_s <= at_s < until_s]) / (until_s - from_s)


def quiet(at_s):
    return moved()


def test_nobody_and_nothing_is_looked_at_less_and_less_but_never_less_than_it_must():
    world = World(lambda at_s: [], quiet).play(120)
    assert world.looked[0] == 0.0
    assert world.per_s(60, 120) <= 0.12
    gaps = np.diff(world.looked)
    assert gaps.max() <= 10.0 + 0.11
    assert np.all(np.diff(gaps) > -0.11)  # longer and longer


def test_a_frame_of_which_nobody_knows_what_moved_is_looked_at():
    assert len(World(lambda at_s: [], lambda at_s: None).play(5).looked) == 50


def test_a_blip_is_looked_at_once():
    world = World(lambda at_s: [], lambda at_s: moved((0, 0, 80, 80)) if at_s == 60.0 else moved()).play(70)
    assert 60.0 in world.looked
    assert len([at_s for at_s in world.looked if 60.0 <= at_s < 65]) <= 2


def test_movement_is_looked_at_and_its_stillness_for_a_while():
    world = World(lambda at_s: [], lambda at_s: moved((0, 0, 80, 80)) if 60 <= at_s < 62 else moved()).play(75)
    assert world.per_s(60, 62) == 10
    assert world.per_s(62, 63) >= 5
    assert world.per_s(70, 75) <= 0.6


def test_a_lamp_is_looked_at_and_a_little_after_it():
    world = World(lambda at_s: [], lambda at_s: moved(sudden=at_s == 60.0)).play(75)
    assert 60.0 in world.looked
    assert 3 <= len([at_s for at_s in world.looked if 60.0 <= at_s < 62]) <= 8


def test_a_frame_that_could_not_be_looked_at_is_made_up_for_by_the_next():
    world = World(lambda at_s: [], lambda at_s: moved(sudden=at_s == 60.0), fails=lambda at_s: at_s == 60.0).play(62)
    assert 60.1 in world.looked


WALKER_FROM, STILL_FROM, STILL_UNTIL, GONE = 20.0, 25.0, 85.0, 90.0


def walker(at_s):
    """In from the left, still for a minute, out to the right."""
    if not WALKER_FROM <= at_s < GONE:
        return []
    x = 640 - 128 * max(STILL_FROM - at_s, 0) + 128 * max(at_s - STILL_UNTIL, 0)
    return [Face(x=float(x))] if 50 <= x <= 1230 else []


def walker_moves(at_s):
    goes = WALKER_FROM <= at_s < STILL_FROM or STILL_UNTIL <= at_s < GONE + 0.1
    return moved((0, 200, 1279, 700)) if goes else moved()


@pytest.mark.parametrize("fps", [5, 10, 25])
def test_a_visit_is_told_as_promptly_as_if_every_frame_were_looked_at(fps):
    gated = World(walker, walker_moves, fps=fps).play(100)
    all_of_them = World(walker, walker_moves, fps=fps, gate=False).play(100)
    assert gated.began == all_of_them.began
    assert gated.ended == all_of_them.ended
    assert len(gated.ended) == 1
    assert gated.per_s(35, 85) <= 1.7


def test_somebody_still_whom_the_detector_misses_now_and_then_stays():
    rng = np.random.default_rng(2)
    misses = {round(n / 10, 1) for n in range(1000) if rng.random() < 0.5}
    gated = World(walker, walker_moves, misses=lambda at_s: 30 < at_s < 85 and round(at_s, 1) in misses).play(100)
    assert len(gated.began) == 1
    assert len(gated.ended) == 1


def test_somebody_who_stands_still_is_not_doubted_for_being_looked_at_seldom():
    gated = World(walker, walker_moves, fps=10).play(80)
    (track,) = gated.tracker.tracks
    assert gated.per_s(35, 80) <= 1.7
    assert not track.suspect
    assert track.sightings < 200


def test_somebody_who_moved_while_nobody_looked_is_doubted():
    """The detector can't run for a second, in which somebody else may have come."""
    fails = {round(60 + n / 10, 1) for n in range(12)}
    world = World(
        lambda at_s: [Face(x=640.0)],
        lambda at_s: moved((500, 200, 800, 700)) if round(at_s, 1) in fails else moved(),
        fails=lambda at_s: round(at_s, 1) in fails,
    ).play(62)
    (track,) = world.tracker.tracks
    assert track.suspect


def test_somebody_who_leaves_unseen_ends_in_time():
    """The face is turned away, without a movement that the gate sees."""
    gone_s = 60.0
    gated = World(lambda at_s: walker(at_s) if at_s < gone_s else [], walker_moves).play(100)
    ((end_s, seen_s),) = gated.ended
    assert end_s - seen_s == pytest.approx(2.1)
    assert gone_s - 2.0 / 3 - 0.2 <= seen_s < gone_s


def test_whoever_is_not_settled_is_looked_at_in_every_frame_for_as_long_as_that_can_take():
    world = World(lambda at_s: [Face(x=640.0)], quiet, settles_after=10_000).play(60)
    assert world.per_s(0, 2.5) == 10
    assert world.per_s(30, 60) <= 1.7


def test_somebody_who_is_there_from_the_start_is_found_and_followed():
    world = World(lambda at_s: [Face(x=640.0)], quiet).play(30)
    assert world.began == [0.0]
    assert world.ended == []


def sways(at_s):
    return [Face(x=640 + 10 * np.sin(at_s))]


def walks(at_s):
    return [Face(x=100 + 200 * at_s)]


def far_apart(at_s):
    return [Face(x=100 + 100 * at_s, look=1), Face(x=700 + 100 * at_s, look=2)]


def side_by_side(at_s):
    return [Face(x=100 + 200 * at_s, look=1), Face(x=300 + 200 * at_s, look=2)]


def side_by_side_slowly(at_s):
    return [Face(x=100 + 10 * at_s, look=1), Face(x=300 + 10 * at_s, look=2)]


@pytest.mark.parametrize(
    ("faces", "has_name", "per_s"),
    [
        (sways, True, 10 / 3),
        (walks, True, 10 / 3),
        (far_apart, True, 10 / 3),
        (walks, False, 5),
        (far_apart, False, 5),
        (side_by_side_slowly, False, 5),
        (side_by_side, True, 10),
    ],
)
def test_people_who_are_settled_are_looked_at_less_often_where_nobody_can_be_taken_for_another(faces, has_name, per_s):
    def moves(at_s):
        return moved(*map(of, faces(at_s))) if at_s else moved(sudden=True)

    gated = World(faces, moves, has_names=has_name).play(5)
    assert gated.per_s(2, 5) == pytest.approx(per_s, abs=0.35)
    assert gated.ended == []


def test_what_is_small_and_comes_again_where_nobody_was_found_is_looked_at_seldom():
    """A clock's digits; somebody who is as small is somewhere else."""
    clock, beside = (0, 0, 30, 20), (640, 300, 660, 340)

    def moves(at_s):
        return moved(beside) if at_s == 60.3 else moved(clock) if at_s == round(at_s) else moved()

    world = World(lambda at_s: [], moves).play(100)
    assert world.per_s(20, 60) <= 0.6
    assert 60.3 in world.looked


def test_somebody_small_is_found_as_soon_as_there_is_a_face():
    def far(at_s):
        return [Face(x=40 + 40 * at_s, side=24.0)] if at_s >= 5 else []

    world = World(far, lambda at_s: moved((40 * at_s, 340, 40 * at_s + 40, 380)) if at_s >= 2 else moved()).play(20)
    assert world.began == [5.0]


def test_a_second_one_who_comes_while_somebody_stands_there_is_told_at_once():
    def both(at_s):
        second = [Face(x=1280 - 200 * (at_s - 40), look=2)] if 40 <= at_s < 46 else []
        return [Face(x=640 + 10 * np.sin(at_s), look=1), *(face for face in second if face.x < 1230)]

    def moves(at_s):
        return moved(*map(of, both(at_s))) if at_s else moved(sudden=True)

    gated, all_of_them = World(both, moves).play(50), World(both, moves, gate=False).play(50)
    assert gated.began == all_of_them.began
    assert gated.ended == all_of_them.ended


def test_another_gallery_is_held_against_those_who_are_there_at_once():
    looking, tracker = Looking(LookingRules()), Tracker("cam", TrackingRules())
    tracker.update(found(Face(x=640.0)), SIZE, 0.0, 0.0)
    (track,) = tracker.tracks
    track.settled = True
    assert looking.wants(Shown(moved(), SIZE, 0.0), tracker.tracks, 0)
    looking.looked(0.0)
    track.last_seen_s = 50.0
    assert looking.wants(Shown(moved(), SIZE, 50.0), tracker.tracks, 0)
    looking.looked(50.0)
    assert not looking.wants(Shown(moved(), SIZE, 50.1), tracker.tracks, 0)
    assert looking.wants(Shown(moved(), SIZE, 50.2), tracker.tracks, 1)


@pytest.mark.parametrize("box", [[-500, -500, -400, -400], [2000, 900, 2100, 1000], [0, 0, 0, 0]])
def test_a_box_beside_the_picture_does_no_harm(box):
    looking, tracker = Looking(), Tracker("cam", TrackingRules())
    tracker.update(found(Face(x=640.0)), SIZE, 0.0, 0.0)
    tracker.tracks[0].box = np.array(box, np.float32)
    for number in range(20):
        looking.wants(Shown(moved((0, 0, 50, 50)), SIZE, number / 10), tracker.tracks, 0)
        looking.looked(number / 10)


def test_after_an_outage_the_first_frame_is_looked_at():
    looking = Looking()
    assert looking.wants(Shown(moved(), SIZE, 0.0), [], 0)
    looking.looked(0.0)
    for number in range(1, 400):
        looking.wants(Shown(moved(), SIZE, number / 10), [], 0)
    assert not looking.wants(Shown(moved(), SIZE, 40.05), [], 0)
    looking.opened()
    assert looking.wants(Shown(moved(), SIZE, 40.1), [], 0)


class Asked(Looking):
    """Is asked twice before of each frame what it would say."""

    def wants(self, shown, tracks, generation):
        before = [track.unmoved_s for track in tracks]
        said = [self.would_want(shown, tracks, generation) for _ in range(2)]
        assert [track.unmoved_s for track in tracks] == before
        wanted = super().wants(shown, tracks, generation)
        assert said == [wanted, wanted]
        return wanted


def test_what_it_would_say_is_what_it_says_and_to_ask_changes_nothing():
    face = Face(x=300)

    def there(at_s):
        return [face] if 5 <= at_s < 25 else []

    def moves(at_s):
        return moved(of(face)) if 4.8 <= at_s < 6 or 25 <= at_s < 26 else moved(sudden=at_s == 40)

    plain, asked = World(there, moves).play(60), World(there, moves, looking=Asked()).play(60)
    assert asked.looked == plain.looked
    assert (asked.began, asked.ended) == (plain.began, plain.ended)
    assert len(asked.began) == len(asked.ended) == 1
