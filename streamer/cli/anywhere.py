"""Options that all commands share may stand before the command as well as after it.

Pure: the words that were typed go in, the same words with those options behind the command come out, or what is wrong
with them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import typer

from streamer.cli.listed import ListedGroup

TAKE_A_VALUE = ("--config", "-c", "--set", "-s")
FLAGS = ("--json",)
_SHARED = (*TAKE_A_VALUE, *FLAGS)


_VALUE_ERROR = "Value error, "  # how pydantic, by which typer reads options, begins what is wrong with one


class AnywhereGroup(ListedGroup):
    """A root of the command line."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 as below
        try:
            return super().invoke(ctx)
        except typer.BadParameter as wrong:
            wrong.message = wrong.message.removeprefix(_VALUE_ERROR)
            raise

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 typer keeps its Context to itself
        wrong = misplaced(args, self, ctx.help_option_names)
        if wrong is not None and not ctx.resilient_parsing:
            ctx.fail(wrong)
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


def misplaced(typed: Sequence[str], root: Any, help_options: Sequence[str]) -> str | None:  # noqa: ANN401 see above
    """What is wrong with an option before a command: that it has none such, or has it behind its name alone.

    None where nothing is, or no command is named.
    """
    path: list[str] = []
    before: list[str] = []
    command = root
    rest = list(typed)
    while rest:
        word = rest.pop(0)
        name, given, _ = word.partition("=")
        if word in command.commands:
            path.append(word)
            command = command.commands[word]
            if not hasattr(command, "commands"):
                return _complaint(" ".join(path), before, _options(command))
        elif not word.startswith("-") or name in help_options or (name in _options(command) and name not in _SHARED):
            return None
        else:
            before.append(name)
            if rest and not given and name not in FLAGS and (name in TAKE_A_VALUE or _is_value(rest[0], command)):
                rest.pop(0)
    return None


def _is_value(word: str, command: Any) -> bool:  # noqa: ANN401 see above
    return not word.startswith("-") and word not in command.commands


def _options(command: Any) -> list[str]:  # noqa: ANN401 see above
    return [name for param in command.params if param.param_type_name == "option" for name in param.opts]


def _complaint(path: str, before: Sequence[str], taken: Sequence[str]) -> str | None:
    for name in before:
        if name not in taken:
            known = ", ".join(option for option in taken if option.startswith("--"))
            return f"{path} takes no {name}; it takes {known}."
    late = next((name for name in before if name not in _SHARED), None)
    return f"{late} has to stand behind the command: whosthere {path} {late}" if late else None
