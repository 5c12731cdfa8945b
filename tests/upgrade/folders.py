"""The kept data folders: packed by the script that makes them, unpacked by tests."""

import io
import lzma
import tarfile
from pathlib import Path

DATA = Path(__file__).parent / "data"
NAMES = sorted(file.name.removesuffix(".tar.xz") for file in DATA.glob("*.tar.xz"))
# Tables whose rows have to be there afterwards.
MADE = {
    "gallery.db": ("people", "photos", "templates", "forgotten", "negatives", "merged"),
    "outbox.db": ("pending", "open_visits", "last_seen"),
    "visits.db": ("visits", "visit_people", "messages", "faces", "pictures"),
}


def pack(folder: Path, archive: Path) -> None:
    """In one order, of nobody and no time: the same folder is the same file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(folder.rglob("*")):
            info = tar.gettarinfo(path, str(path.relative_to(folder)))
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            info.mtime = 0
            if path.is_file():
                with path.open("rb") as file:
                    tar.addfile(info, file)
            else:
                tar.addfile(info)
    archive.write_bytes(lzma.compress(buffer.getvalue(), preset=9))


def unpack(name: str, home: Path) -> Path:
    """The folder as it was left, its files' modes as well."""
    with tarfile.open(DATA / f"{name}.tar.xz") as tar:
        tar.extractall(home, filter="fully_trusted")
    return home
