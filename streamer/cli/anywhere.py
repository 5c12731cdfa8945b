"""Options that all commands share may stand before the command as well as after it.

Pure: the words that were typed go in, the same words with those options behind the command come out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from typer.core import TyperGroup

TAKE_A_VALUE = ("--config", "-c", "--set", "-s")
FLAGS = ("--json",)


class AnywhereGroup(TyperGroup):
    """The root of the command line."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 typer keeps its Context to itself
        return super().parse_args(ctx, moved_back(args, self.commands))


def moved_back(typed: Sequence[str], commands: Mapping[str, Any]) -> list[str]:
    """`--config X people --json list` -> `people list --config X --json`; left alone where no command is named.

    `commands`: click's, by name; those of a group have `commands` of their own.
    """
    path: list[str] = []
    moved: list[str] = []
    rest = list(typed)
    while rest:
        word = rest[0]
        if word in commands:
            path.append(rest.pop(0))
            below = getattr(commands[word], "commands", None)
            if below is None:
                return [*path, *moved, *rest]
            commands = below
        elif word in FLAGS or (word.partition("=")[0] in TAKE_A_VALUE and "=" in word):
            moved.append(rest.pop(0))
        elif word in TAKE_A_VALUE and len(rest) > 1:
            moved += [rest.pop(0), rest.pop(0)]
        else:
            break
    return list(typed)
