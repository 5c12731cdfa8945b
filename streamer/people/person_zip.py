"""All that is kept of one person, to be handed over as a ZIP. Blocks."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from gallery.portable import PortablePerson
from gallery.storage.store import PersonStore
from streamer.kept_visits.visits_file import VisitsFile
from streamer.process import key_source
from streamer.settings import Settings

_JSON = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """`audit`: the entries of the log that are the person's; `visits`: (name, bytes), read while they are asked for."""

    person: PortablePerson
    audit: list[dict[str, Any]]
    visits: Iterator[tuple[str, bytes]]


def all_of(store: PersonStore, who: str, settings: Settings) -> Kept:
    """Raises PersonNotFound and PersonAmbiguous; while visits are asked for KeptVisitsError and MasterKeyError."""
    person = store.portable(store.find(who).id)
    visits = visits_of([person.id, *store.former_ids(person.id)], settings)
    return Kept(person, [asdict(entry) for entry in store.audit_entries(person.id)], visits)


def visits_of(person_ids: Sequence[str], settings: Settings) -> Iterator[tuple[str, bytes]]:
    """What the kept visits that name a person, by one of these ids, hold, as files: (name, bytes), a visit after the
    other.

    Raises KeptVisitsError and MasterKeyError.
    """
    if not settings.visits_path.exists():
        return
    with VisitsFile(settings.visits_path, key_source(settings)) as file:
        for visit in file.search(0.0, math.inf, people=person_ids):
            if visit.said is not None and visit.said.is_named and visit.said.person_id not in person_ids:
                continue  # it was taken for this person, and is somebody else's
            document = {
                "event_id": visit.event_id,
                "camera": visit.camera,
                "began_at": visit.began_at,
                "ended_at": visit.ended_at,
                "messages": [event.model_dump(by_alias=True) for event in visit.messages],
                "faces": [asdict(face) for face in file.faces(visit.event_id)],
            }
            yield f"{visit.event_id}/visit.json", orjson.dumps(document, option=_JSON)
            if (pictures := file.pictures(visit.event_id)) is not None:
                yield f"{visit.event_id}/face.jpg", pictures.face
                yield f"{visit.event_id}/scene.jpg", pictures.scene
