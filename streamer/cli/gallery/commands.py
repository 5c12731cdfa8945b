"""`gallery ...`: what is done to the gallery as a whole. A running service notices within a second."""

import typer

from streamer.cli.gallery.audit import audit
from streamer.cli.gallery.copies import backup, restore_backup
from streamer.cli.gallery.purge import purge_gallery
from streamer.cli.gallery.reindex import reindex
from streamer.cli.gallery.rekey import rekey

gallery = typer.Typer(
    no_args_is_help=True,
    help="The gallery as a whole: copies of it, its key, what has had its time, who did what.",
    epilog="Example: whosthere gallery backup gallery-monday.db",
)


def register(app: typer.Typer) -> None:
    gallery.command("reindex", epilog="Example: whosthere gallery reindex arcface_w600k_mbf")(reindex)
    gallery.command("backup", epilog="Example: whosthere gallery backup gallery-monday.db")(backup)
    gallery.command("restore", epilog="Example: whosthere gallery restore gallery-monday.db")(restore_backup)
    gallery.command("rekey", epilog="Example: whosthere gallery rekey")(rekey)
    gallery.command("purge", epilog="Example: whosthere gallery purge --dry-run")(purge_gallery)
    gallery.command("audit", epilog="Example: whosthere gallery audit --verify")(audit)
    app.add_typer(gallery, name="gallery")


@gallery.callback()
def group() -> None:
    """Copies, key, what has had its time, who did what."""
