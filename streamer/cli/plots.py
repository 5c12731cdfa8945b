"""Where a command puts the plots that it draws, if it can draw any."""

from pathlib import Path

from recognition.errors import PlotsUnavailable
from recognition.evaluation.plots import need_matplotlib
from streamer.cli.options import note
from streamer.errors import OutputUnwritable


def folder_for_plots(asked: Path | None, default: Path | None) -> Path | None:
    """The folder; None where none are drawn. What hinders is said before the long run, not after it."""
    folder = asked or default
    if folder is None:
        return None
    try:
        need_matplotlib()
    except PlotsUnavailable as error:
        if asked is not None:
            raise
        note(f"warning: {error}")
        return None
    if folder.exists() and not folder.is_dir():
        raise OutputUnwritable(f"{folder} is a file, and a folder is wanted; choose another --out")
    return folder
