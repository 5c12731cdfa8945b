"""One track's RTP and RTCP packets in, whole pictures out, and what a receiver report says of it.

On the loop; no socket and no clock of its own: each call is given the moment.
"""

from collections.abc import Callable
from dataclasses import dataclass

from streamer.ingest.packet_reader import Instant
from streamer.ingest.publish.publication import EncodedPicture
from streamer.ingest.rtp.description import TrackDescription


@dataclass(slots=True)
class PacketCounts:
    """What became of a track's packets.

    lost: given up. late: came after that, and is of no use. refused: no RTP, of another payload type, or of a kind that
    is not taken.
    """

    received: int = 0
    lost: int = 0
    late: int = 0
    duplicate: int = 0
    refused: int = 0


class TrackReceiver:
    """Of one SETUP of one track."""

    def __init__(self, track: TrackDescription, put: Callable[[EncodedPicture], None], *, reorders: bool) -> None:
        """put: as Publication has it. reorders: the transport may (UDP): packets are put in order first."""
        raise NotImplementedError
        self.counts = PacketCounts()
        self.said_bye = False  # by RTCP: nothing more comes

    def rtp(self, packet: bytes, at: Instant) -> None:
        """One packet, whole, as it came. Never raises, whatever is in it."""
        raise NotImplementedError

    def rtcp(self, packet: bytes, at: Instant) -> None:
        """One compound packet. Never raises."""
        raise NotImplementedError

    def tick(self, now_s: float) -> None:
        """Gives up on what has not come in time: call it every 20 ms or so where `reorders`; monotonic time."""
        raise NotImplementedError

    def receiver_report(self, now_s: float) -> bytes | None:
        """An RR with an SDES to send every 5 s or so; None before the first packet has come."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing more comes: what is whole is put now."""
        raise NotImplementedError
