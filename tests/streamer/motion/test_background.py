"""What is news to a camera that shows a hall, in arrays: what may not hold the gate open, whom it may not miss."""

import cv2
import numpy as np
import pytest

from streamer.motion.background import Background
from tests.streamer.motion.scenes import COLUMNS, FPS, ROWS, Sensor, hall, with_head

HALL = hall()


def played(scene, seconds, sensor=None, background=None, fps=FPS, learns=True):
    """The times of the pictures that were news, and of those that were sudden."""
    background, sensor = background or Background(), sensor or Sensor()
    news, sudden = [], []
    for number in range(round(seconds * fps)):
        at_s = number / fps
        told = background.compare(sensor(scene(at_s)), at_s, learns=learns)
        if told.cells.any() or told.is_sudden:
            news.append(at_s)
        if told.is_sudden:
            sudden.append(at_s)
    return news, sudden


@pytest.mark.parametrize("sd", [0, 0.3, 1, 2, 4])
def test_an_empty_hall_of_ten_minutes_is_quiet_whatever_its_noise(sd):
    news, sudden = played(lambda at_s: HALL, 600 if sd == 1 else 30, Sensor(sd))
    print(f"noise {sd}: open in {len(news)} pictures")  # noqa: T201
    assert sudden == [0.0]
    assert all(at_s < 5 for at_s in news)


@pytest.mark.parametrize(
    "light",
    [
        lambda at_s: HALL * (1 + 0.2 * np.sin(at_s / 30)),
        lambda at_s: HALL + 20 * np.sin(at_s / 60) * np.linspace(0, 1, COLUMNS)[None],
        lambda at_s: 16 + (HALL - 16) * (1 + 0.25 * np.clip(at_s - 10, 0, 2) / 2 - 0.25 * np.clip(at_s - 30, 0, 2) / 2),
    ],
    ids=["clouds", "the sun goes round", "auto-exposure"],
)
def test_light_that_changes_is_no_movement(light):
    news, _ = played(light, 60)
    assert len(news) <= 0.02 * 60 * FPS, news


@pytest.mark.parametrize(
    ("scene", "sd"),
    [
        (np.where(np.arange(COLUMNS)[None] < 0.6 * COLUMNS, 16, HALL), 0.5),
        (np.where(np.arange(COLUMNS)[None] < 0.6 * COLUMNS, 16, HALL), 4),
        (np.where(np.arange(COLUMNS)[None] < 0.95 * COLUMNS, 16, HALL), 1),
        (np.where(np.arange(COLUMNS)[None] < 0.8 * COLUMNS, 20, HALL), 0.7),
        (np.full_like(HALL, 19), 0.7),
    ],
    ids=["masked", "masked and noisy", "nearly all masked", "a lit door at night", "night"],
)
def test_what_is_black_or_dark_tells_no_light_and_is_quiet_but_for_who_comes(scene, sd):
    """By the ratio of next to nothing to next to nothing, each picture would be another light."""
    sensor = Sensor(sd)

    def seen(picture):
        return np.where(scene == 16, 16, sensor(picture)).astype(np.uint8)

    background = Background()
    told = [background.compare(seen(scene), number / FPS) for number in range(30 * FPS)]
    assert [number for number, one in enumerate(told) if one.is_sudden] == [0]
    assert sum(bool(one.cells.any()) for one in told) <= 5
    comes = background.compare(seen(with_head(scene, 153, 40, 5, 7, 40)), 30.0)
    assert comes.cells[40:47, 153:158].any()
    assert not comes.is_sudden


def test_a_lamp_that_is_switched_is_looked_at_and_then_learnt():
    spot = 60 * np.exp(-((np.arange(COLUMNS)[None] - 80) ** 2 + (np.arange(ROWS)[:, None] - 45) ** 2) / 2000)
    night, sensor = HALL * 0.4 + 30 + spot, Sensor()
    background = Background()
    news = []
    for number in range(600):
        told = background.compare(sensor(night if number >= 300 else HALL, 2 if number >= 300 else 0.5), number / FPS)
        if told.is_sudden:
            news.append(number)
        assert number % 300 < 20 or not told.cells.any()
    assert news[:2] == [0, 300]
    assert len(news) <= 5


def test_rain_is_learnt():
    rng = np.random.default_rng(3)

    def rain(at_s):
        picture = HALL.copy()
        for column, row in zip(rng.integers(0, COLUMNS, 60), rng.integers(0, ROWS - 5, 60), strict=True):
            picture[row : row + 4, column] += 7
        return picture

    news, _ = played(rain, 120)
    late = [at_s for at_s in news if at_s > 60]
    assert len(late) <= 0.2 * 60 * FPS, len(late)


