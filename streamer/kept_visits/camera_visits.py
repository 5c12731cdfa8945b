"""One camera's visits as they are kept: what its path tells, on the loop, of faces, events and tracks that are over.

Nothing here waits, and all that is said back is an event's `snapshot`. A camera that keeps no visits has none of it.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from recognition.arrays import F32
from recognition.image import Image
from streamer.events.event import Due, IdentityEvent
from streamer.events.hand_over import moved, set_since_s
from streamer.kept_visits.jobs import Gone, Refused, Seen, Told
from streamer.kept_visits.visit import VisitFace, people_of
from streamer.kept_visits.writer import QUEUE_FULL, VisitsWriter
from streamer.telemetry.metrics import Metrics

CLEARLY_BETTER = 1.25  # a grade this much above the last chip's is worth another one: it wobbles by itself
FAR_BETTER = 2.0  # the same of the scene, which costs ten times as much and shows the same
_MOST_HELD = 50  # messages of a visit that is not kept, and may be once it has a name


@dataclass(slots=True, eq=False)
class _Track:
    """taken: it is being kept. refused: nothing of it is to be. held: what was told while it was not taken."""

    number: int
    chip_quality: float = 0.0
    scene_quality: float = 0.0
    taken: bool = False
    refused: bool = False
    unwanted: bool = False
    people: frozenset[str] = frozenset()
    held: list[IdentityEvent] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a camera's visits are asked by. steady_s: a moment of time.monotonic() on the clock that ages go by."""

    writer: VisitsWriter
    metrics: Metrics
    keeps_unknown: bool
    number: Callable[[], int]
    is_enrolled: Callable[[str], bool]
    signature_of: Callable[[str], str]
    steady_s: Callable[[float], float]
    now: Callable[[], float]
    unix_s: Callable[[], float]


class CameraVisits:
    """Made by VisitKeeper.camera() alone."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._writer = around.writer
        self._tracks: dict[str, _Track] = {}

    def seen(
        self, track_id: str, image: Image, landmarks: F32, quality: float, embedding: F32, model: str, space: str
    ) -> None:
        """A good face of a track that goes on: its landmarks (5,2) px, its unit embedding (d,) by this model."""
        track = self._track(track_id)
        if track.refused or track.unwanted or self._writer.refusal:
            return
        face = VisitFace(embedding, quality, space, self._around.signature_of(model))
        is_scene = quality > FAR_BETTER * track.scene_quality
        if quality > CLEARLY_BETTER * track.chip_quality and self._writer.put(
            Seen(track.number, face, landmarks, image, is_scene)
        ):
            track.chip_quality = quality
            track.scene_quality = quality if is_scene else track.scene_quality
        else:
            self._writer.put(Seen(track.number, face, landmarks))

    def told(self, due: Due) -> Due:
        """An event on its way to the outbox; with its `snapshot` where its visit is kept.

        After an `end` the track may go on, as another visit or as somebody of whom nothing is told.
        """
        due = self._kept(due)
        if due.event.type == "end":
            self.gone(due.event.track_ids[0])
        return due

    def _kept(self, due: Due) -> Due:
        event = due.event
        track = self._track(event.track_ids[0])
        if track.refused:
            return due
        named = people_of([event])
        track.people |= named
        track.unwanted = event.person is None and not self._around.keeps_unknown
        if track.unwanted or not all(map(self._around.is_enrolled, named)):
            self._put_off(track, due)
            return due
        if refusal := self._writer.refusal or self._take(track, due):
            self._around.metrics.visits_lost.labels(code=refusal).inc()
            self._refuse(track)
            return due
        return replace(due, event=event.model_copy(update={"snapshot": event.event_id}))

    def gone(self, track_id: str) -> None:
        """A track is over; its `end`, if it has one, was told."""
        track = self._tracks.pop(track_id, None)
        if track is not None and not track.refused:
            self._writer.put(Gone(track.number))

    def forget(self, person_ids: Collection[str]) -> None:
        """Nothing of a visit of theirs is kept from now on, whoever it is told to be later."""
        for track in self._tracks.values():
            if not track.people.isdisjoint(person_ids):
                self._refuse(track)

    def _track(self, track_id: str) -> _Track:
        found = self._tracks.get(track_id)
        if found is None:
            found = self._tracks[track_id] = _Track(self._around.number())
        return found

    def _take(self, track: _Track, due: Due) -> str:
        """Hand over what was told; why not, if it was not taken."""
        held = [event for event in track.held if all(map(self._around.is_enrolled, people_of([event])))]
        event, began_s = due.event, None
        if due.captured_s is not None:
            began_s = self._around.steady_s(due.captured_s) - (event.captured_at - event.first_seen_at)
        if not self._writer.put(Told(track.number, (*held, self._by_the_clock(due)), began_s)):
            return QUEUE_FULL
        track.taken, track.held = True, []
        return ""

    def _put_off(self, track: _Track, due: Due) -> None:
        """It is not to be kept as long as it is nobody's; what was kept of it goes."""
        if track.taken or track.chip_quality:
            self._writer.put(Refused(track.number))
        track.taken, track.chip_quality, track.scene_quality = False, 0.0, 0.0
        track.held = [*track.held[: _MOST_HELD - 1], self._by_the_clock(due)]

    def _refuse(self, track: _Track) -> None:
        if not track.refused:
            self._writer.put(Refused(track.number))
        track.refused, track.taken, track.held = True, False, []

    def _by_the_clock(self, due: Due) -> IdentityEvent:
        """As the outbox tells it: the picture may be older than the last step of the wall clock."""
        event, around = due.event, self._around
        if due.captured_s is None:
            return event
        late_s = around.now() - around.steady_s(due.captured_s)
        return moved(event, set_since_s(event.captured_at, around.unix_s(), late_s))
