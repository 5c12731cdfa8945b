"""RTCP of one track that is received (RFC 3550, 6): sender reports in, receiver reports out. Pure but for counts."""

from typing import NamedTuple

from streamer.ingest.packet_reader import Instant
from streamer.ingest.rtp.packet import step

_SENDER_REPORT, _RECEIVER_REPORT, _DESCRIPTION = 200, 201, 202
_CNAME = b"whosthere"


class SenderReport(NamedTuple):
    """ntp: the middle 32 bits of its time."""

    ssrc: int
    ntp: int


def sender_report(data: bytes) -> SenderReport | None:
    """The one in a compound packet; None where there is none."""
    at = 0
    while at + 8 <= len(data) and data[at] >> 6 == 2:
        size = 4 + 4 * int.from_bytes(data[at + 2 : at + 4])
        if at + size > len(data):
            break
        if data[at + 1] == _SENDER_REPORT and size >= 28:
            return SenderReport(int.from_bytes(data[at + 4 : at + 8]), int.from_bytes(data[at + 10 : at + 14]))
        at += size
    return None


class Reception:
    """How one source's packets come in: RFC 3550, A.1, A.3 and A.8. From its first packet on."""

    def __init__(self, ssrc: int, sequence: int, clock_rate: int) -> None:
        self.ssrc = ssrc
        self._rate = clock_rate
        self._first = self.highest = sequence  # does not wrap
        self._received = 0
        self._before = (0, 0)  # expected and received at the last report
        self._transit: float | None = None
        self._timestamp = 0
        self._jitter = 0.0
        self._report: tuple[int, float] | None = None  # the last sender report's time, and when it came

    def received(self, number: int, timestamp: int, at: Instant) -> None:
        """A packet, with its number as it does not wrap."""
        self._received += 1
        self._first = min(self._first, number)
        self.highest = max(self.highest, number)
        arrived = at.monotonic_s * self._rate
        if self._transit is not None:
            moved = arrived - self._transit - step(timestamp, self._timestamp, 32)
            self._jitter += (abs(moved) - self._jitter) / 16
        self._transit, self._timestamp = arrived, timestamp

    def reported(self, ntp: int, at: Instant) -> None:
        """A sender report came."""
        self._report = ntp, at.monotonic_s

    def receiver_report(self, own_ssrc: int, now_s: float) -> bytes:
        """RR and SDES, ready to be sent."""
        expected = self.highest - self._first + 1
        lost = max(-(1 << 23), min(expected - self._received, (1 << 23) - 1))
        new_expected, new_received = expected - self._before[0], self._received - self._before[1]
        self._before = expected, self._received
        new_lost = new_expected - new_received
        fraction = min(255, 256 * new_lost // new_expected) if new_expected > 0 and new_lost > 0 else 0
        ntp, delay = 0, 0
        if self._report is not None:
            ntp, delay = self._report[0], round(max(0.0, now_s - self._report[1]) * 65536)
        block = b"".join(
            (
                self.ssrc.to_bytes(4),
                bytes([fraction]),
                lost.to_bytes(3, signed=True),
                (self.highest & 0xFFFFFFFF).to_bytes(4),
                (int(self._jitter) & 0xFFFFFFFF).to_bytes(4),
                ntp.to_bytes(4),
                (delay & 0xFFFFFFFF).to_bytes(4),
            )
        )
        name = own_ssrc.to_bytes(4) + bytes([1, len(_CNAME)]) + _CNAME
        name += b"\0" * (4 - len(name) % 4)
        return _packet(_RECEIVER_REPORT, own_ssrc.to_bytes(4) + block) + _packet(_DESCRIPTION, name)


def _packet(kind: int, body: bytes) -> bytes:
    """With a count of one."""
    return bytes([0x81, kind]) + (len(body) // 4).to_bytes(2) + body
