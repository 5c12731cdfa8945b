"""How many frames may be worked on at once, so that each is done in time: frames that are done in, a number out.

Pure: times come as arguments, on one clock that only grows, s. Little's law is what it goes by: where the machine is
full, a frame takes as long as there are frames beside it, so that half as many are done twice as soon.
"""

from collections import deque
from dataclasses import dataclass

from streamer.shedding.floor import Floor

# Of the goal: nine of ten frames are to be done within the first share; more are let in only where that leaves them
# within the second. What lies between keeps the number as it is.
_AIM, _ROOM = 0.8, 0.75
_OLDEST = 0.4  # of the goal, the most that counts of what is past when a frame is taken
_LOOKS_BACK_S = 1.0
_LOOKS_EVERY_S = 0.05
_LEAST = 3  # frames that were taken since the number changed, before it becomes smaller again
_MOST = 64  # the same before it becomes larger: as many as are worked on at once, and no more than so many
_GROWS = 1.5  # at most, each time
_SHRINKS = 0.5
_FLOOR = 4  # times as many as fill all batches twice are tried at most where no number keeps the goal
_UNUSED = 2.0  # a number that is not used up comes down to so many times what was used


@dataclass(frozen=True, slots=True)
class Done:
    """A frame that was worked on. beside: how many were when it was taken, itself included; is_whole: down to its
    faces' embeddings, which is what takes longest; faces_s: what these took, from the queue's entry on."""

    captured_s: float
    taken_s: float
    done_s: float
    beside: int
    is_whole: bool
    faces_s: float = 0.0

    @property
    def work_s(self) -> float:
        return self.done_s - self.taken_s


@dataclass(frozen=True, slots=True)
class Goals:
    """event_s: from capture until a frame is done. faces_s: from its faces' entry into the queue to their embeddings;
    None: as long as they like."""

    event_s: float
    faces_s: float | None = None

    def age_s(self, done: Done) -> float:
        """From its capture until it was taken; but what a stream or its decoder is late by, no fewer frames mend."""
        return min(done.taken_s - done.captured_s, _OLDEST * self.event_s)

    def lateness(self, done: Done) -> float:
        """Seconds to hold against event_s: of the goals, that which it came nearest to or missed by most."""
        total_s = self.age_s(done) + done.work_s
        return total_s if self.faces_s is None else max(total_s, done.faces_s * self.event_s / self.faces_s)


class Window:
    """`size`: how many frames of all cameras may be worked on at once.

    least: so many keep every runner busy; fewer would be no use (nor, perhaps, a few more, see Floor). fill: what it
    begins with, and comes back to where little is asked. is_strained: fewer are no use, and a goal is missed.
    """

    def __init__(self, goals: Goals, least: int, fill: int) -> None:
        self.goals = goals
        self.is_strained = False
        self._floor = Floor(max(1, least), _FLOOR * fill)
        self.size = max(1, least, fill)
        self._rest = self.size
        self._changed_s = self._looked_s = float("-inf")
        self._was_full = False
        self._done: deque[Done] = deque(maxlen=512)
        self._most_used = 0
        self._used_since_s = float("-inf")

    def crew(self, least: int, fill: int) -> None:
        """As at the start: another model may serve by now."""
        self._floor.bounds(max(1, least), _FLOOR * fill)
        self._rest = max(1, least, fill)

    def used(self, now_s: float, count: int, *, is_full: bool) -> None:
        """So many are worked on now; is_full: somebody has to wait for a place."""
        self._was_full = self._was_full or is_full
        self._most_used = max(self._most_used, count)
        if is_full:
            self._used_since_s = now_s
        elif now_s - self._used_since_s >= _LOOKS_BACK_S:
            enough = max(self._rest, round(_UNUSED * self._most_used))
            self._used_since_s, self._most_used = now_s, count
            self.size = min(self.size, enough)

    def finished(self, done: Done) -> None:
        """A frame is done: look whether fewer or more are to be let in."""
        self._done.append(done)
        self._floor.finished(done.taken_s, done.done_s)
        if done.done_s - self._looked_s < _LOOKS_EVERY_S:
            return
        self._looked_s = done.done_s
        fresh = [one for one in self._done if one.taken_s >= self._changed_s]
        fresh = [one for one in fresh if done.done_s - one.done_s <= _LOOKS_BACK_S]
        whole = [one for one in fresh if one.is_whole]
        judged = whole if len(whole) >= _LEAST else fresh
        if len(judged) < _LEAST:
            return
        beside, age_s = _mean([one.beside for one in judged]), _mean([self.goals.age_s(one) for one in judged])
        total_s = sorted(self.goals.lateness(one) for one in judged)[int(0.9 * len(judged))]
        work_s = max(total_s - age_s, 1e-6)
        aim_s, room_s = _AIM * self.goals.event_s, _ROOM * self.goals.event_s
        self.is_strained = self.size <= self._floor.size and total_s > self.goals.event_s
        self._floor.look(done.done_s, is_missed=self.is_strained, is_kept=total_s <= aim_s)
        if self.is_strained and self.size != self._floor.size:
            self.size, self._changed_s = self._floor.size, done.done_s
            return
        if total_s > aim_s:
            fits = beside * max(_SHRINKS, (aim_s - age_s) / work_s)
            self._become(min(self.size - 1, int(fits)), done.done_s)
        elif self._was_full and len(fresh) >= min(self.size, _MOST):
            fits = beside * (room_s - age_s) / work_s
            self._become(min(int(fits), max(self.size + 1, int(_GROWS * self.size))), done.done_s, grows=True)

    def _become(self, size: int, now_s: float, *, grows: bool = False) -> None:
        size = max(self._floor.size, size)
        if (size > self.size) if grows else (size < self.size):
            self.size, self._changed_s, self._was_full = size, now_s, False


def _mean(values: list[float] | list[int]) -> float:
    return sum(values) / len(values)
