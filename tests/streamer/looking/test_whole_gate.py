"""People in a hall of arrays through the whole gate, beside the same with every frame looked at: each visit, in time.

The detector is the scene's truth: a face is seen where all of it is in the picture.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from streamer.looking.looking import Looking, Shown
from streamer.motion.attention import Attention
from streamer.motion.gate import MotionGate
from streamer.pipeline.tracking import Tracker, TrackingRules
from tests.streamer.motion.scenes import COLUMNS, FPS, ROWS, Sensor, hall, with_head
from tests.streamer.scripted import Face, found

LATER_S = 0.31
HALL, CELL_PX = hall(), 8
SIZE = (COLUMNS * CELL_PX, ROWS * CELL_PX)


@dataclass(frozen=True)
class Scene:
    """where(t): the left edge of the face in cells, or None; light: the share of the hall's."""

    where: object
    seconds: float = 60
    wide: float = 10
    contrast: float = 40
    noise: float = 0.5
    light: object = lambda at_s: 1.0
    top: float = 30

    def picture(self, at_s):
        picture = 16 + (HALL - 16) * np.float32(self.light(at_s))
        x = self.where(at_s)
        if x is None:
            return picture
        return with_head(picture, x, self.top, self.wide, 1.3 * self.wide, self.contrast * self.light(at_s))

    def faces(self, at_s):
        x = self.where(at_s)
        if x is None or not 0 <= x <= COLUMNS - self.wide or self.light(at_s) < 0.3:
            return []
        middle = (x + self.wide / 2) * CELL_PX, (self.top + 0.65 * self.wide) * CELL_PX
        return [Face(x=middle[0], y=middle[1], side=self.wide * CELL_PX)]


def passing(from_s, cells_per_s, wide=10):
    def where(at_s):
        x = -wide + (at_s - from_s) * cells_per_s
        return x if at_s >= from_s and x <= COLUMNS else None

    return where


def standing(at_s):
    """In, a minute in the middle, out."""
    if at_s < 15:
        return None
    x = -10 + 17 * (at_s - 15)
    return x if x < 75 else 75 if at_s < 80 else 75 + 17 * (at_s - 80) if at_s < 86 else None


def sitting(at_s):
    x = standing(at_s)
    return x + 0.3 * np.sin(at_s) if x == 75 else x


def returning(at_s):
    return passing(15, 60)(at_s) if at_s < 25 else passing(28, 60)(at_s)


SCENES = {
    "walks by": Scene(passing(15, 25), 40),
    "stands for a minute": Scene(standing, 90),
    "sits, and hardly moves": Scene(sitting, 90),
    "comes back": Scene(returning, 40),
    "runs": Scene(passing(15, 120), 30),
    "slowly": Scene(passing(15, 1), 40),
    "very slowly": Scene(passing(15, 0.3), 60),
    "small and far": Scene(passing(15, 6, 3.5), 50, wide=3.5),
    "at night": Scene(passing(15, 12), 40, contrast=12, noise=2),
    "small at night": Scene(passing(15, 6, 3.5), 50, wide=3.5, contrast=15, noise=2),
    "there from the start": Scene(lambda at_s: 75 if at_s < 30 else 75 + 17 * (at_s - 30) if at_s < 36 else None, 45),
    "there when the lamp goes on": Scene(
        lambda at_s: 75 if at_s >= 12 else None, 40, light=lambda at_s: 0.2 if at_s < 20 else 1.0
    ),
    "under a light that drifts": Scene(passing(15, 25), 40, light=lambda at_s: 0.8 + 0.2 * np.sin(at_s / 4)),
}


def told(scene, *, gated):
    """When tracks began, when they ended (their last sighting), how many frames were looked at."""
    attention, sensor = Attention(), Sensor(scene.noise)
    gate, looking, tracker = MotionGate(attention), Looking(), Tracker("cam", TrackingRules())
    began, ended, looked = [], [], 0
    for number in range(round(scene.seconds * FPS)):
        at_s = number / FPS
        moved = gate.look(sensor(scene.picture(at_s)), at_s) if gated else None
        if tracker.tracks:
            attention.follow(at_s + 2)
        if not looking.wants(Shown(moved, SIZE, at_s), tracker.tracks, 0):
            continue
        looked += 1
        sightings, gone = tracker.update(found(*scene.faces(at_s)), SIZE, at_s, at_s)
        looking.looked(at_s)
        began += [at_s for sighting in sightings if sighting.track.sightings == 2]
        ended += [(at_s, track.last_seen_s) for track in gone]
        for track in tracker.tracks:
            track.settled, track.suspect = track.sightings >= 5, False
    return began, ended, looked


@pytest.mark.parametrize("name", SCENES)
def test_each_visit_is_told_in_time(name):
    scene = SCENES[name]
    began, ended, looked = told(scene, gated=True)
    all_began, all_ended, frames = told(scene, gated=False)
    print(f"{name}: looked at {looked} of {frames}, began {began} of {all_began}")  # noqa: T201
    assert len(began) >= 1
    # Three frames: what is small is not looked at in every frame before a face is found, nor whoever walks alone.
    assert began == pytest.approx(all_began, abs=LATER_S)
    assert [end for pair in ended for end in pair] == pytest.approx(
        [end for pair in all_ended for end in pair], abs=LATER_S
    )
    assert looked < 0.75 * frames


def test_nobody_in_an_empty_hall_is_looked_for_seldom():
    scene = replace(SCENES["walks by"], where=lambda at_s: None, seconds=60)
    began, _, looked = told(scene, gated=True)
    assert began == []
    assert looked <= 35
