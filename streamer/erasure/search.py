"""The ids of the forgotten looked for everywhere in paths.data: in the tables of the databases, in the bytes of all
other files. Blocks.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from streamer.byte_search import holds
from streamer.erasure.report import Left
from streamer.erasure.task import Task
from streamer.errors import KeptVisitsError, KeptVisitsMissing
from streamer.events.damage import side_files
from streamer.kept_visits.visits_file import VisitsFile

VISITS_WITHIN_S = 5.0  # a running service may be about to write one
_LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Found:
    """How many files were searched; what is left in them."""

    files: int
    left: tuple[Left, ...]


def search(task: Task) -> Found:
    """Raises GalleryError, OSError."""
    left = [*_in_gallery(task), *_in_visits(task)]
    files = list(_others(task))
    for file in files:
        if holds(file, task.person_ids):
            left.append(_left_in(file.relative_to(task.data)))
    databases = sum(path.exists() for path in (task.settings.gallery_path, task.settings.visits_path))
    return Found(len(files) + databases, tuple(left))


def _in_gallery(task: Task) -> Iterator[Left]:
    name = task.settings.gallery_path.name
    with task.store() as store:
        for table in store.tables_with(task.person_ids):
            yield Left(f"{name}, table {table}", "the id is there; forget the person once more", "you")
        if store.is_vacuum_due:
            yield Left(name, "what was deleted may still be in its free pages", "purge")


def _in_visits(task: Task) -> Iterator[Left]:
    path = task.settings.visits_path
    until_s = time.monotonic() + VISITS_WITHIN_S
    try:
        with VisitsFile(path, None) as file:
            while count := sum(file.count_of(person_id) for person_id in task.person_ids):
                if time.monotonic() > until_s:
                    yield Left(path.name, f"{count} kept visits name them; forget them once more", "you")
                    return
                file.forget(task.person_ids)
                file.tidy()
                time.sleep(_LOOK_EVERY_S)
    except KeptVisitsMissing:
        return
    except KeptVisitsError as error:
        yield Left(path.name, str(error), "you")


def _others(task: Task) -> Iterator[Path]:
    """Every file but the databases whose tables are searched; the outbox is one of them where its service asks."""
    searched = [task.settings.gallery_path, task.settings.visits_path]
    if task.in_service:
        searched.append(task.settings.outbox_path)
    skipped = {file for path in searched for file in (path, *side_files(path))}
    for file in sorted(task.data.rglob("*")):
        if file.is_file() and not file.is_symlink() and file not in skipped:
            yield file


def _left_in(file: Path) -> Left:
    if file.name == "outbox.db" or file.name.startswith("outbox.db-"):
        return Left(str(file), "the id is there", "service")
    return Left(str(file), "the id is there, in a copy that whosthere does not change: delete it", "you")
