import pytest

from streamer.ingest.rtp.nal_unit import UnitKind, unit_kind

RECOVERY_NOW, RECOVERY_IN_8, DARK = b"\x06\x01\x84", b"\x06\x02\x13\x10", b"\x05\x03abc"


@pytest.mark.parametrize(
    ("codec", "unit", "kind"),
    [
        ("h264", b"\x65\x88\x84", UnitKind(True, True, True)),
        ("h264", b"\x65\x09\x84", UnitKind(True, False, True)),
        ("h264", b"\x41\x9a", UnitKind(True, True, False)),
        ("h264", b"\x01\x3a", UnitKind(True, False, False)),
        ("h264", b"\x22\x9a", UnitKind(True, True, False)),  # a data partition
        ("h264", b"\x23\x9a", UnitKind(True, False, False)),
        ("h264", b"\x67\x42", UnitKind(set_type=7)),
        ("h264", b"\x68\xce", UnitKind(set_type=8)),
        ("h264", b"\x09\xf0", UnitKind()),
        ("h264", b"\x65", UnitKind()),
        ("h264", b"\x06" + RECOVERY_NOW, UnitKind(begins=True)),
        ("h264", b"\x06" + DARK + RECOVERY_NOW + b"\x80", UnitKind(begins=True)),
        ("h264", b"\x06\xff\x05\x01x" + RECOVERY_NOW, UnitKind(begins=True)),
        ("h264", b"\x06" + RECOVERY_IN_8, UnitKind()),
        ("h264", b"\x06" + DARK + b"\x80", UnitKind()),
        ("h264", b"\x06\xff\xff\xff", UnitKind()),
        ("h264", b"\x06\x06\x01", UnitKind()),
        ("hevc", b"\x26\x01\xaf", UnitKind(True, True, True)),  # IDR_W_RADL
        ("hevc", b"\x28\x01\x2f", UnitKind(True, False, True)),  # IDR_N_LP
        ("hevc", b"\x2a\x01\xaf", UnitKind(True, True, True)),  # CRA
        ("hevc", b"\x20\x01\xaf", UnitKind(True, True, True)),  # BLA
        ("hevc", b"\x02\x01\xd0", UnitKind(True, True, False)),
        ("hevc", b"\x10\x01\xd0", UnitKind(True, True, False)),  # RASL
        ("hevc", b"\x40\x01\x0c", UnitKind(set_type=32)),
        ("hevc", b"\x42\x01\x01", UnitKind(set_type=33)),
        ("hevc", b"\x44\x01\xc1", UnitKind(set_type=34)),
        ("hevc", b"\x4e\x01\x05", UnitKind()),
        ("hevc", b"\x26\x01", UnitKind()),
    ],
)
def test_its_first_bytes_tell_what_it_is(codec, unit, kind):
    assert unit_kind(codec, unit) == kind
