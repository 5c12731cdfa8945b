"""`events --since`: the kept visits of a time, their messages as they were sent, their pictures into a folder."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import typer

from gallery.errors import PersonNotFound
from streamer.cli.camera_names import unknown_camera
from streamer.cli.options import note
from streamer.errors import OutputUnwritable
from streamer.events.event import IdentityEvent, named
from streamer.kept_visits import search
from streamer.kept_visits.visit import KeptVisit
from streamer.kept_visits.visits_file import VisitsFile
from streamer.process import key_source, readable_store_of
from streamer.settings import Settings

_UNIT_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}


def moment(text: str, now_at: float) -> float:
    """`8h` (so long ago) or a date and time, local where it says no zone -> Unix s. Raises typer.BadParameter."""
    ago = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text.strip().lower())
    if ago is not None:
        return now_at - float(ago[1]) * _UNIT_S[ago[2]]
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        raise typer.BadParameter(
            f"{text!r} is no time; give one like 8h, 30m, 2d, 2026-11-30 or 2026-11-30T18:00"
        ) from None


@dataclass(frozen=True, slots=True)
class Asked:
    """Which messages: captured from since_at until until_at (Unix s), of this camera, of this person (id or name).

    pictures: a folder for the pictures of their visits.
    """

    since_at: float
    until_at: float
    camera: str | None = None
    person: str | None = None
    pictures: Path | None = None


def kept_events(settings: Settings, asked: Asked) -> Iterator[tuple[IdentityEvent, dict[str, str]]]:
    """Each message of the kept visits, the earliest first, with the files that its visit's pictures are in.

    Raises KeptVisitsError, MasterKeyError, PersonNotFound, PersonAmbiguous, CameraUnknown and OutputUnwritable.
    """
    people, names = _people(settings, asked.person)
    wanted = search.Asked(asked.since_at, asked.until_at, people=people)
    found: list[tuple[KeptVisit, list[IdentityEvent]]] = []
    broken = 0
    with VisitsFile(settings.visits_path, key_source(settings)) as file:
        for visit in file.search(asked.since_at, asked.until_at, asked.camera, people):
            broken += visit.broken
            found.append((visit, list(filter(wanted.takes, visit.messages))))
        if broken:
            note(f"{broken} messages can't be opened: they are damaged, and left out")
        if not found and asked.camera is not None and asked.camera not in settings.cameras:
            raise unknown_camera(asked.camera, settings, "no kept visits are of it either")
        files = {visit.event_id: _saved(file, visit, asked.pictures) for visit, events in found if events}
    told = [event for _, events in found for event in events]
    for event in sorted(told, key=lambda event: (event.captured_at, event.event_id, event.seq)):
        yield named(event, names.get), files[event.event_id]


def _people(settings: Settings, person: str | None) -> tuple[frozenset[str] | None, Mapping[str, str]]:
    """The ids that are asked for (None: anybody's), and everybody's names."""
    if not settings.gallery_path.is_file():
        if person is not None and not search.is_id(person):
            raise PersonNotFound(f"nobody called {person!r} is enrolled; give an id, or check paths.data")
        return None if person is None else frozenset({person}), {}
    with readable_store_of(settings) as store:
        names = {one.id: one.name for one in store.people()}
        names |= {former: names[now] for former, now in store.merged().items() if now in names}
        return None if person is None else search.ids_of(store, person), names


def _saved(file: VisitsFile, visit: KeptVisit, folder: Path | None) -> dict[str, str]:
    """Where a visit's pictures were written to; nothing where there are none."""
    pictures = None if folder is None else file.pictures(visit.event_id)
    if folder is None or pictures is None:
        return {}
    saved = {}
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for kind, jpeg in (("face", pictures.face), ("scene", pictures.scene)):
            path = folder / f"{visit.event_id}-{kind}.jpg"
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as picture:
                picture.write(jpeg)
            saved[kind] = str(path)
    except OSError as error:
        raise OutputUnwritable(
            f"pictures can't be written to {folder} ({error.strerror}); give another folder"
        ) from None
    return saved
