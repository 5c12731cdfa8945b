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

SEEDS = (1,)  # kept: of those that found something, the first
KILLS = 2  # trials of each operation


def kills(*arguments: object) -> Ended:
    return run_python(["-m", "tests.kills", *map(str, arguments)], PROJECT, limit_s=170)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_kill_leaves_each_person_wholly_there_or_wholly_absent(seed):
    ended = kills("--seed", seed, "--kills", KILLS)
    assert ended.code == 0, ended.everything
    assert [line.partition(": ")[0] for line in ended.out.splitlines()] == [*OPERATIONS, *COMMANDS]
    hits = sum(int(hit) for hit in re.findall(r"; (\d+) kills ", ended.out))
    assert hits >= 20, ended.out


@pytest.mark.skipif(not CAN_TRACE, reason="needs ptrace on x86-64, to hit what is seldom hit by time")
def test_what_is_done_wrong_is_seen():
    ended = kills(*BROKEN, "--kills", 30, "--stop")
    assert ended.code == 1, ended.everything
    assert {line.partition(", ")[0] for line in ended.out.splitlines() if line.startswith("BROKEN ")} == {
        f"BROKEN {name}" for name in BROKEN
    }, ended.out
