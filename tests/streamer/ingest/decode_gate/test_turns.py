"""Turns: never more at once, in the order in which they came, and one within another is the same."""

import threading

import pytest

from streamer.ingest.decode_gate.turns import Turns


def test_no_more_than_so_many_are_within_and_all_get_their_turn():
    turns, within, most, done = Turns(2), [], [], []

    def work(number: int) -> None:
        for _ in range(200):
            with turns.turn():
                within.append(number)
                most.append(len(within))
                within.remove(number)
        done.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(done) == list(range(8))
    assert max(most) <= 2


def test_whoever_waited_longest_is_next():
    turns, order, waits = Turns(1), [], []

    def work(number: int) -> None:
        with turns.turn():
            order.append(number)

    with turns.turn():
        for number in range(5):
            thread = threading.Thread(target=work, args=(number,))
            thread.start()
            while len(turns._waiting) <= number:
                pass
            waits.append(thread)
    for thread in waits:
        thread.join(60)
    assert order == list(range(5))


def test_a_turn_within_a_turn_is_the_same_and_an_error_gives_it_back():
    turns = Turns(1)
    for _ in range(2):
        with pytest.raises(ValueError, match="oops"), turns.turn(), turns.turn():
            raise ValueError("oops")
    with turns.turn():
        pass


def test_who_does_not_wait_takes_nobodys_turn():
    turns = Turns(1)
    with turns.turn():
        thread = threading.Thread(target=lambda: turns.turn(waits=False).__enter__())
        thread.start()
        thread.join(60)
    assert not thread.is_alive()
    with turns.turn(waits=False), turns.turn():
        pass
