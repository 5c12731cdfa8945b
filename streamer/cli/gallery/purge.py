"""`gallery purge`: erases who has had their time; the service does the same once a day."""

import time
from typing import Annotated

import typer

from gallery.retention import DAY_S
from streamer.cli.options import AsJson, ConfigFile, Overrides, note, print_json, print_line, settings_of
from streamer.errors import ConfirmationNeeded, ErasureIncomplete
from streamer.process import open_gallery, this_user

_WHY = {
    "consent_expired": "the consent was over on {since}",
    "kept_long_enough": "no newer photo, and gallery.keep_days was over on {since}",
}


def register(gallery: typer.Typer) -> None:
    gallery.command("purge", epilog="Example: whosthere gallery purge --dry-run")(purge_gallery)


def purge_gallery(
    config: ConfigFile = None,
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be erased.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="The clock is right, however far it is ahead.")] = False,
    json: AsJson = False,
) -> None:
    """Erase people whose consent has expired, or whose photos are older than gallery.keep_days, and old kept visits.

    The service does the same at its start and once a day.
    """
    from streamer.upkeep.purge import LEAP_S, purge  # all of MQTT, which --help does without

    settings = settings_of(config, overrides, log_level="error")
    open_gallery(settings).close()  # refused where it is gone under a running service
    done = purge(settings, actor=this_user(), dry_run=dry_run, trusts_clock=yes or dry_run)
    if json:
        people = [{"id": one.person_id, "why": one.why, "since": one.since} for one in done.people]
        erasure = {} if done.report is None else done.report.document()
        document = {"dry_run": dry_run, "people": people, "visits": done.visits, "vacuum_left": done.vacuum_left}
        print_json(document | erasure)
    else:
        for one in done.people:
            since = time.strftime("%Y-%m-%d", time.localtime(one.since))
            print_line(f"{one.person_id}: {_WHY[one.why].format(since=since)}")
        print_line(f"{len(done.people)} people and {done.visits} kept visits {'would be' if dry_run else 'are'} erased")
    if done.vacuum_left and not dry_run:
        note("pages of the erased are in the gallery's file still: it is being read, or there is no room; purge again")
    for left in done.report.left if done.report else ():
        note(f"left for now: {left}")
    if done.report is not None and done.report.for_you:
        raise ErasureIncomplete(f"not erased everywhere: {'; '.join(map(str, done.report.for_you))}")
    if done.held_back:
        raise ConfirmationNeeded(
            f"{len(done.held_back)} people are not erased whose time would be over: the clock is more than "
            f"{LEAP_S / DAY_S:.0f} days ahead of the gallery's last change; if it is right, give --yes"
        )
