"""`gallery purge`: erases who has had their time; the service does the same once a day."""

import time
from typing import Annotated

import typer

from streamer.cli.options import AsJson, ConfigFile, Overrides, note, print_json, print_line, settings_of
from streamer.process import open_gallery
from streamer.upkeep.purge import purge

_WHY = {
    "consent_expired": "the consent was over on {since}",
    "kept_long_enough": "no newer photo, and gallery.keep_days was over on {since}",
}


def purge_gallery(
    config: ConfigFile = None,
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be erased.")] = False,
    json: AsJson = False,
) -> None:
    """Erase people whose consent has expired, or whose photos are older than gallery.keep_days.

    The service does the same at its start and once a day.
    """
    settings = settings_of(config, overrides, log_level="error")
    with open_gallery(settings) as store:
        done = purge(store, settings, dry_run=dry_run)
    if json:
        people = [{"id": one.person_id, "why": one.why, "since": one.since} for one in done.people]
        print_json({"dry_run": dry_run, "people": people, "vacuum_left": done.vacuum_left})
    else:
        for one in done.people:
            since = time.strftime("%Y-%m-%d", time.localtime(one.since))
            print_line(f"{one.person_id}: {_WHY[one.why].format(since=since)}")
        print_line(f"{len(done.people)} people {'would be' if dry_run else 'are'} erased")
    if done.vacuum_left and not dry_run:
        note("pages of the erased are in the gallery's file still: it is being read, or there is no room; purge again")
