"""The ids of the forgotten looked for everywhere in paths.data: in the tables of the databases, in the bytes of all
other files. Blocks.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from streamer.byte_search import holds
from streamer.erasure.report import Left, counted
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
            left.append(_left_in(task, file))
    databases = sum(path.exists() for path in (task.settings.gallery_path, task.settings.visits_path))
    return Found(len(files) + databases, tuple(left))


def _in_gallery(task: Task) -> Iterator[Left]:
    name = task.settings.gallery_path.name
    with task.store() as store:
        for table in store.tables_with(task.person_ids):
            yield Left(f"{name}, table {table}", "the id is there; forget the person once more", "you")
        if store.is_vacuum_due:
            yield Left(name, "it was not written anew: what was deleted may still be in its free pages", "purge")


def _in_visits(task: Task) -> Iterator[Left]:
    path = task.settings.visits_path
    try:
        with VisitsFile(path, None) as file:
            if count := _count_of(task, file):
                yield Left(path.name, f"{counted(count, 'kept visit')} of theirs; forget them once more", "you")
    except KeptVisitsMissing:
        return
    except KeptVisitsError as error:
        yield Left(path.name, str(error), "you")


def _count_of(task: Task, file: VisitsFile) -> int:
    """How many there are; a running service may just have written one, and erases it."""
    until_s = time.monotonic() + VISITS_WITHIN_S
    while count := sum(file.count_of(person_id) for person_id in task.person_ids):
        if not task.service_runs() or time.monotonic() > until_s:
            break
        time.sleep(_LOOK_EVERY_S)
    return count


def _others(task: Task) -> Iterator[Path]:
    """Every file but the databases whose tables are searched; the outbox is one of them where its service asks.

    Nor that by which Home Assistant is made to forget them: it has to say whom.
    """
    searched = [task.settings.gallery_path, task.settings.visits_path, task.settings.home_assistant_path]
    if task.in_service:
        searched.append(task.settings.outbox_path)
    skipped = {file for path in searched for file in (path, *side_files(path))}
    for file in sorted(task.data.rglob("*")):
        if file.is_file() and not file.is_symlink() and file not in skipped:
            yield file


def _left_in(task: Task, file: Path) -> Left:
    name = str(file.relative_to(task.data))
    if name.startswith(task.settings.outbox_path.name):  # or one that was set aside
        return Left(name, "the id is there", "service")
    return Left(name, "the id is there, in a copy that whosthere does not change: delete it", "you", is_copy=True)
