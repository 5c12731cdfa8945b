"""`gallery ...`: what is done to the gallery as a whole. A running service notices within a second."""

from typing import ClassVar

import typer

from streamer.cli.listed import Listed, ListedGroup


class Gallery(ListedGroup):
    """A module each, but for copies."""

    listed: ClassVar = {
        "reindex": Listed(
            "gallery.reindex",
            "Make missing templates from kept photos, for embedders that came after people's enrolment.",
        ),
        "backup": Listed(
            "gallery.copies", "Copy the gallery, as it is at one moment, to a new file; a service may run meanwhile."
        ),
        "restore": Listed(
            "gallery.copies",
            "Put the people of a backup in the place of all who are enrolled, at once or not at all; a service "
            "may run.",
        ),
        "rekey": Listed(
            "gallery.rekey",
            "Put all that is encrypted under a new master key, or bring it to what gallery.encryption says.",
        ),
        "purge": Listed(
            "gallery.purge",
            "Erase people whose consent has expired, or whose photos are older than gallery.keep_days, and old "
            "kept visits.",
        ),
        "audit": Listed("gallery.audit", "Show who did what to whom, the oldest first."),
    }


def register(app: typer.Typer) -> None:
    gallery = typer.Typer(
        cls=Gallery,
        no_args_is_help=True,
        help="The gallery as a whole: copies of it, its key, what has had its time, who did what.",
        epilog="Example: whosthere gallery backup gallery-monday.db",
    )
    app.add_typer(gallery, name="gallery")
