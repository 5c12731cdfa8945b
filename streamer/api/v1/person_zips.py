"""/api/v1/people/PERSON/export and /api/v1/people/import: all that is kept of one person, as a ZIP, and back.

On the loop; the ZIP lies in a file without a name, which is gone with the answer, whatever ends it.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from gallery.copies.bundle import fill_bundle, read_bundle
from gallery.errors import (
    ConsentInvalid,
    EnrolledAlready,
    ExternalIdTaken,
    NameInvalid,
    NameTaken,
    PersonAmbiguous,
    PersonFileInvalid,
    PersonFileOutdated,
    PersonFileTooNew,
    PersonForgotten,
    PersonIdTaken,
    PersonNotFound,
    TargetUnwritable,
)
from gallery.people import Person
from recognition.errors import ArchiveInvalid, EmbeddingSpaceMismatch
from streamer.api.gallery_desk import GalleryDesk, actor_of
from streamer.api.problem_answers import OF_GALLERY, problem_answers
from streamer.api.uploads import FORM, body, called, described_form, fields_of, file_of, form_of, media_type_of
from streamer.api.v1.entity_tags import etag_of
from streamer.api.v1.person_views import Admin, Forced, PersonId, PersonView
from streamer.errors import KeptVisitsError
from streamer.people.person_arrival import arrive, check_arrival
from streamer.people.person_zip import all_of
from streamer.people.studio import Studio
from streamer.webrtc.errors import MediaTypeUnsupported

_PIECE_BYTES = 256 * 1024

_NAMED = (*OF_GALLERY, PersonNotFound, PersonAmbiguous, NameInvalid)
_ARRIVING = (
    ArchiveInvalid,
    PersonFileInvalid,
    PersonFileTooNew,
    PersonFileOutdated,
    ConsentInvalid,
    PersonForgotten,
    PersonIdTaken,
    NameTaken,
    ExternalIdTaken,
    EnrolledAlready,
    EmbeddingSpaceMismatch,
)


def routes(desk: GalleryDesk, studio: Studio) -> APIRouter:
    zips = APIRouter(prefix="/api/v1/people", tags=["people"])
    settings, manager = studio.settings, studio.recogniser.manager

    @zips.get(
        "/{person}/export",
        response_class=Response,
        responses={
            200: {"description": "The ZIP.", "content": {"application/zip": {}}},
            **problem_answers(*_NAMED, KeptVisitsError, TargetUnwritable),
        },
    )
    async def export_person(person: PersonId, caller: Admin) -> Response:
        """All that is kept of a person (GDPR Art. 15 and 20), in clear, as a ZIP: person.json, photos (the kept faces),
        templates.json, audit.json, and what kept visits hold of the person.
        """
        actor = actor_of(caller)

        def packed() -> tuple[str, BinaryIO]:
            with desk.opened(actor) as store:
                kept = all_of(store, person, settings)
                file = _nameless(settings.paths.data)
                try:
                    fill_bundle(file, kept.person, at=time.time(), audit=kept.audit, visits=kept.visits)
                    store.record("exported", kept.person.id)
                except OSError as error:
                    file.close()
                    raise _no_room(settings.paths.data, error) from None
                except BaseException:
                    file.close()
                    raise
                return kept.person.id, file

        person_id, file = await desk.slowly(packed)
        headers = {
            "Content-Disposition": f'attachment; filename="{person_id}.zip"',
            "Content-Length": str(file.seek(0, os.SEEK_END)),
            "Cache-Control": "no-store",
        }
        return StreamingResponse(_pieces(file), headers=headers, media_type="application/zip")

    @zips.post(
        "/import",
        status_code=201,
        response_model=PersonView,
        responses=problem_answers(*OF_GALLERY, *_ARRIVING, MediaTypeUnsupported),
        openapi_extra=body(form=described_form(Forced, {"file": "one"})),
    )
    async def import_person(caller: Admin, request: Request) -> Response:
        """Enrol a person from the ZIP of another gallery, with the id, photos and templates of there. Refused where the
        id, the name, the external id or the face is somebody's here, or the person was forgotten here.
        """
        media_type_of(request, FORM)
        async with studio.admitted(), form_of(request, most_files=1) as form:
            force, upload = fields_of(form, Forced, ["file"]).force, file_of(form, "file")

            def arrived() -> Person:
                person = read_bundle(called(upload, "the file"), upload.file)
                check_arrival(person, settings, manager, time.time())
                with desk.opened(actor_of(caller)) as store:
                    return arrive(person, store, settings, manager, force=force)

            view = PersonView.of(await desk.slowly(arrived))
        headers = {"Location": f"/api/v1/people/{view.id}", "ETag": etag_of(view)}
        return JSONResponse(view.model_dump(mode="json"), 201, headers)

    return zips


def _nameless(folder: Path) -> BinaryIO:
    """A file that nobody finds, and that is gone when it is closed. Raises TargetUnwritable."""
    try:
        return tempfile.TemporaryFile(dir=folder)
    except OSError as error:
        raise _no_room(folder, error) from None


def _no_room(folder: Path, error: OSError) -> TargetUnwritable:
    return TargetUnwritable(f"{folder} has no room for the ZIP ({error.strerror}); make some")


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    with file:
        file.seek(0)
        while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
            yield piece
