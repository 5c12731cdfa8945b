"""The lifecycle of an identity event: new, update, end, once per visit of a person to a camera.

Tracks and what the gallery says of them go in; events that are due come out, and nothing for what was said
already. A verdict is by one embedder, so an event is too; similarities of two are never compared. Pure apart from
its own state: no I/O, no clock. Runs on the loop.
"""

from collections.abc import Callable, Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from ulid import ULID

from gallery.matching.decide import NOBODY, Candidate, Match
from recognition.arrays import F32
from streamer.events.event import (
    Decision,
    Due,
    EndReason,
    EventType,
    FrameSize,
    IdentityEvent,
    LatencyMs,
    Models,
    Person,
    PossiblePerson,
)
from streamer.events.forgotten import UNKNOWN, event_as_unknown
from streamer.pipeline.tracking import KeptFace, Track
from streamer.settings import EventsSettings

HYSTERESIS = 0.05  # a name that was given is taken back only when its similarity falls this far under


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """The frame in which something was decided: when it was captured (Unix s, and on the frames' clock), its size, and
    where its time went.

    stream_late_ms: how late its stream was; None for a clip.
    """

    captured_at: float
    captured_s: float
    width: int
    height: int
    latency: LatencyMs
    stream_late_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gallery says of a track: the match, the threshold it was held to, the confidence in it.

    faces: those that voted, all of one embedder; models: what made them. space: that of the similarity; of an ensemble
    whose members have to agree, it may be another member's the next time. ignored: who is known and never told of.
    """

    match: Match
    threshold: float
    confidence: float | None
    models: Models
    faces: Sequence[KeptFace]
    space: str = ""
    ignored: AbstractSet[str] = frozenset()

    @property
    def is_ignored(self) -> bool:
        """Whether it is on people alone of whom nothing is told."""
        match = self.match
        whose = {match.person_id} if match.outcome == "known" else {one.person_id for one in match.candidates}
        return bool(whose) and whose <= self.ignored


@dataclass(slots=True, eq=False)
class _Visit:
    track: Track
    event_id: str
    seq: int = 0
    last: IdentityEvent | None = None
    last_s: float = 0.0  # when the deciding frame of `last` was captured
    undecided: tuple[Verdict, Moment, F32] | None = None
    hushed: str | None = None  # of whom nothing is told, while it is that person's
    # By embedder and space: what a later similarity of the same has to exceed to be worth telling.
    heard: dict[tuple[str, str], float] = field(default_factory=dict)

    @property
    def person_id(self) -> str | None:
        return self.last.person.id if self.last and self.last.person else None

    @property
    def decision(self) -> Decision | None:
        return self.last.decision if self.last else None

    @property
    def told_of(self) -> set[str]:
        """Whom the last message names, or has in mind."""
        if self.last is None:
            return set()
        return {self.last.person.id} if self.last.person else {one.id for one in self.last.candidates}


class Visits:
    """The open visits of one camera; a visit is one track."""

    def __init__(
        self, camera: str, rules: EventsSettings, min_quality: float, new_id: Callable[[], str] = lambda: str(ULID())
    ) -> None:
        self._camera = camera
        self._rules = rules
        self._min_quality = min_quality
        self._new_id = new_id
        self._open: dict[str, _Visit] = {}

    def consider(self, track: Track, verdict: Verdict, moment: Moment, box: F32) -> list[Due]:
        """A track's votes were counted: what is there to say? Marks the track settled once its identity is."""
        if self._is_poor(verdict):
            verdict = replace(verdict, match=replace(verdict.match, outcome="unknown", person_id=None, candidates=()))
        visit = self._open.get(track.id)
        if visit is None:
            visit = self._open[track.id] = _Visit(track, self._new_id())
        if verdict.is_ignored:
            is_sure = len(verdict.faces) >= self._rules.faces_to_name
            if is_sure or (visit.last is None and _stood_s(track) >= self._rules.settle_s):
                return self._hush(visit, verdict)
            if visit.last is None:  # by so few faces it may be somebody else: it is looked at on
                visit.undecided = None
                return []
        if visit.hushed is not None:
            if _is_still(visit.hushed, verdict):
                return []
            visit.hushed = None
        if visit.last is None:
            return self._first(visit, verdict, moment, box)
        return self._changed(visit, verdict, moment, box)

    def close(self, track: Track, reason: EndReason) -> list[Due]:
        """The person is gone. A visit too short to have been settled is told now, if there were faces enough."""
        visit = self._open.pop(track.id, None)
        if visit is None:
            return []
        due: list[Due] = []
        if visit.last is None and visit.undecided:
            verdict, moment, box = visit.undecided
            if len(verdict.faces) >= self._rules.faces_to_name and not self._is_poor(verdict):
                due = self._say(visit, "new", verdict, moment, box)
        if visit.last is None:
            return due
        return [*due, self._end(visit, reason)]

    def forget(self, person_ids: Collection[str]) -> list[Due]:
        """These people are in the gallery no more: whoever of them is in view goes on as somebody unknown, and is told
        of at once.

        That message has no previous person and goes to `unknown` alone: who was there is not said any more.
        """
        due: list[Due] = []
        for visit in self._open.values():
            if visit.undecided is not None:
                verdict, moment, box = visit.undecided
                visit.undecided = unnamed(verdict, person_ids), moment, box
            if visit.hushed in person_ids:
                visit.hushed = None
            if visit.last is None or visit.told_of.isdisjoint(person_ids):
                continue
            visit.seq += 1
            changes = {"seq": visit.seq, "type": "update", "previous_person": None}
            seen, visit.last_s = _as_last_seen(visit, visit.last)
            visit.last = event_as_unknown(seen, person_ids).model_copy(update=changes)
            visit.track.named = False
            visit.heard = {}
            due.append(Due(visit.last, (UNKNOWN,), visit.last_s))
        return due

    def said_of(self, track: Track) -> IdentityEvent | None:
        """The last event of a track's open visit; None while nothing has been told of it."""
        visit = self._open.get(track.id)
        return visit.last if visit else None

    def sightings(self) -> list[tuple[str, float, float]]:
        """(event_id, last sighting in Unix s, and on the frames' clock) of every visit that has been told of."""
        return [(v.event_id, *_last_sighting(v, v.last)) for v in self._open.values() if v.last is not None]

    def _is_poor(self, verdict: Verdict) -> bool:
        """Whether no face that voted was good enough to give anybody a name."""
        return max(face.quality for face in verdict.faces) < self._min_quality

    def _first(self, visit: _Visit, verdict: Verdict, moment: Moment, box: F32) -> list[Due]:
        rules, track = self._rules, visit.track
        faces = len(verdict.faces)
        named = verdict.match.outcome == "known" and faces >= rules.faces_to_name
        enough = faces >= rules.faces_to_settle and not self._is_poor(verdict)
        settled = enough or _stood_s(track) >= rules.settle_s
        if not named and not (settled and track.sightings >= 3):
            visit.undecided = verdict, moment, box
            return []
        return self._say(visit, "new", verdict, moment, box)

    def _changed(self, visit: _Visit, verdict: Verdict, moment: Moment, box: F32) -> list[Due]:
        now, before = _named(verdict), visit.person_id
        if now == before and (now is not None or _is_told(verdict, visit)):
            heard = visit.heard.setdefault(_scale(verdict), verdict.match.similarity)
            surer = now is not None and verdict.match.similarity - heard >= self._rules.surer_by
            return self._say(visit, "update", verdict, moment, box) if surer else []
        if len(verdict.faces) < self._rules.faces_to_name:
            return []
        barely = verdict.match.similarity > verdict.threshold - HYSTERESIS and not verdict.match.is_overruled
        if now is None and barely and verdict.match.best_person in visit.told_of:
            return []
        return self._say(visit, "update", verdict, moment, box)

    def _hush(self, visit: _Visit, verdict: Verdict) -> list[Due]:
        """It is somebody of whom nothing is told: what was told before is over. Anything later is another visit."""
        due = [] if visit.last is None else [self._end(visit, "left")]
        visit.track.settled = visit.track.named = True
        hushed = verdict.match.best_person
        self._open[visit.track.id] = _Visit(visit.track, self._new_id() if due else visit.event_id, hushed=hushed)
        return due

    def _say(self, visit: _Visit, kind: EventType, verdict: Verdict, moment: Moment, box: F32) -> list[Due]:
        before = visit.last
        person_id = _named(verdict)
        changed = kind == "update" and visit.person_id != person_id
        visit.seq += 1
        visit.undecided = None
        visit.heard = {_scale(verdict): verdict.match.similarity}
        track, match = visit.track, verdict.match
        track.settled, track.named = True, person_id is not None
        visit.last = IdentityEvent(
            event_id=visit.event_id,
            seq=visit.seq,
            type=kind,
            camera=self._camera,
            cameras=[self._camera],
            track_ids=[track.id],
            person=Person(id=person_id) if person_id else None,
            previous_person=before.person if before and changed else None,
            similarity=None if match == NOBODY else _rounded(match.similarity),
            threshold=_rounded(verdict.threshold),
            confidence=None if verdict.confidence is None else _rounded(verdict.confidence),
            margin=None if match.margin is None else _rounded(match.margin),
            quality=_rounded(max(face.quality for face in verdict.faces)),
            box=pixels(box, moment.width, moment.height),
            frame=FrameSize(width=moment.width, height=moment.height),
            # The wall clock may have been set since.
            first_seen_at=moment.captured_at - (moment.captured_s - track.first_seen_s),
            captured_at=moment.captured_at,
            latency_ms=moment.latency,
            stream_late_ms=moment.stream_late_ms,
            model=verdict.models,
            decision=_decision(verdict),
            candidates=tuple(
                PossiblePerson(id=one.person_id, similarity=_rounded(one.similarity)) for one in _candidates(verdict)
            ),
        )
        levels = [person_id or UNKNOWN]
        if changed:
            levels.insert(0, before.person.id if before and before.person else UNKNOWN)
        visit.last_s = moment.captured_s
        return [Due(visit.last, tuple(levels), moment.captured_s)]

    def _end(self, visit: _Visit, reason: EndReason) -> Due:
        assert visit.last is not None
        visit.seq += 1
        seen, captured_s = _as_last_seen(visit, visit.last)
        changes = {"seq": visit.seq, "type": "end", "previous_person": None, "end_reason": reason}
        return Due(seen.model_copy(update=changes), (visit.person_id or UNKNOWN,), captured_s)


