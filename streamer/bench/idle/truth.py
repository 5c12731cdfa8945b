"""What was told against what was so: known walks, visits heard; which were missed, how late the others were told. Pure.

Times are time.time(), s. A walk is the same one in two runs where camera, lap and number are the same.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from streamer.bench.idle.heard import Visit
from streamer.bench.idle.scene import Scene

EARLY_S, LATE_S = 1.5, 2.5  # what a visit may begin before a face is whole, and end after it


@dataclass(frozen=True, slots=True)
class Expected:
    """A walk on one camera. in_view: from its first picture with the whole face to its last.

    is_first: the camera had seen nobody for a while; else somebody was there already.
    """

    camera: str
    lap: int
    number: int
    person: str
    enrolled: bool
    path: int
    is_first: bool
    from_at: float
    until_at: float

    @property
    def key(self) -> tuple[str, int, int]:
        return self.camera, self.lap, self.number


@dataclass(frozen=True, slots=True)
class Clock:
    """When a camera shows what: at `began_at` second `from_s` of its scene, a lap every `lap_s`."""

    began_at: float
    from_s: float
    lap_s: float


def expected(camera: str, scene: Scene, clock: Clock, from_at: float, until_at: float) -> Iterator[Expected]:
    """The walks that begin and end, in view, between these times; of the first lap also those before its beginning."""
    laps = range(max(0, int((until_at - clock.began_at + clock.from_s) / clock.lap_s) + 1))
    for lap in laps:
        start_at = clock.began_at - clock.from_s + lap * clock.lap_s
        for number, seen in enumerate(scene.in_view):
            others = [one for one in scene.walks if one.enter_s < seen.walk.enter_s <= one.leave_s]
            begins_at, ends_at = start_at + seen.from_s, start_at + seen.until_s
            if from_at <= begins_at and ends_at <= until_at:
                walk = seen.walk
                yield Expected(
                    camera, lap, number, walk.person, walk.enrolled, walk.path, not others, begins_at, ends_at
                )


@dataclass(frozen=True, slots=True)
class Matched:
    """told: the visit of each walk that was told; missed: the walks that were not; extra: visits of nobody's."""

    told: Mapping[tuple[str, int, int], tuple[Expected, Visit]]
    missed: Sequence[Expected]
    extra: Sequence[Visit]

    def waits_s(self, *, is_first: bool) -> list[float]:
        """From the first picture with the whole face to the first message, of those who came so."""
        return [
            max(0.0, visit.first_heard_at - walk.from_at)
            for walk, visit in self.told.values()
            if walk.is_first == is_first
        ]

    @property
    def named(self) -> int:
        """How many of those who are enrolled were told by their names, and by no other."""
        return sum(walk.enrolled and visit.names == {walk.person} for walk, visit in self.told.values())

    @property
    def unnamed(self) -> list[Expected]:
        """Those who are enrolled and were told by no name."""
        return [walk for walk, visit in self.told.values() if walk.enrolled and not visit.names]

    @property
    def misnamed(self) -> int:
        return sum(bool(visit.names - {walk.person}) for walk, visit in self.told.values())


def matched(walks: Iterable[Expected], visits: Iterable[Visit], everybody: Iterable[Expected] = ()) -> Matched:
    """Each walk's earliest visit on its camera and path, while it was in view; what is told of nobody is extra.

    everybody: who was there, too, and may be told or not: walks that were cut off by the beginning or the end.
    """
    walks, visits = list(walks), sorted(visits, key=lambda visit: visit.from_at)
    told: dict[tuple[str, int, int], tuple[Expected, Visit]] = {}
    for walk in walks:
        found = next((visit for visit in visits if _is_of(visit, walk)), None)
        if found is not None:
            told[walk.key] = (walk, found)
    missed = [walk for walk in walks if walk.key not in told]
    there = [*walks, *everybody]
    return Matched(told, missed, [visit for visit in visits if not any(_is_of(visit, walk) for walk in there)])


def _is_of(visit: Visit, walk: Expected) -> bool:
    return (
        visit.camera == walk.camera
        and int(visit.height_share > 0.5) == walk.path
        and visit.from_at <= walk.until_at + LATE_S
        and visit.until_at >= walk.from_at - EARLY_S
    )


def missed_by_ours(ours: Matched, before: Matched | None) -> int:
    """Walks that the build before told and this one did not; without it, those that this one did not tell."""
    if before is None:
        return len(ours.missed)
    return sum(walk.key in before.told for walk in ours.missed)
