"""What waits in the outbox of a service that does not run; the file is looked at as it is. Blocks."""

import sqlite3
import time
from collections.abc import Iterator

from gallery.storage.file_copy import schema_of
from streamer.doctor.cures import Cures
from streamer.doctor.trouble import Trouble
from streamer.events.damage import has_log, looked_at
from streamer.events.outbox_schema import VERSION
from streamer.settings import Settings


def look(settings: Settings, cures: Cures) -> Iterator[Trouble]:
    """How many messages wait, and whether the file can be read."""
    path = settings.outbox_path
    version = schema_of(path)
    if not path.exists() or (version is not None and version > VERSION):
        return
    try:
        with looked_at(path, with_log=has_log(path)) as db:
            count, oldest_at = db.execute(
                "SELECT count(*), min(json_extract(event, '$.captured_at')) FROM pending"
            ).fetchone()
    except (sqlite3.Error, OSError) as error:
        detail = f"outbox {path} can't be read ({error}); the service sets it aside at its start and saves what it can"
        yield Trouble("warning", "outbox", "outbox_damaged", detail, cures.of("outbox_damaged"))
        return
    if count:
        since = f", the oldest of {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime(oldest_at))}" if oldest_at else ""
        detail = f"{count} messages wait for the broker{since}; they are sent when the service runs"
        yield Trouble("warning", "outbox", "outbox_waiting", detail, cures.of("service_stopped"))
