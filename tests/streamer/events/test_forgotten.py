"""What may still be told of messages that wait when somebody is forgotten."""

import pytest

from streamer.events.event import Due
from streamer.events.forgotten import as_unknown, left_of
from tests.streamer.messages import ADA, BOB, due, word_of

EVE = "peve000000000"


def told(message: Due) -> str:
    """`a2u ada>bob to ada,bob`: who it was and is, and where it goes."""
    people = [person.id[1:4] if person else "-" for person in (message.event.previous_person, message.event.person)]
    levels = ",".join(level if level == "unknown" else level[1:4] for level in message.levels)
    return f"{word_of(message.event)} {'>'.join(people)} to {levels}"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (due("a1n"), "a1n ->- to unknown"),
        (due("a2u", person=BOB, previous=ADA), "a2u ->bob to unknown,bob"),
        (due("a2u", person=ADA, previous=BOB), "a2u bob>- to bob,unknown"),
        (due("a2u", person=None, previous=ADA), "a2u ->- to unknown"),
        (due("a3e"), "a3e ->- to unknown"),
        (due("a1n", person=BOB), "a1n ->bob to bob"),
        (due("a1n", person=None), "a1n ->- to unknown"),
    ],
)
def test_a_message_is_of_somebody_unknown_where_it_names_who_is_forgotten(message: Due, expected: str) -> None:
    left = as_unknown(message, {ADA, EVE})
    assert told(left) == expected
    if message.event.person and message.event.person.id == ADA:
        assert (left.event.similarity, left.event.confidence, left.event.margin) == (None, None, None)
    else:
        assert left.event.similarity == message.event.similarity
    assert left.event.box == message.event.box
    assert ADA not in left.event.model_dump_json()


@pytest.mark.parametrize(
    ("candidates", "forgotten", "decision"),
    [
        ((ADA, BOB), {ADA}, "unknown"),
        ((BOB, ADA), {ADA}, "unknown"),
        ((BOB, EVE, ADA), {ADA}, "unknown"),
        ((ADA, BOB), {ADA, BOB}, "unknown"),
        ((ADA, BOB), {EVE}, "ambiguous"),
    ],
)
def test_a_doubt_between_people_is_none_where_one_of_them_is_forgotten(
    candidates: tuple[str, ...], forgotten: set[str], decision: str
) -> None:
    message = due("a1n", candidates=candidates)
    left = as_unknown(message, forgotten)
    assert left.event.decision == decision
    assert told(left) == "a1n ->- to unknown"
    if decision == "unknown":
        assert left.event.candidates == ()
        assert (left.event.similarity, left.event.confidence, left.event.margin) == (None, None, None)
        assert not any(one in left.event.model_dump_json() for one in forgotten)
    else:
        assert left == message


def test_a_name_is_no_decision_any_more_once_it_is_forgotten() -> None:
    assert [as_unknown(due("a1n", person=one), {ADA}).event.decision for one in (ADA, BOB)] == ["unknown", "known"]


def test_who_is_forgotten_with_another_leaves_neither() -> None:
    assert told(as_unknown(due("a2u", person=ADA, previous=BOB), {ADA, BOB})) == "a2u ->- to unknown"


@pytest.mark.parametrize(
    ("words", "heard", "left"),
    [
        ("a1n a2u a3e", "", []),  # nobody has heard of it, and it is over
        ("a1n a3e b1n b2e", "", []),
        ("a2u a3e", "", ["a2u", "a3e"]),  # its `new` is out: who has heard it hears the rest
        ("a1n a2u", "", ["a1n", "a2u"]),  # somebody still stands there
        ("a1n a2e", "a1n", ["a1n", "a2e"]),
    ],
)
def test_a_visit_that_nobody_has_heard_of_goes_as_a_whole(words: str, heard: str, left: list[str]) -> None:
    waiting = [due(word) for word in words.split()]
    kept = left_of(waiting, {ADA}, lambda one: word_of(one.event) in heard.split())
    assert [word_of(one.event) for one in kept] == left
    assert {one.event.person for one in kept} <= {None}


def test_a_visit_that_was_anothers_for_a_while_stays() -> None:
    waiting = [due("a1n", person=None), due("a2u"), due("a3e"), due("b1n", person=BOB), due("b2e", person=BOB)]
    kept = left_of(waiting, {ADA})
    assert [told(one) for one in kept] == [
        "a1n ->- to unknown",
        "a2u ->- to unknown",
        "a3e ->- to unknown",
        "b1n ->bob to bob",
        "b2e ->bob to bob",
    ]
