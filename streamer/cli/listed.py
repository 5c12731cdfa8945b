"""Groups of commands that are listed without being loaded: a command's module is imported once it is asked for.

Each command's name, module of streamer.cli and line in --help go in, typer's commands come out. An import blocks for a
tenth of a second, or for one where networks are needed.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup


class Listed(NamedTuple):
    """A command that is not loaded yet."""

    module: str  # of streamer.cli, whose register() adds the command to the group
    help: str  # how the command's own help begins


class Loaded(Mapping[str, Any]):
    """Commands by name, as typer has them; one is imported when it is taken."""

    def __init__(self, listed: Mapping[str, Listed]) -> None:
        self._listed = listed

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 typer keeps its classes of commands to itself
        return _registered(self._listed[name].module)[name]

    def __contains__(self, name: object) -> bool:
        return name in self._listed

    def __iter__(self) -> Iterator[str]:
        return iter(self._listed)

    def __len__(self) -> int:
        return len(self._listed)


@cache
def _registered(module: str) -> Mapping[str, Any]:
    group = typer.Typer(rich_markup_mode=None)
    import_module(f"streamer.cli.{module}").register(group)
    return typer.main.get_group(group).commands


class ListedGroup(TyperGroup):
    """Its commands, in the order of --help, are in `listed`."""

    listed: ClassVar[Mapping[str, Listed]]
    commands: Any

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 they are typer's
        super().__init__(**options)
        self.commands = Loaded(self.listed)

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401 as above
        return list(self.listed)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401 as above
        """The command as --help and shells list it."""
        known = self.listed.get(cmd_name)
        return None if known is None else TyperCommand(cmd_name, help=known.help)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 as above
        """The command that is run."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, None if command is None else self.commands[name], rest