def _stood_s(track: Track) -> float:
    return track.last_seen_s - track.first_seen_s


def _as_last_seen(visit: _Visit, last: IdentityEvent) -> tuple[IdentityEvent, float]:
    """The visit's last event as of its last sighting, and when that was on the frames' clock."""
    captured_at, captured_s = _last_sighting(visit, last)
    first_seen_at = captured_at - (captured_s - visit.track.first_seen_s)
    return last.model_copy(update={"first_seen_at": first_seen_at, "captured_at": captured_at}), captured_s


def unnamed(verdict: Verdict, person_ids: Collection[str]) -> Verdict:
    """The verdict, where it is on one of these people: that it is nobody enrolled."""
    match = verdict.match
    whose = {match.person_id, match.best_person, *(one.person_id for one in match.candidates)}
    if whose.isdisjoint(person_ids):
        return verdict
    return replace(verdict, match=NOBODY, confidence=None)


def _last_sighting(visit: _Visit, last: IdentityEvent) -> tuple[float, float]:
    """Unix s, and on the frames' clock; a track may be judged once more in a frame that does not show it."""
    track = visit.track
    if track.last_seen_s >= visit.last_s:
        return track.last_seen_at, track.last_seen_s
    return last.captured_at, visit.last_s


def _named(verdict: Verdict) -> str | None:
    return verdict.match.person_id if verdict.match.outcome == "known" else None


