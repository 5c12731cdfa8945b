"""What somebody decides on a cluster: it is a person, new or enrolled, it is ignored, or erased.

On the event loop; visits and the gallery are touched on threads. A decision is on the visits that were shown: those
that were erased since are left out, and where one is somebody's by now nothing is done.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from gallery.enrolment.enrol import EnrolReport
from gallery.enrolment.enrol import Whom as EnrolledAs
from gallery.errors import PersonNotFound
from gallery.people import Person, name_key
from streamer.api.gallery_desk import GalleryDesk
from streamer.api.streaming.live_events import LiveEvents
from streamer.api.streaming.visit_news import news_of
from streamer.enrolment.visit import event_sources
from streamer.kept_visits.visit import Said
from streamer.kept_visits.visits_file import VisitsFile
from streamer.people.studio import Studio
from streamer.review.desk import ReviewDesk
from streamer.review.errors import ClusterChanged, ClusterNotFound

_Whose = Mapping[str, tuple[bool, Said | None]]


@dataclass(frozen=True, slots=True)
class Whom:
    """Whose a cluster is: the name of somebody new, or `person`, an id or name of who is enrolled. enrols: by the best
    faces; force: also somebody who looks like a person of another name.
    """

    name: str | None
    person: str | None
    enrols: bool = True
    force: bool = False


@dataclass(frozen=True, slots=True)
class NamedCluster:
    """`report`: None where nobody had to be enrolled by it: it was done before, or not asked for. `taken_back`: so
    many negatives of the person were made of these visits, and are erased.
    """

    person: Person
    event_ids: tuple[str, ...]
    report: EnrolReport | None
    taken_back: int = 0


class Decisions:
    """Each is on the members of a cluster, told to the audit log under `actor` and to `live`, and the same where it is
    repeated: one that was cut off goes on where it was.
    """

    def __init__(self, desk: GalleryDesk, studio: Studio, review: ReviewDesk, live: LiveEvents) -> None:
        self._desk = desk
        self._studio = studio
        self._review = review
        self._live = live

    async def name(
        self, cluster_id: str, whom: Whom, actor: str, *, without: Collection[str] = (), as_now: bool = False
    ) -> NamedCluster:
        """Enrol whom it shows, and name its visits, those aside that are `without`. Raises what enrolling does."""
        async with self._review.turn():
            members = await self._review.members(cluster_id, as_now=as_now)
            wanted = [event_id for event_id in members if event_id not in without]
            whose = await self._kept(cluster_id, wanted)
            if (done := await self._named_before(whose, whom, actor)) is not None:
                return NamedCluster(done, tuple(whose), None, await self._taken_back(list(whose), done, actor))
            _open(cluster_id, whose)
            report, person = await self._enrolled(list(whose), whom, actor)
            details = {"cluster": cluster_id, "visits": len(whose)}
            await self._record(actor, "visits_named", person.id, details, is_rest=True)
            back = await self.name_visits(list(whose), person, actor) + (0 if report is None else report.taken_back)
            return NamedCluster(person, tuple(whose), report, back)

    async def ignore(self, cluster_id: str, actor: str, *, as_now: bool = False) -> None:
        """It is not shown any more, nor whoever is found to be the same, as long as one of its visits is kept."""
        async with self._review.turn():
            event_ids = await self._review.members(cluster_id, as_now=as_now)
            whose = await self._kept(cluster_id, event_ids)
            if all(said is not None and said.is_ignored for _, said in whose.values()):
                return
            _open(cluster_id, whose, but_ignored=True)
            await self._record(actor, "visits_ignored", None, {"cluster": cluster_id, "visits": len(whose)})
            now = time.time()
            await self._review.run(lambda file: file.ignore(list(whose), now), is_rest=True)

    async def review_again(self, cluster_id: str, actor: str, *, as_now: bool = False) -> None:
        """What was ignored of it is so no more."""
        async with self._review.turn():
            event_ids = await self._review.members(cluster_id, as_now=as_now)
            whose = await self._kept(cluster_id, event_ids)
            ignored = [event_id for event_id, (_, said) in whose.items() if said is not None and said.is_ignored]
            if not ignored:
                return
            details = {"cluster": cluster_id, "visits": len(ignored)}
            await self._record(actor, "visits_reviewed_again", None, details)
            await self._review.run(lambda file: file.unignore(ignored), is_rest=True)

    async def erase(self, cluster_id: str, actor: str, *, as_now: bool = False) -> None:
        """Its visits are erased: messages, faces and pictures."""
        async with self._review.turn():
            event_ids = await self._review.members(cluster_id, as_now=as_now)
            whose = await self._review.run(lambda file: file.whose(event_ids))
            if not whose:  # by whoever was faster
                return
            _open(cluster_id, whose, but_ignored=True)
            await self._record(actor, "visits_erased", None, {"cluster": cluster_id, "visits": len(whose)})
            await self._erase(list(whose))

    async def name_visits(
        self, event_ids: Sequence[str], person: Person | None, actor: str, former: str | None = None
    ) -> int:
        """They are this person's from now on; None: nobody's who is enrolled. former: whose they were, an id. How many
        negatives of the person that erased. Raises PersonNotFound where the person was forgotten meanwhile: then
        nothing of these visits stays.
        """
        who = None if person is None else person.id
        now = time.time()

        def named(file: VisitsFile) -> dict[str, list[str]]:
            file.name(event_ids, who, now)
            return file.by_camera(event_ids)

        by_camera = await self._review.run(named, is_rest=True)
        if person is not None:
            # Only now: whoever is forgotten from here on takes them along.
            if await self._desk.run(actor, lambda store: store.lookup(person.id), is_rest=True) is None:
                await self._erase(event_ids)
                raise PersonNotFound(f"{person.id} was forgotten just now, and these visits with them")
            # Or whoever asks for these visits next would be told that the person was forgotten.
            await self._studio.live_gallery.until_enrolled(person.id)
        # Of whom the live gallery knows by now that they were forgotten: they were told of already, and once.
        forgotten = self._studio.live_gallery.forgotten
        self._live.tell(one.without(forgotten) for one in news_of(by_camera, now, who, former))
        return 0 if person is None else await self._taken_back(event_ids, person, actor)

    async def _taken_back(self, event_ids: Sequence[str], person: Person, actor: str) -> int:
        """What was said of these visits before, that they are not this person's: the newer word counts."""
        sources = event_sources(event_ids)
        return await self._desk.run(actor, lambda store: store.remove_negatives_of(person.id, sources), is_rest=True)

    async def _kept(self, cluster_id: str, event_ids: Sequence[str]) -> _Whose:
        whose = await self._review.run(lambda file: file.whose(event_ids))
        if not whose:
            raise ClusterNotFound(
                f"cluster {cluster_id}: no visit of it is left: they are erased by now, or all in `without`; read the "
                "review again"
            )
        return {event_id: whose[event_id] for event_id in event_ids if event_id in whose}

    async def _named_before(self, whose: _Whose, whom: Whom, actor: str) -> Person | None:
        """Who it is, where somebody has said the very same of all of them."""
        ids = {said.person_id if said is not None and said.is_named else None for _, said in whose.values()}
        (known, *others) = ids
        if known is None or others:
            return None
        person = await self._desk.run(actor, lambda store: store.lookup(known))
        if person is None:
            return None
        if whom.name is not None:
            return person if name_key(person.name) == name_key(whom.name) else None
        asked = await self._desk.run(actor, lambda store: store.find(whom.person or ""))
        return person if asked.id == person.id else None

    async def _enrolled(self, event_ids: Sequence[str], whom: Whom, actor: str) -> tuple[EnrolReport | None, Person]:
        which: EnrolledAs = "somebody new"
        who = whom.name
        if who is None:
            person = await self._desk.run(actor, lambda store: store.find(whom.person or ""))
            if not whom.enrols:
                return None, person
            who, which = person.id, "who is enrolled"
        best = await self._review.best(event_ids)
        async with self._studio.few, self._desk.own(actor) as store:
            report = await self._studio.enrol_visits(who, best, store, which, force=whom.force, all_of_them=event_ids)
        return report, report.person

    async def _record(
        self, actor: str, action: str, who: str | None, details: Mapping[str, object], *, is_rest: bool = False
    ) -> None:
        await self._desk.run(actor, lambda store: store.record(action, who, details), is_rest=is_rest)

    async def _erase(self, event_ids: Sequence[str]) -> None:
        def erased(file: VisitsFile) -> dict[str, list[str]]:
            by_camera = file.by_camera(event_ids)
            file.erase(event_ids)
            file.tidy()
            return by_camera

        self._live.tell(news_of(await self._review.run(erased, is_rest=True), time.time(), is_erased=True))


def _open(cluster_id: str, whose: _Whose, *, but_ignored: bool = False) -> None:
    """Raises ClusterChanged where one of them was decided on already."""
    for event_id, (is_known, said) in whose.items():
        if is_known or (said is not None and said.is_ignored and not but_ignored):
            what = "is somebody's by now" if is_known else "is ignored by now"
            raise ClusterChanged(
                f"cluster {cluster_id}: visit {event_id} {what}; nothing was done: read the review again"
            )
