"""What has had its time is erased: people by consent and age, kept visits. By a command, and by the service once a day.

Blocks. Whoever is erased is erased everywhere, as by people forget.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from gallery.people import Profile
from gallery.retention import DAY_S, Expired, expired, since_when
from gallery.storage.store import PersonStore
from streamer.erasure.erase import erase
from streamer.erasure.report import Report
from streamer.errors import KeptVisitsMissing
from streamer.kept_visits.visit import limits_of
from streamer.kept_visits.visits_file import VisitsFile
from streamer.process import store_of
from streamer.settings import Settings

LEAP_S = 30 * DAY_S


@dataclass(frozen=True, slots=True)
class Purged:
    """`people`: who was erased, or would be; `report`: how, and whom before, where that was cut off; None where nobody
    was. `visits`: how many, likewise.

    `held_back`: who was not, since the clock is so far ahead. `vacuum_left`: erased pages are in the gallery's file.
    """

    people: tuple[Expired, ...]
    visits: int
    report: Report | None
    vacuum_left: bool
    held_back: tuple[Expired, ...] = ()


def due(store: PersonStore, settings: Settings, now: float) -> list[Expired]:
    """Who has had their time by now, Unix time in s."""
    return expired(store.people(), store.newest_photos(), now, settings.gallery.keep_days)


def is_far_ahead(store: PersonStore, now: float) -> bool:
    """Whether the clock may have leapt: nothing was written to the gallery for as long as it says."""
    last = store.last_written_at()
    return last is not None and now - last > LEAP_S


def purge(
    settings: Settings,
    *,
    actor: str,
    in_service: bool = False,
    dry_run: bool = False,
    trusts_clock: bool = False,
    clock: Callable[[], float] = time.time,
) -> Purged:
    """Erase what has had its time; `actor`, `in_service`: as erase() has them. Raises GalleryError, KeptVisitsError.

    Without `trusts_clock` nobody is erased for their time where the clock is LEAP_S ahead of the audit log.
    """
    now = clock()

    def is_over(profile: Profile, newest: float) -> bool:
        return since_when(profile, newest, now, settings.gallery.keep_days) is not None

    with store_of(settings, actor=actor) as store:
        people, held_back = due(store, settings, now), list[Expired]()
        if people and not trusts_clock and is_far_ahead(store, now):
            people, held_back = [], people
        cut_off = store.unfinished()
    report = None
    if (people or cut_off) and not dry_run:
        why = {one.person_id: one.why for one in people}
        report = erase(why.keys(), settings, actor=actor, in_service=in_service, why=why, is_over=is_over)
        people = [one for one in people if one.person_id in report.person_ids]
    visits = 0 if in_service else _purge_visits(settings, now, dry_run=dry_run)  # the service's writer does it itself
    with store_of(settings, actor=actor) as store:
        if store.is_vacuum_due and not dry_run:
            store.vacuum()
        return Purged(tuple(people), visits, report, store.is_vacuum_due, tuple(held_back))


def _purge_visits(settings: Settings, now: float, *, dry_run: bool) -> int:
    limits = limits_of(settings.events)
    try:
        with VisitsFile(settings.visits_path, None) as file:  # erasing needs no key
            if dry_run:
                return file.aged(now, limits)
            gone = file.purge(now, limits)
            file.tidy()  # also of what an exchange of keys has left there
            return gone
    except KeptVisitsMissing:
        return 0
