"""What has had its time is erased: people by consent and age. By a command, and by the service once a day. Blocks.

A running service notices who is gone as it does where a command forgets somebody.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from gallery.errors import PersonNotFound
from gallery.retention import Expired, expired
from gallery.storage.store import PersonStore
from streamer.settings import Settings


@dataclass(frozen=True, slots=True)
class Purged:
    """`people`: who was erased, or would be; `vacuum_left`: erased pages are in the gallery's file still."""

    people: tuple[Expired, ...]
    vacuum_left: bool


def due(store: PersonStore, settings: Settings, now: float) -> list[Expired]:
    """Who has had their time by now, Unix time in s."""
    return expired(store.people(), store.newest_photos(), now, settings.gallery.keep_days)


def purge(
    store: PersonStore, settings: Settings, *, dry_run: bool = False, clock: Callable[[], float] = time.time
) -> Purged:
    """Erase who has had their time, each in one transaction. Raises GalleryError."""
    gone = []
    for one in due(store, settings, clock()):
        if not dry_run and not _forgotten(store, one):
            continue
        gone.append(one)
    if not dry_run and store.is_vacuum_due:
        store.vacuum()
    return Purged(tuple(gone), store.is_vacuum_due)


def _forgotten(store: PersonStore, one: Expired) -> bool:
    """False where somebody else has just done it."""
    try:
        store.forget(one.person_id, why=one.why)
    except PersonNotFound:
        return False
    return True
