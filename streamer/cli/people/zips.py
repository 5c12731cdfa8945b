"""`people export|import`: all that is kept of one person, as a ZIP that anybody can read, and back."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import orjson
import typer

from streamer.cli.options import AsJson, ConfigFile, Overrides, Who, note, print_json, print_line, settings_of
from streamer.process import key_source, open_gallery
from streamer.settings import Settings

_JSON = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY
Zip = Annotated[Path, typer.Argument(help="The ZIP.", metavar="FILE.zip")]


def export_person(
    who: Who, file: Zip, config: ConfigFile = None, overrides: Overrides = None, json: AsJson = False
) -> None:
    """Write all that is kept of a person to a new ZIP (GDPR Art. 15 and 20), in clear, to be read by anybody.

    person.json, photos (the kept faces), templates.json, audit.json, and what kept visits hold of the person.
    """
    from gallery.copies.bundle import write_bundle  # pictures, which the other commands of this group do without

    settings = settings_of(config, overrides, log_level="error")
    with open_gallery(settings) as store:
        person = store.portable(store.find(who).id)
        visits = visits_of([person.id, *store.former_ids(person.id)], settings)
        audit = [asdict(entry) for entry in store.audit_entries(person.id)]
        write_bundle(
            file, person, at=time.time(), audit=audit, visits=visits, record=lambda: store.record("exported", person.id)
        )
    if json:
        print_json({"id": person.id, "file": str(file), "photos": len(person.photos)})
    else:
        print_line(f"{file}: {person.profile.name} ({person.id}), {len(person.photos)} photos")
    note("it is in clear: whoever has the file has the face and the name; delete it when it has been handed over")


def visits_of(person_ids: Sequence[str], settings: Settings) -> Iterator[tuple[str, bytes]]:
    """What the kept visits that name a person, by one of these ids, hold, as files: (name, bytes), a visit after the
    other.

    Raises KeptVisitsError and MasterKeyError.
    """
    if not settings.visits_path.exists():
        return
    from streamer.kept_visits.visits_file import VisitsFile  # as above

    with VisitsFile(settings.visits_path, key_source(settings)) as file:
        for visit in file.search(0.0, math.inf, people=person_ids):
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


def import_person(
    file: Zip,
    config: ConfigFile = None,
    overrides: Overrides = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also somebody who looks like a person of another name.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Enrol a person from the ZIP of another gallery, with the id, photos and templates of there.

    Refused where the id, the name, the external id or the face is somebody's here, or the person was forgotten here.
    The ZIP's audit log and kept visits stay in it.
    """
    # Pictures and models, which the other commands of this group do without.
    from gallery.copies.arrival import check_age, check_consent, check_likeness, check_sizes
    from gallery.copies.bundle import read_bundle
    from streamer.model_layer.enrolling import naming_thresholds, space_sizes
    from streamer.model_layer.setup import make_manager

    settings = settings_of(config, overrides, log_level="error")
    person = read_bundle(file)
    now, manager = time.time(), make_manager(settings)
    check_consent(person, now)
    check_age(person, now, settings.gallery.keep_days)
    check_sizes(person, space_sizes(manager))
    with open_gallery(settings) as store:
        store.check_free(person.profile, person.id)
        if not force:
            check_likeness(person, store, naming_thresholds(settings, manager))
        imported = store.add_portable(person)
    if json:
        print_json({"id": imported.id, "name": imported.name, "photos": imported.photos})
    else:
        print_line(f"{imported.name} ({imported.id}): {imported.photos} photos imported")
