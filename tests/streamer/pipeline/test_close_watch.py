from dataclasses import replace

import pytest

from streamer.pipeline.close_watch import EVERY_S, CloseWatch
from tests.streamer.scripted import Face, found

NOBODY, SOMEBODY = found(), found(Face(x=100, score=0.9))


@pytest.mark.parametrize(("need", "due"), [("none", False), ("some", True), ("clear", True)])
def test_the_first_picture(need, due: bool) -> None:
    assert CloseWatch().due(replace(NOBODY, close_up=need), 0.0) is due


def test_an_empty_picture_now_and_then() -> None:
    watch, empty = CloseWatch(), replace(NOBODY, close_up="some")
    passes = []
    for tenth in range(35):
        if watch.due(empty, tenth / 10):
            passes.append(tenth / 10)
            watch.looked(NOBODY, 0.5, tenth / 10)
    assert passes == [0.0, EVERY_S, 2 * EVERY_S, 3 * EVERY_S]


def test_while_somebody_fills_it_every_time() -> None:
    watch, empty = CloseWatch(), replace(NOBODY, close_up="some")
    watch.looked(SOMEBODY, 0.5, 0.0)
    assert watch.due(empty, 0.1)
    watch.looked(found(Face(x=100, score=0.4)), 0.5, 0.1)  # too unsure to count
    assert not watch.due(empty, 0.2)


def test_something_huge_every_time() -> None:
    watch = CloseWatch()
    watch.looked(NOBODY, 0.5, 0.0)
    assert watch.due(replace(SOMEBODY, close_up="clear"), 0.1)
