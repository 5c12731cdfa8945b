"""`gallery audit`: who enrolled, changed, exported or erased whom, and when; and whether that log is whole."""

import time
from dataclasses import asdict
from typing import Annotated

import orjson
import typer

from gallery.errors import AuditBroken
from streamer.cli.options import AsJson, ConfigFile, Overrides, print_json, print_line, print_table, settings_of
from streamer.people.audited import audited_id
from streamer.process import open_gallery


def register(gallery: typer.Typer) -> None:
    gallery.command("audit", epilog="Example: whosthere gallery audit --verify")(audit)


def audit(
    config: ConfigFile = None,
    overrides: Overrides = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Hold the log to its chain of hashes; say whether it is whole.")
    ] = False,
    person: Annotated[
        str | None, typer.Option(help="What concerns this person alone; the id of somebody who was forgotten will do.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Show who did what to whom, the oldest first. People stand there by their ids, never by their names."""
    with open_gallery(settings_of(config, overrides)) as store:
        about = None if person is None else audited_id(store, person)
        entries = store.audit_entries(about)
        broken = store.audit_broken() if verify else None
    if broken is not None:
        raise AuditBroken(
            f"the audit log is not what was written: entry {broken} was changed or is missing; compare it with "
            "that of a backup"
        )
    if json:
        document: dict[str, object] = {"entries": [asdict(entry) for entry in entries]}
        print_json(document | ({"whole": True} if verify else {}))
    elif verify:
        print_line(f"{len(entries)} entries; the log is whole")
    else:
        print_table(
            ["entry", "when", "who", "what", "person", ""],
            [
                [
                    entry.id,
                    time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.at)),
                    entry.actor,
                    entry.action,
                    entry.person_id or "",
                    orjson.dumps(entry.details).decode() if entry.details else "",
                ]
                for entry in entries
            ],
            "The log has nothing of that",
        )
