"""The data folder and that of keys, looked at from outside: whose they are, of which schema, how much room is left.

Nothing is opened for writing, and nothing is made. Blocks for small reads.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from gallery.storage.file_copy import schema_of
from gallery.storage.schema import SCHEMA_VERSION
from streamer.doctor.cures import Cures, user_name
from streamer.doctor.trouble import Trouble
from streamer.events.outbox_schema import VERSION as OUTBOX_VERSION
from streamer.kept_visits.visits_schema import VERSION as VISITS_VERSION
from streamer.settings import Settings

FULL_BYTES, LOW_BYTES = 200 << 20, 2 << 30


def look(settings: Settings, cures: Cures) -> Iterator[Trouble]:
    """Everything about both folders."""
    data = settings.paths.data
    if not data.exists():
        detail = f"{data} is not there yet; the first start makes it"
        yield Trouble("hint", "data folder", "data_folder_new", detail, cures.of("service_stopped"))
        return
    if not data.is_dir() or not os.access(data, os.R_OK | os.W_OK | os.X_OK):
        detail = f"{data} can't be used by {user_name(os.getuid())}; the commands are for {cures.owner}"
        yield Trouble("fault", "data folder", "data_folder_unwritable", detail, cures.of("data_folder_unwritable"))
        return
    yield from _permissions(settings, cures)
    yield from _schemas(settings, cures)
    yield from _set_aside(data, cures)
    yield from _room(settings, cures)


def _permissions(settings: Settings, cures: Cures) -> Iterator[Trouble]:
    """Faces, names and who was seen when are for the service's user alone."""
    data, keys = settings.paths.data, settings.paths.key_folder
    names = ("gallery.db", "outbox.db", "visits.db", "tokens.json")
    for path in (data, *(data / name for name in names), keys, keys / "master.key"):
        try:
            mode = path.stat().st_mode & 0o777
        except OSError:
            continue
        if mode & 0o077:
            detail = f"{path} can be entered or read by other users of this machine (mode {mode:o})"
            mend = cures.of("open_to_others", path=str(path))
            yield Trouble("warning", "data folder", "open_to_others", detail, mend)
    owner = data.stat().st_uid
    others = sorted(path.name for path in data.iterdir() if path.lstat().st_uid != owner)
    if others:
        detail = f"{data} belongs to {user_name(owner)}, and {', '.join(others[:5])} in it to somebody else"
        yield Trouble("warning", "data folder", "owner_differs", detail, cures.of("owner_differs"))


def _schemas(settings: Settings, cures: Cures) -> Iterator[Trouble]:
    """Of the gallery a newer one is told where it is opened."""
    version = schema_of(settings.gallery_path)
    if version is not None and 0 < version < SCHEMA_VERSION:
        detail = (
            f"{settings.gallery_path} has schema {version}; this version brings it to {SCHEMA_VERSION} when it is "
            "opened next, and an older whosthere refuses it from then on: copy the folder first"
        )
        yield Trouble("hint", "gallery", "gallery_older", detail, cures.of("gallery_older"))
    for part, path, known in (
        ("outbox", settings.outbox_path, OUTBOX_VERSION),
        ("kept visits", settings.visits_path, VISITS_VERSION),
    ):
        found = schema_of(path)
        if found is not None and found > known:
            code = "outbox_too_new" if part == "outbox" else "kept_visits_too_new"
            detail = f"{path} was written by a newer whosthere (version {found}, known here: {known})"
            yield Trouble("fault", part, code, detail, cures.of(code))


def _set_aside(data: Path, cures: Cures) -> Iterator[Trouble]:
    if damaged := sorted(path.name for path in data.glob("*.damaged-*")):
        detail = (
            f"{len(damaged)} files in {data} were damaged and are set aside (the newest: {damaged[-1]}); they may tell "
            "who was seen, and nobody is forgotten in them: check the disk, then delete them"
        )
        yield Trouble("warning", "data folder", "set_aside", detail, cures.of("set_aside"))


def _room(settings: Settings, cures: Cures) -> Iterator[Trouble]:
    free = shutil.disk_usage(settings.paths.data).free
    keeps = any(camera.snapshots for camera in settings.cameras.values())
    used = settings.visits_path.stat().st_size if settings.visits_path.exists() else 0
    to_come = max((settings.events.keep_mib << 20) - used, 0) if keeps else 0
    if free < FULL_BYTES:
        detail = f"{_gib(free)} are free where {settings.paths.data} lies"
        yield Trouble("fault", "disk", "disk_full", detail, cures.of("disk_full"))
    elif free < LOW_BYTES or free < to_come:
        more = f", and kept visits may take {_gib(to_come)} more (events.keep_mib)" if to_come else ""
        detail = f"{_gib(free)} are free where {settings.paths.data} lies{more}"
        yield Trouble("warning", "disk", "disk_low", detail, cures.of("disk_low"))


def _gib(number: int) -> str:
    return f"{number / (1 << 30):.1f} GiB"
