"""One log line when a step begins to fail, for each code, and one when it is over; whatever the frames do."""

import logging

import pytest

from recognition.errors import InsufficientMemory, TritonUnavailable
from streamer.pipeline.outage_log import CALM_S, OutageLog

AWAY, NO_ROOM = TritonUnavailable("away"), InsufficientMemory("no room")
FAILS = "WARNING camera hall: its frames can't be looked at: "
BLIND = "WARNING camera hall: its faces can't be recognised: "
WORKS = "INFO camera hall: its frames are looked at again"
KNOWS = "INFO camera hall: its faces are recognised again"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, logger="streamer.pipeline.outage_log")
    return lambda: [f"{record.levelname} {record.getMessage()}" for record in caplog.records]


def test_every_frame_of_a_spell_fails_and_one_line_says_so(lines):
    spells = OutageLog()
    for tenth in range(100):
        spells.failed("hall", "detect", AWAY, tenth / 10)
    assert lines() == [FAILS + "away"]


def test_another_code_in_the_same_spell_is_told_too_each_once(lines):
    spells = OutageLog()
    for tenth in range(100):
        spells.failed("hall", "detect", (AWAY, NO_ROOM)[tenth % 2], tenth / 10)
    assert lines() == [FAILS + "away", FAILS + "no room"]


def test_where_every_other_frame_fails_the_spell_goes_on(lines):
    spells = OutageLog()
    for tenth in range(100):
        (
            spells.answered("hall", "detect", tenth / 10)
            if tenth % 2
            else spells.failed("hall", "detect", AWAY, tenth / 10)
        )
    assert lines() == [FAILS + "away"]


def test_a_spell_is_over_after_calm_and_the_next_one_is_told_anew(lines):
    spells = OutageLog()
    for begun_s in (0.0, 100.0):
        spells.failed("hall", "detect", AWAY, begun_s)
        spells.answered("hall", "detect", begun_s + 0.1)
        spells.answered("hall", "detect", begun_s + CALM_S)
        spells.answered("hall", "detect", begun_s + CALM_S + 0.1)
    assert lines() == [FAILS + "away", WORKS] * 2


def test_the_embedder_answers_rarely_and_its_spell_ends_all_the_same_but_not_unanswered(lines):
    spells = OutageLog()
    spells.failed("hall", "embed", NO_ROOM, 0.0)
    spells.answered("hall", "detect", 60.0)
    assert lines() == [BLIND + "no room"]
    spells.answered("hall", "embed", 60.0)
    assert lines() == [BLIND + "no room", KNOWS]
    spells.failed("hall", "embed", NO_ROOM, 70.0)
    spells.answered("hall", "embed", 70.1)
    spells.answered("hall", "detect", 70.1 + CALM_S)
    assert lines() == [BLIND + "no room", KNOWS] * 2
