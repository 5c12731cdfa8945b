"""What is said at a narrow terminal: lines fold between words, and what may be copied stays whole."""

import pytest

from streamer.cli.options import folded

HINT = "  a folder with a folder for each person, or the photos of one person"


@pytest.mark.parametrize("width", [20, 40, 60])
def test_lines_fold_between_words(width: int):
    lines = folded(HINT, width).split("\n")
    assert len(lines) > 1
    assert all(len(line) < width and line.startswith("  ") for line in lines)
    assert " ".join(line.strip() for line in lines) == HINT.strip()


def test_what_fits_and_empty_lines_stay():
    assert folded(f"\n{HINT}\n\n", 200) == f"\n{HINT}\n\n"


def test_a_path_stays_whole():
    path = "/home/ada/" + "a-long-name/" * 10
    assert path in folded(f"written: {path}", 60).split()


def test_nothing_folds_where_no_terminal_is():
    assert folded(HINT * 10, None) == HINT * 10


def test_a_finding_hangs_below_its_own_beginning():
    first, *others = folded(f"FAILED {HINT}", 40, hang=7).split("\n")
    assert first.startswith("FAILED ")
    assert others
    assert all(line[:7].isspace() and not line[7].isspace() for line in others)
