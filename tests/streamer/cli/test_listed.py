"""What --help says of commands that are not loaded is what they say themselves."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
import typer

from streamer.cli.listed import ListedGroup
from streamer.commands import app


def groups(command: Any, name: str = "whosthere") -> Iterator[tuple[str, ListedGroup]]:
    if isinstance(command, ListedGroup):
        yield name, command
        for below, one in command.commands.items():
            yield from groups(one, below)


GROUPS = dict(groups(typer.main.get_command(app)))


def test_these_are_listed() -> None:
    assert list(GROUPS) == ["whosthere", "people", "gallery", "cameras", "models"]


@pytest.mark.parametrize("name", GROUPS)
@pytest.mark.parametrize("limit", [45, 80, 1000])  # shells, --help, all of it
def test_a_line_is_how_the_commands_own_help_begins(name: str, limit: int) -> None:
    group = GROUPS[name]
    listed = {one: group.get_command(None, one).get_short_help_str(limit) for one in group.listed}
    assert listed == {one: command.get_short_help_str(limit) for one, command in group.commands.items()}


@pytest.mark.parametrize("name", GROUPS)
def test_a_module_registers_what_it_is_listed_for(name: str) -> None:
    by_module: dict[str, set[str]] = {}
    for one, known in GROUPS[name].listed.items():
        by_module.setdefault(known.module, set()).add(one)
    for module, names in by_module.items():
        registered = typer.Typer(rich_markup_mode=None)
        import_module(f"streamer.cli.{module}").register(registered)
        assert set(typer.main.get_group(registered).commands) == names


def test_a_command_that_is_not_there() -> None:
    people = GROUPS["people"]
    assert people.get_command(None, "lst") is None
    assert "lst" not in people.commands
    with pytest.raises(KeyError):
        people.commands["lst"]
