"""What goes on failing is said once; what changes, or comes again after it was over, is said again."""

import logging

from recognition.errors import Overloaded, RunnerDead
from streamer.telemetry.once_log import OnceLog

log = logging.getLogger("streamer.test")


def test_an_error_is_told_once_by_its_code(caplog):
    once = OnceLog(log)
    for error in (Overloaded("64 wait"), Overloaded("65 wait"), RunnerDead("it died"), Overloaded("66 wait")):
        once.warn("queue", error, "the queue: %s")
    told = [(record.levelname, record.getMessage(), record.code) for record in caplog.records]
    assert told == [
        ("WARNING", "the queue: 64 wait", "overloaded"),
        ("WARNING", "the queue: it died", "runner_dead"),
        ("WARNING", "the queue: 66 wait", "overloaded"),
    ]


def test_keys_know_nothing_of_each_other_and_what_is_over_may_come_again(caplog):
    once = OnceLog(log)
    for key in ("a", "b", "a"):
        once.say(key, None, logging.WARNING, "%s is so", key)
    once.over("a")
    once.over("never said")
    once.say("a", None, logging.WARNING, "%s is so", "a")
    assert [record.getMessage() for record in caplog.records] == ["a is so", "b is so", "a is so"]
