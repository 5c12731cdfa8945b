import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.ingest.rtp.packet import parse_rtp, step
from tests.streamer.ingest.rtp.packetiser import rtp


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sources": 3},
        {"sources": 15},
        {"extension": b""},
        {"extension": b"\x10\xaa\0\0"},
        {"padding": 1},
        {"padding": 7},
        {"sources": 1, "extension": b"12345678", "padding": 4},
    ],
)
@pytest.mark.parametrize("payload", [b"", b"\x41", b"payload" * 9])
def test_the_payload_is_what_is_left(options, payload):
    found = parse_rtp(rtp(payload, 65_535, 2**32 - 1, marker=True, ssrc=2**31, payload_type=127, **options))
    assert found == (127, True, 65_535, 2**32 - 1, 2**31, payload)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        rtp(b"", 1, 1)[:11],
        b"\x40" + rtp(b"x", 1, 1)[1:],  # version 1
        rtp(b"", 1, 1, sources=2)[:19],
        rtp(b"", 1, 1, extension=b"1234")[:15],
        rtp(b"", 1, 1, extension=b"1234")[:-1],
        rtp(b"xx\0", 1, 1, padding=1)[:-1],  # a padding of no bytes
        rtp(b"x", 1, 1, padding=1)[:-1] + b"\xff",
        rtp(b"", 1, 1, sources=1, padding=1)[:-1] + b"\x05",  # into its sources
    ],
)
def test_what_is_shorter_than_it_says_is_none(packet):
    assert parse_rtp(packet) is None


@given(st.binary(max_size=80))
def test_nothing_raises(data):
    found = parse_rtp(data)
    assert found is None or len(found.payload) <= len(data) - 12


@pytest.mark.parametrize(
    ("new", "old", "bits", "far"),
    [
        (5, 3, 16, 2),
        (3, 5, 16, -2),
        (0, 65_535, 16, 1),
        (65_535, 0, 16, -1),
        (7, 2**32 - 1, 32, 8),
        (5, 2**16 + 4, 16, 1),
    ],
)
def test_a_counter_that_wraps_goes_on(new, old, bits, far):
    assert step(new, old, bits) == far
