"""Enrolment from the pictures of a clip or a camera: the person who sits there, and a diverse few of the best faces.

Runs on the event loop; the store is touched on threads.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from gallery.enrolment.enrol import EnrolReport, FaceFinder, Terms, settled
from gallery.enrolment.report import by_reason, nothing_accepted
from gallery.enrolment.settling import person_of, profile_of
from gallery.enrolment.shots import Album, look
from gallery.enrolment.sitting import follow
from gallery.errors import NoPhotoAccepted, PhotoRefused
from gallery.people import Profile
from gallery.storage.store import PersonStore
from recognition.errors import EmbeddingUnusable
from recognition.image import Image


async def enrol_pictures(
    who: str | Profile,
    source: Path,
    pictures: AsyncIterator[tuple[Path, Image]],
    finder: FaceFinder,
    store: PersonStore,
    terms: Terms,
    looked: Callable[[], None] = lambda: None,
) -> EnrolReport:
    """As enrol(), from pictures one after another with what each is called; `source`: what they are of.

    looked() is called for each. Raises SeveralFaces where nobody is by far the largest in nearly all of them, what
    enrol() raises, and what the pictures do.
    """
    profile = profile_of(who)
    await asyncio.to_thread(person_of, profile, store)  # before anybody has to sit still
    album = Album({}, [], {})
    async for path, image in pictures:
        try:
            album.taken[path] = await look(image, "", finder, terms.gate, terms.pick)
        except (PhotoRefused, EmbeddingUnusable) as error:
            album.refused[path] = error.with_traceback(None)
        looked()
    paths = [*album.taken, *album.refused]
    chosen, refused = follow(album.taken, finder.space, terms.verifying)
    album.refused.update(refused)
    try:
        report = await settled(profile, album, paths, finder, store, terms, chosen)
    except NoPhotoAccepted as error:
        told = by_reason(error.refused, source)
        raise NoPhotoAccepted(nothing_accepted(told), told) from None
    return report.told_as(by_reason(report.refused, source))
