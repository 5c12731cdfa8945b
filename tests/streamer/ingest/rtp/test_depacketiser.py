"""RFC 6184, 5.6 to 5.8, and RFC 7798, 4.4."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.ingest.rtp.depacketiser import MOST_UNIT_BYTES, Depacketiser
from tests.streamer.ingest.rtp.packetiser import aggregate, fragments, payloads

# Of each codec: an IDR slice, another one, a parameter set. All of a header counts (nal_ref_idc; the layer).
UNITS = {
    "h264": [b"\x65\x88" + bytes(range(100)), b"\x01\x9a" + b"b" * 30, b"\x67\x42\xc0"],
    "hevc": [b"\x26\x01\xaf" + bytes(range(100)), b"\x02\x09\xd0" + b"b" * 30, b"\x42\x01\x01\x60"],
}
BOTH = pytest.mark.parametrize("codec", ["h264", "hevc"])


@BOTH
@pytest.mark.parametrize("mtu", [8, 40, 1000])
@pytest.mark.parametrize("aggregates", [False, True])
def test_units_come_out_as_they_went_in(codec, mtu, aggregates):
    depacketiser = Depacketiser(codec)
    got = [depacketiser.push(p) for p in payloads(codec, UNITS[codec], mtu, aggregates=aggregates)]
    assert [unit for units, _ in got for unit in units] == UNITS[codec]
    assert not any(is_damaged for _, is_damaged in got)


@BOTH
@pytest.mark.parametrize("lost", [0, 1, 3])
def test_a_unit_that_lacks_a_fragment_is_none(codec, lost):
    depacketiser = Depacketiser(codec)
    parts = fragments(codec, UNITS[codec][0], 25)
    assert len(parts) > 4 - 1
    damaged = False
    for number, part in enumerate(parts):
        if number == lost:
            damaged |= depacketiser.drop()  # as the gap is told
            continue
        units, is_damaged = depacketiser.push(part)
        damaged |= is_damaged
        assert units == []
    assert damaged or depacketiser.drop()
    assert depacketiser.push(UNITS[codec][1]) == ([UNITS[codec][1]], False)


@BOTH
def test_a_unit_that_is_not_ended_is_told_with_the_next(codec):
    depacketiser = Depacketiser(codec)
    begun = fragments(codec, UNITS[codec][0], 25)[:2]
    for following in (UNITS[codec][1], aggregate(codec, UNITS[codec][1:])):
        for part in begun:
            assert depacketiser.push(part) == ([], False)
        assert depacketiser.push(following).is_damaged
    for part in (*begun, begun[0]):
        damaged = depacketiser.push(part).is_damaged
    assert damaged
    assert depacketiser.drop()


@BOTH
@pytest.mark.parametrize(
    ("tail", "units"), [(b"\0", 2), (b"\0\x09abc", 2), (b"\0\0", 2), (b"\xff\xff", 2), (b"\0\1x", 2)]
)
def test_an_aggregate_that_is_cut_short_gives_what_is_whole(codec, tail, units):
    got = Depacketiser(codec).push(aggregate(codec, UNITS[codec][1:]) + tail)
    assert got == (UNITS[codec][1:][:units], True)


@pytest.mark.parametrize(
    ("codec", "payload"),
    [
        ("h264", bytes([25]) + b"\0\0\0\x02\x65\x88"),  # STAP-B
        ("h264", bytes([26]) + b"x" * 9),
        ("h264", bytes([27]) + b"x" * 9),
        ("h264", bytes([29]) + b"x" * 9),  # FU-B
        ("h264", bytes([0]) + b"x" * 9),
        ("h264", bytes([31]) + b"x" * 9),
        ("hevc", bytes([50 << 1, 1]) + b"x" * 9),  # PACI
        ("hevc", bytes([63 << 1, 1]) + b"x" * 9),
    ],
)
def test_what_was_not_agreed_on_is_refused_and_counted(codec, payload):
    depacketiser = Depacketiser(codec)
    assert depacketiser.push(payload) == ([], True)
    assert depacketiser.refused == 1


@BOTH
def test_nothing_is_nothing_and_a_header_alone_is_no_unit(codec):
    depacketiser = Depacketiser(codec)
    assert depacketiser.push(b"") == ([], False)
    assert depacketiser.push(UNITS[codec][0][: 1 if codec == "h264" else 2]) == ([], True)
    whole = fragments(codec, UNITS[codec][0], 200)[0]
    assert depacketiser.push(whole[: 2 if codec == "h264" else 3]) == ([], True)


@BOTH
def test_a_unit_without_end_is_dropped(codec):
    depacketiser = Depacketiser(codec)
    first, middle = fragments(codec, UNITS[codec][0][:3] + bytes(2**16 * 3), 2**16)[:2]
    depacketiser.push(first)
    damaged = [depacketiser.push(middle).is_damaged for _ in range(MOST_UNIT_BYTES // 2**16 + 1)]
    assert any(damaged)
    assert not depacketiser.drop()


@BOTH
@given(data=st.data())
def test_whatever_comes_no_more_comes_out_than_went_in(codec, data):
    kinds = [28, 24, 5, 7] if codec == "h264" else [49, 48, 19, 33]
    head = st.sampled_from([bytes([kind]) if codec == "h264" else bytes([kind << 1, 1]) for kind in kinds])
    payload = st.one_of(st.binary(max_size=60), st.builds(bytes.__add__, head, st.binary(max_size=60)))
    depacketiser = Depacketiser(codec)
    size = out = 0
    for one in data.draw(st.lists(payload, max_size=40)):
        size += len(one)
        units = depacketiser.push(one).units
        out += sum(map(len, units))
        assert all(len(unit) > depacketiser._layout.header_bytes for unit in units)
        assert out <= size
