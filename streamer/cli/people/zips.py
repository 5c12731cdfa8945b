"""`people export|import`: all that is kept of one person, as a ZIP that anybody can read, and back."""

import time
from pathlib import Path
from typing import Annotated

import typer

from gallery.copies.bundle import read_bundle, write_bundle
from streamer.cli.options import AsJson, ConfigFile, Overrides, Who, note, print_json, print_line, settings_of
from streamer.people.person_zip import all_of
from streamer.process import open_gallery

Zip = Annotated[Path, typer.Argument(help="The ZIP.", metavar="FILE.zip")]


def register(people: typer.Typer) -> None:
    people.command("export", epilog='Example: whosthere people export "Ada Lovelace" ada.zip')(export_person)
    people.command("import", epilog="Example: whosthere people import ada.zip")(import_person)


def export_person(
    who: Who, file: Zip, config: ConfigFile = None, overrides: Overrides = None, json: AsJson = False
) -> None:
    """Write all that is kept of a person to a new ZIP (GDPR Art. 15 and 20), in clear, to be read by anybody.

    person.json, photos (the kept faces), templates.json, audit.json, and what kept visits hold of the person.
    """
    settings = settings_of(config, overrides, log_level="error")
    with open_gallery(settings) as store:
        kept = all_of(store, who, settings)
        person = kept.person
        write_bundle(
            file,
            person,
            at=time.time(),
            audit=kept.audit,
            visits=kept.visits,
            record=lambda: store.record("exported", person.id),
        )
    if json:
        print_json({"id": person.id, "file": str(file), "photos": len(person.photos)})
    else:
        print_line(f"{file}: {person.profile.name} ({person.id}), {len(person.photos)} photos")
    note("it is in clear: whoever has the file has the face and the name; delete it when it has been handed over")


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
    # All of the models, which an export does without.
    from streamer.model_layer.setup import make_manager
    from streamer.people.person_arrival import arrive, check_arrival

    settings = settings_of(config, overrides, log_level="error")
    person = read_bundle(file)
    manager = make_manager(settings)
    check_arrival(person, settings, manager, time.time())
    with open_gallery(settings) as store:
        imported = arrive(person, store, settings, manager, force=force)
    if json:
        print_json({"id": imported.id, "name": imported.name, "photos": imported.photos})
    else:
        print_line(f"{imported.name} ({imported.id}): {imported.photos} photos imported")
