"""Which topics the broker takes nothing on, when each is tried again, and which message costs the connection.

Topics go in, names of the guilty come out. Pure but for a clock; lives longer than a connection.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

TRY_AGAIN_S = 10.0
TOLD_JUST_NOW_S = 2.0
SHOWN = 3


@dataclass(slots=True)
class _Refused:
    why: str
    try_at_s: float


class Refusals:
    """The topics that are set aside. Each is tried again every TRY_AGAIN_S; once one is taken, all are."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._refused: dict[str, _Refused] = {}

    def __contains__(self, topic: str) -> bool:
        return topic in self._refused

    def __len__(self) -> int:
        return len(self._refused)

    @property
    def topics(self) -> frozenset[str]:
        return frozenset(self._refused)

    def refuse(self, topic: str, why: str) -> bool:
        """Set a topic aside, or put its next try off; True where it was not aside."""
        new = self._refused.pop(topic, None) is None  # the one that was tried longest ago comes first
        self._refused[topic] = _Refused(why, self._clock() + TRY_AGAIN_S)
        return new

    def accept(self, topic: str) -> None:
        """It was taken: whatever was mended may have been in the way of the others, too."""
        self._refused.pop(topic, None)
        for refused in self._refused.values():
            refused.try_at_s = self._clock()

    def due(self) -> list[str]:
        """Topics to try again now, the one that was tried longest ago first."""
        now_s = self._clock()
        return [topic for topic, refused in self._refused.items() if refused.try_at_s <= now_s]

    def __str__(self) -> str:
        """One line for people; empty where nothing is refused."""
        if not self._refused:
            return ""
        shown = ", ".join(f"{topic} ({refused.why})" for topic, refused in list(self._refused.items())[:SHOWN])
        more = len(self._refused) - SHOWN
        rest = f" and {more} more" if more > 0 else ""
        topics, them = ("topic", "it") if len(self._refused) == 1 else ("topics", "them")
        return f"the broker refuses {topics} {shown}{rest}: check its ACL and its limits; what is for {them} waits"


@dataclass(slots=True)
class Blame:
    """Finds the message that costs the connection, where the broker does not say which it is.

    All that is on its way when a connection is lost is suspect, and is sent one at a time over the next. Where that is
    lost, too, with one suspect under way, it is this one.
    """

    suspects: set[str] = field(default_factory=set)

    def passed(self, topics: Iterable[str]) -> None:
        """These have done no harm, or are not sent."""
        self.suspects.difference_update(topics)

    def lost(self, under_way: set[str]) -> str | None:
        """The connection is lost with messages for these topics under way; returns the guilty one."""
        if len(under_way) == 1 and under_way <= self.suspects:
            (guilty,) = under_way
            self.suspects.discard(guilty)
            return guilty
        self.suspects = set(under_way)
        return None
