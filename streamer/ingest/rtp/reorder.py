"""Packets in the order in which they were sent; what does not come in time is given up. Pure but for its state.

Over TCP there is nothing to wait for: with a window of 0 s a gap is one at once.
"""

from dataclasses import dataclass
from typing import NamedTuple

from streamer.ingest.packet_reader import Instant
from streamer.ingest.rtp.packet import RtpPacket

WINDOW_S = 0.05
MOST_WAITING = 64
_REMEMBERED = 1024


@dataclass(slots=True)
class PacketCounts:
    """What became of a track's packets.

    lost: given up. late: of those, that came after all, and are of no use. refused: no RTP, of another source or
    payload type, or of a kind that is not taken.
    """

    received: int = 0
    lost: int = 0
    late: int = 0
    duplicate: int = 0
    refused: int = 0


class Ordered(NamedTuple):
    """The next packet, when it came, and whether what was sent before it is missing."""

    packet: RtpPacket
    at: Instant
    is_after_gap: bool


class ReorderBuffer:
    """Goes by sequence numbers that do not wrap."""

    def __init__(self, counts: PacketCounts, window_s: float) -> None:
        self._counts = counts
        self._window_s = window_s
        self._next: int | None = None  # the first one, too, may have been overtaken
        self._waiting: dict[int, tuple[RtpPacket, Instant]] = {}  # as they came
        self._given_up: dict[int, None] = {}

    def push(self, number: int, packet: RtpPacket, at: Instant) -> list[Ordered]:
        """One that came -> those whose turn it is."""
        if number in self._waiting:
            self._counts.duplicate += 1
            return []
        if self._next is not None and number < self._next:
            if number in self._given_up:
                del self._given_up[number]
                self._counts.late += 1
            else:
                self._counts.duplicate += 1
            return []
        self._waiting[number] = packet, at
        return self.tick(at.monotonic_s)

    def tick(self, now_s: float) -> list[Ordered]:
        """Those whose turn it is by now."""
        ready: list[Ordered] = []
        is_after_gap = False
        while self._waiting:
            if self._next is not None and self._next in self._waiting:
                ready.append(Ordered(*self._waiting.pop(self._next), is_after_gap))
                self._next, is_after_gap = self._next + 1, False
                continue
            _, first_came = next(iter(self._waiting.values()))
            if len(self._waiting) < MOST_WAITING and now_s - first_came.monotonic_s < self._window_s:
                break
            is_after_gap = self._skip()
        return ready

    def flush(self) -> list[Ordered]:
        """All that waits: nothing more comes."""
        return self.tick(float("inf"))

    def _skip(self) -> bool:
        """On to the first that is there; whether anything before it is given up."""
        first = min(self._waiting)
        before, self._next = self._next, first
        if before is None:
            return False
        self._counts.lost += first - before
        self._given_up.update(dict.fromkeys(range(max(before, first - _REMEMBERED), first)))
        while len(self._given_up) > _REMEMBERED:
            del self._given_up[next(iter(self._given_up))]
        return True
