"""A wrong name on a kept visit -> the right one, or nobody's; and the face is not taken for the former person again.

On the event loop; visits and the gallery are touched on threads.
"""

from dataclasses import dataclass, replace

from gallery.errors import PersonNotFound
from gallery.people import KeptNegative, Person
from gallery.storage.store import PersonStore
from recognition.errors import CodedError
from recognition.recogniser import Recogniser
from streamer.api.gallery_desk import GalleryDesk
from streamer.enrolment.visit import event_sources, take_away
from streamer.people.negative_faces import Unlike, of_visit
from streamer.people.studio import Studio
from streamer.review.decisions import Decisions


@dataclass(frozen=True, slots=True)
class Corrected:
    """`removed`: photos of the former person that were made of the visit. `negative`: the face, as one that is not the
    former person's; else, where one was wanted, `why` there is none. `taken_back`: so many negatives of whose it is now
    were made of the visit, and are erased.
    """

    removed: int = 0
    negative: KeptNegative | None = None
    why: str | None = None
    taken_back: int = 0


@dataclass(frozen=True, slots=True)
class Correction:
    """A visit that named `former` (an id; None: nobody) is `person`'s (an id or name; None: nobody's who is enrolled).
    What was enrolled of it is taken from the former; is_unlike: and its face becomes a negative.
    """

    event_id: str
    camera: str
    former: str | None
    person: str | None
    is_unlike: bool


async def correct(said: Correction, decisions: Decisions, desk: GalleryDesk, studio: Studio, actor: str) -> Corrected:
    """Raises KeptVisitsError, GalleryError, PersonNotFound and PersonAmbiguous: nothing is said of the visit. To be
    called within turn().
    """

    def told(store: PersonStore) -> tuple[Person | None, Person | None]:
        person = None if said.person is None else store.find(said.person)
        former = None if said.former is None else store.lookup(said.former)
        details = {"event_id": said.event_id, "camera": said.camera, "former": said.former}
        store.record("visit_corrected", None if person is None else person.id, details)
        return person, former

    person, former = await desk.run(actor, told)
    if former is None or (person is not None and person.id == former.id):
        return Corrected(taken_back=await decisions.name_visits([said.event_id], person, actor, said.former))
    # The name comes last: where this is cut off, whoever says it again finds the former one's, and all is done.
    done = await _taken_from(former, said, desk, studio, actor)
    try:
        return replace(done, taken_back=await decisions.name_visits([said.event_id], person, actor, said.former))
    except PersonNotFound:  # forgotten just now, and this is a face of theirs
        await desk.run(
            actor, lambda store: store.remove_negatives_of(former.id, event_sources([said.event_id])), is_rest=True
        )
        raise


async def _taken_from(former: Person, said: Correction, desk: GalleryDesk, studio: Studio, actor: str) -> Corrected:
    """What the former person had of the visit goes, and its face is kept as not theirs, if it can be."""
    removed = 0
    try:
        removed = await desk.run(
            actor, lambda store: take_away(store, former.id, said.event_id, studio.settings), is_rest=True
        )
        made = await _unlike(said.event_id, former, desk, studio, actor) if said.is_unlike else None
    except CodedError as error:  # the name is corrected in any case
        return Corrected(removed, why=str(error))
    return Corrected(removed, made)


async def _unlike(event_id: str, former: Person, desk: GalleryDesk, studio: Studio, actor: str) -> KeptNegative:
    async def networks() -> Recogniser:
        return studio.recogniser

    async with studio.alone, studio.few, desk.own(actor) as store:
        if store.lookup(former.id) is None:
            raise PersonNotFound(f"{former.id} was forgotten just now")
        unlike = Unlike(former, studio.settings, store, studio.recogniser.manager, networks)
        made = await of_visit(unlike, event_id)
    return await desk.run(actor, lambda own: own.add_negative(former.id, made), is_rest=True)
