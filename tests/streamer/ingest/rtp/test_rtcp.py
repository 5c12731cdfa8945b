"""RFC 3550, 6.4 and A.8; the numbers are worked out by hand."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.ingest.packet_reader import Instant
from streamer.ingest.rtp.rtcp import Reception, sender_report

# ffmpeg: a sender report alone; GStreamer: with an SDES, and at the end a BYE.
NTP = 0xE1234567_89ABCDEF
SENDER = struct.pack("!BBHIQIII", 0x80, 200, 6, 0xCAFE, NTP, 90_000, 5, 500)
SDES = struct.pack("!BBHIBB2s", 0x81, 202, 2, 0xCAFE, 1, 0, b"\0\0")
BYE = struct.pack("!BBHI", 0x81, 203, 1, 0xCAFE)


def at(seconds: float) -> Instant:
    return Instant(1e9 + seconds, seconds)


@pytest.mark.parametrize("packet", [SENDER, SENDER + SDES, SENDER + SDES + BYE, SDES + SENDER])
def test_what_a_sender_reports(packet):
    assert sender_report(packet) == (0xCAFE, 0x456789AB)


@pytest.mark.parametrize(
    "packet", [BYE, SDES, SENDER[:20], b"\x80\xc8\0\0", b"\x80\xc8\0\x01" + bytes(4), b"\x40" + SENDER[1:], b""]
)
def test_what_is_no_report(packet):
    assert sender_report(packet) is None


@given(st.binary(max_size=120))
def test_whatever_is_said_nothing_raises(data):
    sender_report(data)


def report(reception: Reception, now_s: float) -> tuple[int, ...]:
    """(fraction, lost, highest, jitter, LSR, DLSR)."""
    packet = reception.receiver_report(0xBEEF, now_s)
    first, kind, words, ssrc, source, fraction = struct.unpack("!BBHIIB", packet[:13])
    assert (first, kind, words, ssrc, source) == (0x81, 201, 7, 0xBEEF, 0xCAFE)
    assert packet[32:34] == b"\x81\xca"
    assert len(packet) == 32 + 4 + 4 * int.from_bytes(packet[34:36])
    assert packet[40:42] == b"\x01\x09"
    assert b"whosthere\0" in packet
    return (fraction, int.from_bytes(packet[13:16], signed=True), *struct.unpack("!IIII", packet[16:32]))


def test_a_report_tells_of_losses_since_the_last_and_of_all():
    reception = Reception(0xCAFE, 65_530, 90_000)
    for number in (65_530, 65_531, 65_533, 65_534, 65_536, 65_537, 65_538, 65_539):
        reception.received(number, number * 3600, at(number * 0.04))
    assert report(reception, 3000.0)[:3] == (2 * 256 // 10, 2, 65_539)
    for number in range(65_540, 65_550):
        reception.received(number, number * 3600, at(number * 0.04))
    assert report(reception, 3000.0)[:3] == (0, 2, 65_549)
    assert report(reception, 3000.0)[:3] == (0, 2, 65_549)
    reception.received(65_549, 0, at(0))  # twice
    assert report(reception, 3000.0)[1] == 1


@pytest.mark.parametrize("jump_ms", [0, 10, 80])
def test_jitter_is_a_sixteenth_of_each_change_of_transit(jump_ms):
    reception = Reception(0xCAFE, 0, 90_000)
    for number in range(3):
        late_s = jump_ms / 1000 if number == 2 else 0.0
        reception.received(number, (2**32 - 3600 + number * 3600) % 2**32, at(number * 0.04 + late_s))
    assert report(reception, 1.0)[3] == pytest.approx(jump_ms * 90 / 16, abs=1)


def test_a_sender_report_comes_back_with_its_delay():
    reception = Reception(0xCAFE, 0, 90_000)
    reception.received(0, 0, at(0.0))
    assert report(reception, 1.0)[4:] == (0, 0)
    reception.reported(0x456789AB, at(2.0))
    assert report(reception, 4.5)[4:] == (0x456789AB, int(2.5 * 65_536))
