"""Whose turn it is: cameras that wait for a place in, the next one out. Pure: times come as arguments, s.

Start-time fair queueing (Goyal, Vin & Cheng 1996): a camera's turn begins at a moment of virtual time, its next one
the later the smaller its weight; the earliest is next. Who asks for little has its turn at once, who did not ask
gathers no turns.
"""

from collections.abc import Mapping
from dataclasses import dataclass

# Of the mean share, what is left to a camera on which nobody is seen: the rest is for those on which somebody is.
LEAST_SHARE = 0.6
_ASKS_S = 2.0  # who asked so short a time ago asks still


@dataclass(slots=True)
class _Account:
    starts: float
    ends: float
    asked_s: float
    has_faces: bool = False


class FairTurns:
    """Turns of cameras by name. A camera asks for one at a time."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}
        self._now = 0.0  # virtual time

    def ask(self, name: str, now_s: float) -> None:
        """It has a frame to be worked on."""
        account = self._accounts.setdefault(name, _Account(self._now, self._now, now_s))
        account.starts, account.asked_s = max(self._now, account.ends), now_s

    def next(self, waiting: Mapping[str, bool], now_s: float) -> str:
        """Of those that have asked and wait, whose turn it is; each with whether somebody is seen there.

        Raises ValueError where nobody waits.
        """
        for name, has_faces in waiting.items():
            self._accounts[name].has_faces, self._accounts[name].asked_s = has_faces, now_s
        chosen = min(waiting, key=lambda name: self._accounts[name].starts)
        account = self._accounts[chosen]
        self._now = account.starts
        account.ends = account.starts + 1.0 / (self._weight(now_s) if account.has_faces else 1.0)
        return chosen

    def forget(self, name: str) -> None:
        """It is no camera any more."""
        self._accounts.pop(name, None)

    def _weight(self, now_s: float) -> float:
        """Of a camera with faces, where one without weighs 1: just so that this has LEAST_SHARE of the mean.

        Of n cameras k have faces and weigh w: one without gets 1 / (k w + n - k) of all, and the mean is 1 / n.
        """
        asking = [one for one in self._accounts.values() if now_s - one.asked_s <= _ASKS_S]
        count, faces = len(asking), sum(one.has_faces for one in asking)
        if not 0 < faces < count:
            return 1.0
        return (count / LEAST_SHARE - (count - faces)) / faces
