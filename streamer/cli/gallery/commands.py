"""`gallery ...`: what is done to the gallery as a whole. A running service notices within a second."""

import typer

from streamer.cli.gallery.reindex import reindex

gallery = typer.Typer(
    no_args_is_help=True,
    help="The gallery as a whole: copies of it, its key, what has had its time, who did what.",
    epilog="Example: whosthere gallery backup gallery-monday.db",
)


def register(app: typer.Typer) -> None:
    gallery.command("reindex", epilog="Example: whosthere gallery reindex arcface_w600k_mbf")(reindex)
    app.add_typer(gallery, name="gallery")


@gallery.callback()
def group() -> None:
    """Copies, key, what has had its time, who did what."""
