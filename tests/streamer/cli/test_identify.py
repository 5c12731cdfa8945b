"""The lines of `identify`, for people."""

import pytest

from streamer.cli.identify import _show

FACE = {
    "box": [1.4, 2, 30, 40],
    "quality": 0.876,
    "decision": "unknown",
    "person": None,
    "candidates": [],
    "ignored": False,
}
BOTH = [{"id": "p1", "name": "Ada", "similarity": 0.512}, {"id": "p2", "name": "Bea", "similarity": 0.49}]
ADA = {"id": "p1", "name": "Ada"}


@pytest.mark.parametrize(
    ("face", "line"),
    [
        ({"similarity": 0.312, "threshold": 0.42}, "unknown similarity 0.31 (threshold 0.42) quality 0.88"),
        ({"similarity": None, "threshold": 0.42}, "unknown quality 0.88"),
        ({"similarity": 0.312, "threshold": None}, "unknown similarity 0.31 quality 0.88"),
        ({"similarity": 0.5761, "threshold": 0.5785}, "unknown similarity 0.5761 (threshold 0.5785) quality 0.88"),
        (
            {"similarity": 0.418, "threshold": 0.4212, "decision": "ambiguous"},
            "ambiguous similarity 0.4180 (threshold 0.4212) quality 0.88",
        ),
        ({"similarity": 0.414, "threshold": 0.4163}, "unknown similarity 0.41 (threshold 0.42) quality 0.88"),
        (
            {"similarity": 0.31, "threshold": 0.42, "decision": "ambiguous"},
            "ambiguous similarity 0.31 (threshold 0.42) quality 0.88",
        ),
        (
            {"similarity": 0.51, "threshold": 0.42, "decision": "ambiguous", "candidates": BOTH},
            "ambiguous (Ada 0.51 or Bea 0.49) similarity 0.51 (threshold 0.42) quality 0.88",
        ),
        (
            {"similarity": 0.61, "threshold": 0.42, "decision": "known", "person": ADA, "ignored": True},
            "Ada (p1), ignored similarity 0.61 quality 0.88",
        ),
        (
            {"similarity": 0.61, "threshold": 0.42, "decision": "known", "person": ADA},
            "Ada (p1) similarity 0.61 quality 0.88",
        ),
    ],
)
def test_who_is_not_named_is_told_what_was_missing(capsys, face, line):
    _show({"file": "a.jpg", "faces": [FACE | face]})
    assert capsys.readouterr().out == f"a.jpg: {line} at 1, 2, 30, 40\n"