def _candidates(verdict: Verdict) -> list[Candidate]:
    """Whom it may be, of those who may be told of."""
    return [one for one in verdict.match.candidates if one.person_id not in verdict.ignored]


def _decision(verdict: Verdict) -> Decision:
    """As it is told: nothing is in doubt between people of whom nothing is told."""
    outcome = verdict.match.outcome
    return "unknown" if outcome == "ambiguous" and not _candidates(verdict) else outcome


def _is_told(verdict: Verdict, visit: _Visit) -> bool:
    """Whether the last message, which names nobody, says the same; of a doubt: has the nearest in mind."""
    candidates = _candidates(verdict)
    return _decision(verdict) == visit.decision and (not candidates or candidates[0].person_id in visit.told_of)


def _is_still(hushed: str, verdict: Verdict) -> bool:
    """Whether it may well be that person still, as a name that was given is kept."""
    match = verdict.match
    if match.outcome == "known":
        return match.person_id in verdict.ignored
    near = match.best_person == hushed and match.similarity > verdict.threshold - HYSTERESIS
    return hushed in verdict.ignored and (near or hushed in {one.person_id for one in match.candidates})


def _scale(verdict: Verdict) -> tuple[str, str]:
    """Similarities of one scale may be compared."""
    return verdict.models.embedder, verdict.space


def _rounded(value: float) -> float:
    return round(float(value), 4)


def pixels(box: F32, width: int, height: int) -> tuple[int, int, int, int]:
    """A box cut to the picture."""
    x1, y1, x2, y2 = (round(float(edge)) for edge in box)
    return min(max(x1, 0), width), min(max(y1, 0), height), min(max(x2, 0), width), min(max(y2, 0), height)
