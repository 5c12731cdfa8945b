"""python -m tests.kills [OPERATION ...] [--kills N] [--every N] [--seed S]: kills, by hand and for the tests.

Prints a line for each operation, and one for each trial that went wrong, with how to have it again; then it ends
with 1.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from tests.kills.broken import BROKEN
from tests.kills.command_operations import COMMANDS
from tests.kills.operations import OPERATIONS, Operation
from tests.kills.trials import Broken, Trials


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description="Default: every operation.")
    parser.add_argument("operations", nargs="*", default=[*OPERATIONS, *COMMANDS], metavar="OPERATION")
    parser.add_argument("--kills", type=int, default=20, help="trials of each, at points that the seed chooses")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first trial")
    parser.add_argument("--every", type=int, metavar="N", help="besides, one at every Nth call, of commands too")
    parser.add_argument("--stop", action="store_true", help="of each operation, at the first that went wrong")
    asked = parser.parse_args()
    numbers = range(asked.first, asked.first + asked.kills)
    known = OPERATIONS | COMMANDS | BROKEN
    broken = sum(try_out(known[name], asked.seed, numbers, asked.every, asked.stop) for name in asked.operations)
    sys.exit(bool(broken))


def try_out(operation: Operation, seed: int, numbers: Iterable[int], every: int | None, stop: bool) -> int:
    """How many trials went wrong."""
    began_s, broken = time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        trials = Trials(operation, Path(folder))
        calls = range(1 + seed % every, trials.counts.calls + 1, every) if every else ()
        wheres: dict[str | int, str] = {
            f"{operation.name}/{seed}/{number}": f"--seed {seed} --first {number} --kills 1" for number in numbers
        }
        for where, how in (wheres | dict.fromkeys(calls, f"--kills 0 --every {every} --seed {seed}")).items():
            try:
                trials.kill(where)
            except Broken as error:
                broken += 1
                say(f"BROKEN {error}\n  again: python -m tests.kills {operation.name!r} {how}")
                if stop:
                    break
        say(f"{operation.name}: {trials.counts}; {broken} broken; {time.monotonic() - began_s:.1f} s")
    return broken


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
