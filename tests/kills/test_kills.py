"""Acceptance: SIGKILL at any point of any write of the gallery leaves each person wholly there or wholly absent.

In a process of its own, which forks; `make test-kill` does the same hundreds of times, and at every call.
"""

import re

import pytest

from tests.command import Ended, run_python
from tests.conftest import PROJECT
from tests.kills.broken import BROKEN
from tests.kills.command_operations import COMMANDS
from tests.kills.operations import OPERATIONS
from tests.kills.tracing import CAN_TRACE

pytestmark = pytest.mark.timeout(600)  # hundreds of processes, and a disk that others use, too

SEED = 1  # kept; the kills of each operation follow from it, in `make test-kill` from a new one
KILLS = 1  # trials of each operation, with one to three kills


def kills(*arguments: object) -> Ended:
    return run_python(["-m", "tests.kills", *map(str, arguments)], PROJECT, limit_s=580)


@pytest.mark.parametrize(
    ("operations", "least_hits"),
    [
        pytest.param(OPERATIONS, 15, id="store"),
        pytest.param(COMMANDS, 10, id="commands", marks=pytest.mark.thorough),  # they write by the same store
    ],
)
def test_a_kill_leaves_each_person_wholly_there_or_wholly_absent(operations, least_hits):
    ended = kills(*operations, "--seed", SEED, "--kills", KILLS)
    assert ended.code == 0, ended.everything
    assert [line.partition(": ")[0] for line in ended.out.splitlines()] == list(operations)
    hits = sum(int(hit) for hit in re.findall(r"; (\d+) kills ", ended.out))
    assert hits >= least_hits, ended.out


@pytest.mark.skipif(not CAN_TRACE, reason="needs ptrace on x86-64, to hit what is seldom hit by time")
def test_what_is_done_wrong_is_seen():
    ended = kills(*BROKEN, "--kills", 150, "--stop")  # one is met by time alone: once in 10 kills, or in 50
    assert ended.code == 1, ended.everything
    assert {line.partition(", ")[0] for line in ended.out.splitlines() if line.startswith("BROKEN ")} == {
        f"BROKEN {name}" for name in BROKEN
    }, ended.out
