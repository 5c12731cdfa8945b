"""Where people's ids stand in a file, byte by byte: whatever wrote them there, deleted or not. Blocks.

A file that this process has open in SQLite is read by a descriptor of SQLite's owner: closing another one of the same
file would drop SQLite's locks on it (POSIX).
"""

import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

_ID = re.compile(rb"(?=(p[a-z0-9]{12}))")  # they may overlap: whatever stands before an id may be a letter, too
_ID_BYTES = 13
_BLOCK_BYTES = 1 << 20
_FEW = 8
_BLOT = b"-" * _ID_BYTES


def holds(file: Path | int, ids: Collection[str]) -> bool:
    """Whether one of these ids stands in the file, a path or an open descriptor; False where there is none.

    Raises OSError.
    """
    return bool(ids) and next(_offsets(file, ids), None) is not None


def blot(path: Path, ids: Collection[str]) -> int:
    """Write over each of these ids in the file, as long as it is: how many there were. Raises OSError.

    For files that nobody writes; a checksum over what is changed fits no more.
    """
    found = list(_offsets(path, ids)) if ids else []
    if found:
        with path.open("r+b") as file:
            for offset in found:
                file.seek(offset)
                file.write(_BLOT)
            file.flush()
            os.fsync(file.fileno())
    return len(found)


def _offsets(file: Path | int, ids: Collection[str]) -> Iterator[int]:
    wanted = {person_id.encode() for person_id in ids}
    kept, begins = b"", 0
    for part in _blocks(file):
        block = kept + part
        yield from (begins + offset for offset in _in_block(block, wanted))
        kept = block[-(_ID_BYTES - 1) :]
        begins += len(block) - len(kept)


def _blocks(file: Path | int) -> Iterator[bytes]:
    if isinstance(file, int):
        offset = 0
        while part := os.pread(file, _BLOCK_BYTES, offset):
            yield part
            offset += len(part)
        return
    try:
        opened = file.open("rb")
    except FileNotFoundError:
        return
    with opened:
        while part := opened.read(_BLOCK_BYTES):
            yield part


def _in_block(block: bytes, wanted: set[bytes]) -> Iterator[int]:
    if len(wanted) > _FEW:
        yield from (match.start() for match in _ID.finditer(block) if match[1] in wanted)
        return
    for needle in wanted:
        offset = block.find(needle)
        while offset >= 0:
            yield offset
            offset = block.find(needle, offset + 1)
