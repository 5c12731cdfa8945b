"""Ids are found wherever they stand in a file, and written over without moving anything."""

import os
from pathlib import Path

import pytest

from streamer.byte_search import blot, holds

ADA, BOB = "pada000000000", "pbob000000000"
MANY = [f"p{number:012d}" for number in range(20)]  # so many are looked for in another way


@pytest.mark.parametrize("sought", [[ADA], [ADA, *MANY]], ids=["few", "many"])
@pytest.mark.parametrize(
    "before",
    [b"", b"p", b"pp7f3k2m9q1x", b"x" * ((1 << 20) - 5), b"x" * ((1 << 20) - 13), b"p" * ((1 << 20) - 12)],
    ids=["at once", "after a p", "after what looks like one", "over a block's end", "at its end", "after many p"],
)
def test_an_id_is_found_wherever_it_stands(tmp_path: Path, sought: list[str], before: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(before + ADA.encode() + b"9 and what follows")
    descriptor = os.open(file, os.O_RDONLY)
    assert holds(file, sought)
    assert holds(descriptor, sought)
    assert not holds(file, [BOB, *sought[1:]])
    assert blot(file, sought) == 1
    assert file.read_bytes() == before + b"-" * 13 + b"9 and what follows"
    assert not holds(descriptor, sought)
    os.close(descriptor)


def test_where_there_is_no_file_or_nobody_to_look_for_there_is_nothing(tmp_path: Path) -> None:
    assert not holds(tmp_path / "missing", [ADA])
    (tmp_path / "file").write_text(ADA)
    assert not holds(tmp_path / "file", [])
    assert blot(tmp_path / "file", []) == 0
    assert (tmp_path / "file").read_text() == ADA
