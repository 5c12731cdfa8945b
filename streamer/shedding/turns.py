"""Whose turn it is: cameras that wait for a place in, the next one out. Pure: times come as arguments, s.

Start-time fair queueing (Goyal, Vin & Cheng 1996): a camera's turn begins at a moment of virtual time, its next one
the later the smaller its weight; the earliest is next. Who asks for little has its turn at once, who did not ask
gathers no turns.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

# Of the mean share, what is left to a camera on which nobody is seen: the rest is for those on which somebody is.
LEAST_SHARE = 0.6
_ASKS_S = 2.0  # who asked so short a time ago asks still
# Faces that are seen more rarely can't be followed from one frame to the next: then a camera has its turns in a row.
_LONGEST_ROUND_S = 0.5
_IN_A_ROW = 5  # turns; a name takes three frames


class Need(IntEnum):
    """What a camera's frames are wanted for: nobody is seen, all who are seen are known, somebody is not known yet."""

    NOBODY = 0
    KNOWN = 1
    UNKNOWN = 2


@dataclass(slots=True)
class _Account:
    starts: float
    ends: float
    asked_s: float
    need: Need = Need.NOBODY


@dataclass(slots=True)
class _Row:
    """Whose turns come in a row now, and how many are left."""

    name: str
    left: int = _IN_A_ROW


class FairTurns:
    """Turns of cameras by name. A camera asks for one at a time."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}
        self._now = 0.0  # virtual time
        self._given_s: deque[float] = deque(maxlen=16)
        self._row: _Row | None = None

    def ask(self, name: str, now_s: float) -> None:
        """It has a frame to be worked on."""
        account = self._accounts.setdefault(name, _Account(self._now, self._now, now_s))
        account.starts, account.asked_s = max(self._now, account.ends), now_s

    def next(self, waiting: Mapping[str, Need], now_s: float) -> str:
        """Of those that have asked and wait, whose turn it is. Raises ValueError where nobody waits."""
        for name, need in waiting.items():
            self._accounts[name].need, self._accounts[name].asked_s = need, now_s
        first = min(waiting, key=lambda name: self._accounts[name].starts)
        asking = [one for one in self._accounts.values() if now_s - one.asked_s <= _ASKS_S]
        chosen = self._in_a_row(waiting, first, len(asking), now_s)
        if self._row is not None and chosen == self._row.name:
            self._row.left -= 1
        account = self._accounts[chosen]
        self._now = max(self._now, self._accounts[first].starts)
        account.ends = account.starts + 1.0 / (_weight(asking) if account.need else 1.0)
        self._given_s.append(now_s)
        return chosen

    def forget(self, name: str) -> None:
        """It is no camera any more."""
        self._accounts.pop(name, None)

    def _in_a_row(self, waiting: Mapping[str, Need], first: str, asking: int, now_s: float) -> str:
        """The camera that has its turns in a row, where rounds take too long; else first.

        Another one may go in between while that camera has no frame.
        """
        if not self._given_s or asking * (now_s - self._given_s[0]) <= _LONGEST_ROUND_S * len(self._given_s):
            self._row = None
            return first
        row = self._row
        if row is not None and row.left and self._asks_for_unknown(row.name, now_s):
            return row.name if row.name in waiting else first
        self._row = _Row(first) if waiting[first] == Need.UNKNOWN else None
        return first

    def _asks_for_unknown(self, name: str, now_s: float) -> bool:
        account = self._accounts.get(name)
        return account is not None and account.need == Need.UNKNOWN and now_s - account.asked_s <= _LONGEST_ROUND_S


def _weight(asking: list[_Account]) -> float:
    """Of a camera with faces, where one without weighs 1: just so that this has LEAST_SHARE of the mean.

    Of n cameras k have faces and weigh w: one without gets 1 / (k w + n - k) of all, and the mean is 1 / n.
    """
    count, faces = len(asking), sum(one.need > Need.NOBODY for one in asking)
    if not 0 < faces < count:
        return 1.0
    return (count / LEAST_SHARE - (count - faces)) / faces
