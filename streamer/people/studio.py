"""Photos sent to the running service: enrolled, or looked at for who is in them, by its own networks, which are loaded
once.

On the event loop; pixels, files and the gallery are touched on threads.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from gallery.enrolment.enrol import EnrolReport, Pick, Whom, enrol
from gallery.enrolment.photo_reading import Photo, Read
from gallery.people import Profile
from gallery.storage.store import PersonStore
from recognition.errors import ImageError, Overloaded
from recognition.recogniser import Recogniser
from recognition.serving.lanes import PHOTO
from streamer.enrolment.visit import enrol_visits
from streamer.model_layer.enrolling import EnrolmentDesk, in_flight_for
from streamer.people.identified import photo_document, unread_document
from streamer.pipeline.live_gallery import LiveGallery
from streamer.pipeline.stills import identify_still
from streamer.settings import Settings

_AT_ONCE = 3
MOST_FORMS = 16


class Studio:
    """All requests together have as many photos decoded at once as one enrolment would. `few`: held by whoever has a
    gallery of one's own open, with all its templates in memory; `alone`: besides, by whoever looks at photos otherwise.
    """

    def __init__(self, settings: Settings, recogniser: Recogniser, live_gallery: LiveGallery) -> None:
        self.settings = settings
        self.recogniser = recogniser
        self.live_gallery = live_gallery
        self.few = asyncio.Semaphore(_AT_ONCE)
        self.alone = asyncio.Lock()
        self._in_flight = in_flight_for(settings, recogniser)
        self._forms = 0

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        """The place of a form with files, to be had before it is read: it lies in memory and temporary files until it
        is done. Raises Overloaded at once where there is none.
        """
        if self._forms >= MOST_FORMS:
            raise Overloaded(f"{self._forms} requests with photos are under way; try again in a moment")
        self._forms += 1
        try:
            yield
        finally:
            self._forms -= 1

    async def enrol(
        self,
        who: str | Profile,
        photos: Mapping[Path, Read],
        store: PersonStore,
        whom: Whom,
        pick: Pick = None,
        *,
        force: bool = False,
    ) -> EnrolReport:
        """As gallery.enrolment.enrol.enrol(); photos: what each is called, and what reads it."""
        desk = EnrolmentDesk(self.settings, self.recogniser, store)
        terms = desk.terms(pick, force=force, whom=whom)
        read = partial(_read, photos)
        return await enrol(who, list(photos), desk.finder, store, terms, read=read, in_flight=self._in_flight)

    async def enrol_visits(
        self,
        who: str | Profile,
        event_ids: Sequence[str],
        store: PersonStore,
        whom: Whom,
        *,
        force: bool = False,
        all_of_them: Sequence[str] = (),
    ) -> EnrolReport:
        """As streamer.enrolment.visit.enrol_visits()."""
        desk = EnrolmentDesk(self.settings, self.recogniser, store)
        terms = desk.terms(force=force, by_hand=False, whom=whom)
        return await enrol_visits(who, event_ids, self.settings, desk.finder, store, terms, all_of_them)

    async def identify(self, path: Path, read: Read) -> dict[str, Any]:
        """Who is in a photo. Raises what Recogniser.detect() and embed() raise."""
        async with self._in_flight.seat():
            try:
                photo = await asyncio.to_thread(read, path)
                async with self._in_flight.room_for(photo.size_px):
                    pool = self.recogniser.pool_of(PHOTO)
                    image = await asyncio.get_running_loop().run_in_executor(pool, photo.decode)
                    faces = await identify_still(
                        image, self.recogniser, self.live_gallery, self.settings.recognition.min_quality
                    )
            except ImageError as error:
                return unread_document(str(path), error)
        return photo_document(str(path), faces, self.live_gallery.name_of)


def _read(photos: Mapping[Path, Read], path: Path) -> Photo:
    return photos[path](path)