def test_waving_leaves_are_learnt():
    leaves = cv2.resize(np.random.default_rng(5).normal(0, 15, (10, 14)).astype(np.float32), (40, 30))

    def waving(at_s):
        picture = HALL.copy()
        shift = round(3 * np.sin(2 * np.pi * at_s / 2.3) + 2 * np.sin(2 * np.pi * at_s / 0.9))
        picture[10:40, 20:60] += np.roll(leaves, shift, 1)
        return picture

    news, _ = played(waving, 120)
    late = [at_s for at_s in news if at_s > 60]
    assert len(late) <= 0.05 * 60 * FPS, len(late)


def with_clock(at_s):
    picture = HALL.copy()
    for place, every_s in enumerate((1, 10, 60, 600)):
        digit = np.random.default_rng(int(at_s / every_s) % 10 + 10 * place).uniform(16, 235, (3, 2))
        picture[3:6, 40 - 2 * place : 42 - 2 * place] = digit
    return picture


def test_a_burned_in_clock_is_learnt():
    news, _ = played(with_clock, 150)
    late = [at_s for at_s in news if at_s > 30]
    assert len(late) <= 0.012 * 120 * FPS, late


def test_a_codec_that_breathes_with_each_keyframe_is_no_movement():
    def breathing(at_s):
        return HALL + np.random.default_rng(int(at_s)).normal(0, 1.2, HALL.shape).astype(np.float32)

    news, _ = played(breathing, 40, Sensor(0.2))
    assert [at_s for at_s in news if at_s > 1] == []


# In cells of 8 px of 720p: a face of 28 px is 3.5 wide.
@pytest.mark.parametrize(
    ("contrast", "cells_per_s", "sd"),
    [(40, 10, 0.5), (10, 10, 0.5), (-10, 3, 0.5), (6, 5, 0.5), (20, 0.5, 0.5), (15, 5, 2), (25, 5, 4)],
    ids=["plain", "pale", "dark", "paler", "slowly", "at night", "in heavy noise"],
)
@pytest.mark.parametrize("before_s", [20])
def test_a_small_face_that_comes_is_news_at_once(contrast, cells_per_s, sd, before_s):
    def coming(at_s):
        x = -3.5 + (at_s - before_s) * cells_per_s
        return HALL if at_s < before_s else with_head(HALL, x, 40, 3.5, 4.5, contrast)

    news, _ = played(coming, before_s + 5, Sensor(sd))
    whole_s = before_s + 3.5 / cells_per_s
    first_s = min(at_s for at_s in news if at_s > 10)
    assert before_s <= first_s <= whole_s + 0.1


def test_somebody_who_stands_still_is_news_once_and_leaves_no_ghost():
    def scene(at_s):
        x = 5 * (at_s - 10) if at_s < 20 else 50 if at_s < 80 else 50 + 5 * (at_s - 80)
        return with_head(HALL, x, 30, 10, 14, 40) if 10 <= at_s < 110 else HALL

    news, _ = played(scene, 130)
    assert [at_s for at_s in news if 20.2 < at_s < 80 or at_s > 102.2] == []
    assert len([at_s for at_s in news if 10 <= at_s <= 20]) > 60
    assert len([at_s for at_s in news if 80 <= at_s <= 101]) > 120


def test_somebody_who_comes_with_a_sudden_lamp_is_in_that_news():
    lit = 60 + (HALL - 60) * 1.1

    def scene(at_s):
        return 16 + (HALL - 16) * 0.3 if at_s < 20 else with_head(lit, 50, 30, 10, 14, 40)

    news, sudden = played(scene, 30)
    assert 20.0 in sudden
    assert 20.0 in news


def test_people_who_pass_all_day_are_news_to_the_last():
    """Every six seconds somebody, two minutes long: what they move is not taken for noise."""

    def scene(at_s):
        x = -10 + 60 * (at_s % 6)
        return with_head(HALL, x, 30, 10, 30, 25)

    news, _ = played(scene, 120)
    assert all(any(turn * 6 <= at_s <= turn * 6 + 0.4 for at_s in news) for turn in range(20))


def test_a_picture_of_another_size_is_new_in_whole():
    background, sensor = Background(), Sensor()
    background.compare(sensor(HALL), 0.0)
    assert not background.compare(sensor(HALL), 0.1).is_sudden
    told = background.compare(sensor(HALL.T.copy()), 0.2)
    assert told.is_sudden
    assert told.cells.shape == (COLUMNS, ROWS)


def test_while_somebody_is_followed_no_limit_grows():
    """Somebody who moves on one spot for a minute, and hides there half a minute: the first step out is news."""

    def scene(at_s):
        if at_s < 60:
            return with_head(HALL, 50 + 2 * np.sin(5 * at_s), 30, 10, 14, 25)
        return HALL if at_s < 90 else with_head(HALL, 50, 30, 10, 14, 25)

    news, _ = played(scene, 91, learns=False)
    assert 90.0 in news
