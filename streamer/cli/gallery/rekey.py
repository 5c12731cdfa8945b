"""`gallery rekey`: another master key, or none; a running service goes on."""

import shlex
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from gallery.keys.master_key import GivenKey
from streamer.cli.options import AsJson, ConfigFile, Overrides, note, print_json, print_line, settings_of
from streamer.process import given_key, key_source, open_gallery
from streamer.settings import MasterKeySettings
from streamer.upkeep.rotation import Rotated, rotate


def register(gallery: typer.Typer) -> None:
    gallery.command("rekey", epilog="Example: whosthere gallery rekey")(rekey)


def rekey(
    config: ConfigFile = None,
    overrides: Overrides = None,
    new_file: Annotated[Path | None, typer.Option("--new-file", help="Where the new key is: a file of yours.")] = None,
    new_variable: Annotated[str | None, typer.Option("--new-variable", help="Likewise: a variable.")] = None,
    new_command: Annotated[
        str | None, typer.Option("--new-command", help="Likewise: a command that prints it, as the shell splits it.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Put all that is encrypted under a new master key, or bring it to what gallery.encryption says.

    A new master.key is made, unless gallery.master_key names the present key: then the new one is given. Backups made
    before open with the former key alone: keep a copy of it for them, or make a backup anew.
    """
    given = _given(new_file, new_variable, new_command)
    settings = settings_of(config, overrides, log_level="error")
    keys = key_source(settings, given)
    with open_gallery(settings, keys) as store:
        done = rotate(store, keys, settings.visits_path, encrypt=settings.gallery.encryption)
    if json:
        print_json(
            {
                "former_key": done.former,
                "key": done.key,
                "finished": done.was_finished,
                "key_at": done.told,
                "vacuumed": done.vacuumed,
            }
        )
    else:
        print_line(_line(done))
    _tell(done, is_given=given is not None)


def _given(file: Path | None, variable: str | None, command: str | None) -> GivenKey | None:
    named = {"file": file, "variable": variable, "command": None if command is None else _split(command)}
    chosen = {kind: value for kind, value in named.items() if value is not None}
    if len(chosen) > 1:
        raise typer.BadParameter("give one of --new-file, --new-variable and --new-command")
    try:
        return given_key(MasterKeySettings.model_validate(chosen)) if chosen else None
    except ValidationError:
        raise typer.BadParameter(f"{variable!r} is no variable's name; want letters, digits and _") from None


def _split(command: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise typer.BadParameter(f"--new-command can't be split as the shell does it ({error})") from None
    if not words:
        raise typer.BadParameter("--new-command is empty; want a program and what it is given")
    return words


def _line(done: Rotated) -> str:
    if done.key is None:
        return "all is plain now (gallery.encryption is false)" if done.former else "all is plain already"
    if done.was_finished:
        return f"the rotation that was cut off is finished: all is under master key {done.key}, {done.told}"
    if done.former == done.key:
        return f"all is under master key {done.key} already, {done.told}"
    return f"all is under master key {done.key} now, {done.told}"


def _tell(done: Rotated, *, is_given: bool) -> None:
    if is_given:
        note(f"now name the new key in gallery.master_key ({done.told}), and restart a service that runs")
    if done.former is not None and done.former != done.key:
        note(
            f"backups made before open with master key {done.former} alone, which is kept here no more: make one anew, "
            "or keep a copy of that key for them"
        )
    if not done.vacuumed:
        note(
            "pages under the former key are in gallery.db or visits.db still: it is being read, or there is no room; "
            "gallery purge tidies them"
        )
