"""One track's RTP and RTCP packets in, whole pictures out, and what a receiver report says of it.

On the loop; no socket and no clock of its own: each call is given the moment.
"""

import random
from collections.abc import Callable

from streamer.ingest.packet_reader import Instant
from streamer.ingest.publish.publication import EncodedPicture
from streamer.ingest.rtp.description import TrackDescription
from streamer.ingest.rtp.packet import RtpPacket, parse_rtp, step
from streamer.ingest.rtp.picture_builder import PictureBuilder
from streamer.ingest.rtp.reorder import WINDOW_S, Ordered, PacketCounts, ReorderBuffer
from streamer.ingest.rtp.rtcp import Reception, sender_report

# Further on or back than this (RFC 3550, A.1, has 3000 and 100), it is another series of numbers.
_MOST_AHEAD, _MOST_BACK = 3000, 128
SILENT_S = 1.0  # so long ours is not heard before another source takes its place: anybody can send to a UDP port


class TrackReceiver:
    """Of one SETUP of one track."""

    def __init__(self, track: TrackDescription, put: Callable[[EncodedPicture], None], *, reorders: bool) -> None:
        """put: as Publication has it. reorders: the transport may (UDP): packets are put in order first."""
        self._track = track
        self._put = put
        self._window_s = WINDOW_S if reorders else 0.0
        self._builder = PictureBuilder(track)
        self._reception: Reception | None = None
        self._heard_s = 0.0  # ours, last
        self._stranger: tuple[RtpPacket, Instant] | None = None  # of another source, or series of numbers
        self._own_ssrc = random.getrandbits(32)
        self.counts = PacketCounts()
        self._order = ReorderBuffer(self.counts, self._window_s)

    def rtp(self, packet: bytes, at: Instant) -> None:
        """One packet, whole, as it came. Never raises, whatever is in it."""
        parsed = parse_rtp(packet)
        if parsed is None:
            self.counts.refused += 1
            return
        is_ours = parsed.payload_type == self._track.payload_type
        reception = self._reception
        if not is_ours:
            self.counts.refused += 1
            if reception is None or parsed.ssrc != reception.ssrc:
                return
            parsed = parsed._replace(payload=b"", marker=False)  # one of the series all the same
        if reception is None:
            reception = self._begin(parsed)
        ahead = step(parsed.sequence, reception.highest, 16)
        if parsed.ssrc == reception.ssrc and -_MOST_BACK <= ahead <= _MOST_AHEAD:
            self._stranger = None
            self._heard_s = at.monotonic_s
            self._take(reception, reception.highest + ahead, parsed, at)
        elif is_ours:
            self._meet(parsed, at)

    def rtcp(self, packet: bytes, at: Instant) -> None:
        """One compound packet. Never raises."""
        report, reception = sender_report(packet), self._reception
        if report is not None and reception is not None and report.ssrc == reception.ssrc:
            reception.reported(report.ntp, at)

    def tick(self, now_s: float) -> None:
        """Gives up on what has not come in time: call it every 20 ms or so where `reorders`; monotonic time."""
        self._build(self._order.tick(now_s))

    def receiver_report(self, now_s: float) -> bytes | None:
        """An RR with an SDES to send every 5 s or so; None before the first packet has come."""
        return None if self._reception is None else self._reception.receiver_report(self._own_ssrc, now_s)

    def close(self) -> None:
        """Nothing more comes: what is whole is put now."""
        self._build(self._order.flush())
        self._give(self._builder.flush())

    def _begin(self, packet: RtpPacket) -> Reception:
        self._reception = Reception(packet.ssrc, packet.sequence + (1 << 16), self._track.clock_rate)
        self._order = ReorderBuffer(self.counts, self._window_s)
        return self._reception

    def _take(self, reception: Reception, number: int, packet: RtpPacket, at: Instant) -> None:
        self.counts.received += 1
        reception.received(number, packet.timestamp, at)
        self._build(self._order.push(number, packet, at))

    def _meet(self, packet: RtpPacket, at: Instant) -> None:
        """One that does not go on where the others were: two in a row are a new start, one is none.

        Of another source they are one once ours is silent.
        """
        is_other = self._reception is not None and packet.ssrc != self._reception.ssrc
        if is_other and at.monotonic_s - self._heard_s < SILENT_S:
            self.counts.refused += 1
            return
        before, self._stranger = self._stranger, (packet, at)
        if before is None or before[0].ssrc != packet.ssrc or step(packet.sequence, before[0].sequence, 16) != 1:
            self.counts.refused += 1
            return
        self.counts.refused -= 1
        self._stranger = None
        self._heard_s = at.monotonic_s
        self._build(self._order.flush())
        self._give(self._builder.restart())
        reception = self._begin(before[0])
        self._take(reception, reception.highest, *before)
        self._take(reception, reception.highest + 1, packet, at)

    def _build(self, ordered: list[Ordered]) -> None:
        refused = self._builder.refused
        for one in ordered:
            self._give(self._builder.push(one))
        self.counts.refused += self._builder.refused - refused

    def _give(self, pictures: list[EncodedPicture]) -> None:
        for picture in pictures:
            self._put(picture)
