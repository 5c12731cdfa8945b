"""A folder with a configuration, and a gallery in it with people made of numbers, as commands find one."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from gallery.portable import PortablePerson
from gallery.storage.store import PersonStore
from streamer.kept_visits.visit import VisitChange, VisitFace, people_of
from streamer.kept_visits.visits_file import VisitsFile
from streamer.process import key_source, store_of
from streamer.settings_reading import load
from tests.gallery.fakes import SPACE, unit
from tests.streamer.messages import due


def seeded(home: Path, people: Iterable[PortablePerson] = (), **config: Any) -> Path:
    """Writes whosthere.yaml, and enrols these people."""
    home.mkdir(exist_ok=True)
    (home / "whosthere.yaml").write_text(yaml.safe_dump({"mqtt": {"port": 1}} | config))
    with opened(home) as store:
        for person in people:
            store.add_portable(person)
    return home


def keep_visit(home: Path, person_id: str, number: int, at: float) -> str:
    """A visit of theirs is kept, that began then, with pictures and a face; its event_id."""
    settings = load(home / "whosthere.yaml")
    event = due("abcdef"[number] + "1n", person=person_id).event
    with VisitsFile(settings.visits_path, key_source(settings), make=True) as file:
        file.unlock(encrypt=settings.gallery.encryption)
        change = VisitChange(
            event_id=event.event_id,
            camera="door",
            is_first=True,
            is_known=True,
            began_at=at,
            began_s=None,
            seen_at=at,
            ended_at=at + 1.0,
            people=people_of([event]),
            messages=(event,),
            faces=(VisitFace(unit(number), 0.9, SPACE, "s"),),
            pictures={"face": b"its face", "scene": b"its scene"},
        )
        assert file.write([change]) == set()
    return event.event_id


def opened(home: Path) -> PersonStore:
    """The gallery of that folder's configuration."""
    return store_of(load(home / "whosthere.yaml"), actor="the test")
