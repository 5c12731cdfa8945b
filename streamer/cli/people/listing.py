"""`people list` and `people show`: who is enrolled, and what is known of them."""

from typing import Any

import typer

from streamer.cli.options import (
    AsJson,
    ConfigFile,
    Overrides,
    Who,
    note,
    print_json,
    print_line,
    print_table,
    settings_of,
)
from streamer.cli.people.summary import lines, negative_line, negative_summary, summary
from streamer.process import open_gallery


def register(people: typer.Typer) -> None:
    people.command("list", epilog="Example: whosthere people list --json")(list_people)
    people.command(epilog='Example: whosthere people show "Ada Lovelace"')(show)


def _mark(row: dict[str, Any]) -> str:
    return "ignored" if row["ignored"] else ""


def list_people(config: ConfigFile = None, overrides: Overrides = None, json: AsJson = False) -> None:
    """List everybody who is enrolled."""
    with open_gallery(settings_of(config, overrides)) as store:
        rows = [summary(person) for person in store.people()]
        left_out = store.left_out()
    if json:
        print_json({"people": rows})
    else:
        print_table(
            ["id", "name", "photos", "templates", ""],
            [(row["id"], row["name"], row["photos"], sum(row["templates"].values()), _mark(row)) for row in rows],
            'Nobody is enrolled yet; try: whosthere enrol "Ada Lovelace" *.jpg',
        )
    if left_out is not None:
        note(str(left_out))


def show(who: Who, config: ConfigFile = None, overrides: Overrides = None, json: AsJson = False) -> None:
    """Show what is known of one person."""
    with open_gallery(settings_of(config, overrides)) as store:
        found = store.find(who)
        negatives, former = store.list_negatives(found.id), store.former_ids(found.id)
    if json:
        more = {"former_ids": former, "negatives": [negative_summary(one) for one in negatives]}
        print_json(summary(found) | more)
        return
    for line in lines(found):
        print_line(line)
    if former:
        print_line(f"  was {', '.join(former)}, too, before they were merged")
    for one in negatives:
        print_line(negative_line(one))
