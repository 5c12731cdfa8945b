"""`people look-alikes`: which people of the gallery are most alike, and what can be done about it."""

from collections.abc import Sequence
from typing import Any

import typer

from streamer.cli.options import AsJson, ConfigFile, Overrides, print_json, print_line, print_table, settings_of
from streamer.cli.progress import progress_of
from streamer.process import make_data_folder, open_gallery

Row = dict[str, Any]


def register(people: typer.Typer) -> None:
    people.command("look-alikes", epilog="Example: whosthere people look-alikes --json")(look_alikes)


def look_alikes(config: ConfigFile = None, overrides: Overrides = None, json: AsJson = False) -> None:
    """List the people who are most alike: those who may be taken for one another, or are enrolled twice."""
    # Not at the head: --help does without.
    from streamer.model_layer.setup import make_manager
    from streamer.people.look_alikes import alike_document

    settings = settings_of(config, overrides, log_level="error")
    make_data_folder(settings.paths.data)
    manager = make_manager(settings)
    with open_gallery(settings) as store, progress_of("faces compared") as told:
        document = alike_document(settings, manager, store, told)
    if json:
        print_json(document)
    else:
        show_alike(document["look_alikes"], document["space"], document["threshold"])


def show_alike(rows: Sequence[Row], space: str, threshold: float) -> None:
    print_line()
    print_line(f"who is most alike in {space} (named from {threshold:.3f} on):")
    print_table(
        ["similarity", "", "of", "and"],
        [
            [f"{row['similarity']:.3f}", "at the threshold" if row["limits"] else ""]
            + [f"{one['name']} ({one['id']})" for one in row["people"]]
            for row in rows
        ],
        "Nobody is enrolled beside somebody else.",
    )
    if any(row["limits"] for row in rows):
        print_line("A photo of one would be named as the other, were that one not enrolled, too; what helps:")
        print_line("  one person twice:  whosthere people merge PERSON INTO")
        print_line("  family, twins:     a threshold of their own (whosthere people set PERSON --threshold COSINE),")
        print_line("                     more and better photos, a larger gallery.margin")
        print_line("  a stranger's face: whosthere people not PERSON EVENT_ID|PHOTO")
