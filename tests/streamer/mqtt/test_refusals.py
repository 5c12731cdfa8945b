"""Which topics are aside and when they are tried again; which of several messages is found to cost the connection."""

import itertools

import pytest

from streamer.mqtt.refusals import TRY_AGAIN_S, Blame, Refusals


class Clock:
    def __init__(self) -> None:
        self.at_s = 100.0

    def __call__(self) -> float:
        return self.at_s


def test_a_topic_is_tried_again_after_a_while_and_the_longest_waiting_one_first():
    clock = Clock()
    refusals = Refusals(clock)
    assert refusals.refuse("a", "Not authorized")
    clock.at_s += 1.0
    assert refusals.refuse("b", "Quota exceeded")
    assert refusals.due() == []
    clock.at_s += TRY_AGAIN_S
    assert refusals.due() == ["a", "b"]
    assert not refusals.refuse("a", "Not authorized"), "it was aside"
    assert refusals.due() == ["b"]
    clock.at_s += TRY_AGAIN_S
    assert refusals.due() == ["b", "a"]


def test_once_one_is_taken_all_are_tried():
    refusals = Refusals(Clock())
    for topic in "abc":
        refusals.refuse(topic, "Not authorized")
    refusals.accept("b")
    assert refusals.due() == ["a", "c"]
    assert "b" not in refusals
    assert refusals.topics == {"a", "c"}


@pytest.mark.parametrize(
    ("topics", "line"),
    [
        ("", ""),
        ("a", "the broker refuses topic a (why): check its ACL and its limits; what is for it waits"),
        ("ab", "the broker refuses topics a (why), b (why): check its ACL and its limits; what is for them waits"),
        (
            "abcde",
            "the broker refuses topics a (why), b (why), c (why) and 2 more: check its ACL and its limits; what is for "
            "them waits",
        ),
    ],
)
def test_they_are_named_in_one_line(topics, line):
    refusals = Refusals(Clock())
    for topic in topics:
        refusals.refuse(topic, "why")
    assert str(refusals) == line


@pytest.mark.parametrize("bad", [{"c"}, {"a", "d"}, {"a", "b", "c", "d", "e"}, set()])
@pytest.mark.parametrize("width", [1, 3, 5])
def test_who_costs_the_connection_is_found_and_nobody_else(bad, width):
    """A broker that hangs up on a bad topic; all that is under way by then is suspect, whatever the order."""
    topics, blame, guilty = list("abcde"), Blame(), set()
    for connection in itertools.count():
        assert connection <= 2 * len(bad), "each costs two at most"
        for start in range(0, len(topics), width):
            batch = [topic for topic in topics[start : start + width] if topic not in guilty]
            careful = [[topic] for topic in batch] if blame.suspects else [batch]
            lost = next((window for window in careful if not bad.isdisjoint(window)), None)
            for window in careful[: careful.index(lost) if lost else None]:
                blame.passed(window)
            if lost:
                guilty |= {blame.lost(set(lost))} - {None}
                break
        else:
            break
    assert guilty == bad
    assert blame.suspects == set()


def test_a_connection_that_is_lost_with_nothing_under_way_makes_nobody_suspect():
    blame = Blame({"a", "b"})
    assert blame.lost(set()) is None
    assert blame.suspects == set()
    assert blame.lost({"a"}) is None, "once may be chance"
    assert blame.lost({"b"}) is None, "another one"
    assert blame.lost({"b"}) == "b"
