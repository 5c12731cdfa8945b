"""`gallery backup|restore`: a copy of the gallery, made and put back while a service runs, which notices it."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from gallery.copies.backup import Restored, back_up, restore
from gallery.copies.backup_copy import BackupCopy
from gallery.keys.master_key import KeySource, in_file
from streamer.cli.options import AsJson, ConfigFile, Overrides, note, print_json, print_line, settings_of
from streamer.process import key_source, make_data_folder, open_gallery, refuse_in_use, this_user

Backup = Annotated[Path, typer.Argument(help="The backup's file.", metavar="FILE")]

_PLAIN = (
    "it is not encrypted, as the gallery is not: whoever has the file has the faces and the names (gallery.encryption)"
)


def register(gallery: typer.Typer) -> None:
    gallery.command("backup", epilog="Example: whosthere gallery backup gallery-monday.db")(backup)
    gallery.command("restore", epilog="Example: whosthere gallery restore gallery-monday.db")(restore_backup)


def backup(file: Backup, config: ConfigFile = None, overrides: Overrides = None, json: AsJson = False) -> None:
    """Copy the gallery, as it is at one moment, to a new file; a service may run meanwhile.

    Of an encrypted gallery the copy is encrypted, too, and the master key is not in it. Kept visits, the outbox, tokens
    and settings are no part of it.
    """
    settings = settings_of(config, overrides, log_level="error")
    with open_gallery(settings) as store:
        people, key_id = store.count(), store.key_id
        size = back_up(store, file)
    place = key_source(settings).locate(key_id)[0].told if key_id else None
    if json:
        print_json({"file": str(file), "bytes": size, "people": people, "key": key_id, "key_at": place})
    else:
        print_line(f"{file}: {people} people, {_size(size)}")
    note(
        f"it opens with master key {key_id} alone, which is not in it: keep a copy of that ({place}) apart from it"
        if key_id
        else _PLAIN
    )


def restore_backup(
    file: Backup,
    config: ConfigFile = None,
    overrides: Overrides = None,
    key_file: Annotated[
        Path | None,
        typer.Option("--key-file", help="The master key that the backup was made under, where that is another one."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, at a terminal either.")] = False,
    json: AsJson = False,
) -> None:
    """Put the people of a backup in the place of all who are enrolled, at once or not at all; a service may run.

    Who was forgotten since stays forgotten. The gallery keeps its key and its audit log. One that is damaged is set
    aside, and where there is none, one is made.
    """
    settings = settings_of(config, overrides, log_level="error")
    keys = key_source(settings)
    had_key = os.path.exists(keys.file)
    if key_file is not None:
        in_file(key_file).key()  # what is wrong with it is said of it
    with BackupCopy(file, keys if key_file is None else KeySource(keys.folder, in_file(key_file))) as copy:
        if not yes and sys.stdin.isatty():
            question = f"Put the {copy.people()} people of {file} in the place of all who are enrolled now?"
            typer.confirm(question, abort=True, err=True)
        make_data_folder(settings.paths.data)
        refuse_in_use(settings.gallery_path)
        done = restore(settings.gallery_path, copy, keys, encrypt=settings.gallery.encryption, actor=this_user())
    if json:
        print_json(
            {
                "people": done.what.people,
                "photos": done.what.photos,
                "left_out": list(done.what.left_out),
                "gone": list(done.what.gone),
                "uncalibrated": list(done.what.uncalibrated),
                "set_aside": None if done.set_aside is None else str(done.set_aside),
                "forgotten_known": done.forgotten_known,
            }
        )
    else:
        print_line(f"{done.what.people} people with {done.what.photos} photos are restored")
    _tell(done)
    if not had_key and os.path.exists(keys.file):
        note(f"a master key was made for the gallery, {keys.file}: keep a copy of it, apart from the data")


def _tell(done: Restored) -> None:
    if done.what.left_out:
        note(f"left out, since they were forgotten: {', '.join(done.what.left_out)}; the backup still holds them")
    if done.what.gone:
        note(f"not in the backup, and enrolled no more: {', '.join(done.what.gone)}")
    if done.what.uncalibrated:
        note(
            f"the backup has no calibration of {', '.join(done.what.uncalibrated)}: people are named by the spec's "
            "threshold there, for no rate of this gallery's; run whosthere calibrate again"
        )
    if done.set_aside is not None:
        note(
            f"the damaged gallery was set aside: {done.set_aside}; delete it once it is needed no more, it holds people"
        )
    if not done.forgotten_known:
        note(
            "who was forgotten since the backup is not known, for the gallery that said so is gone or can't be read: "
            "forget them again"
        )


def _size(count: int) -> str:
    return f"{count / (1 << 20):.1f} MiB" if count >= 1 << 20 else f"{-(-count // 1024)} KiB"
