"""What is sent: a clip's frames or real photos, as JPEG files, and the bodies that carry them. All of it blocks."""

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import cv2
import numpy as np

from streamer.bench.api.load import Body
from streamer.errors import BenchFailed

PICTURES = 64
A_REQUEST = 8
MOST_HEIGHT = 720
_QUALITY = 90
_BOUNDARY = "whosthere-bench"


def frames_of(clip: Path, folder: Path, count: int = PICTURES) -> list[Path]:
    """So many frames of the clip, spread over all of it, at 720p at most. Raises BenchFailed where there are fewer."""
    folder.mkdir()
    with av.open(str(clip)) as container:
        there = sum(1 for packet in container.demux(container.streams.video[0]) if packet.size)
    wanted = set(np.linspace(0, there - 1, count).round().astype(int).tolist())
    files: list[Path] = []
    with av.open(str(clip)) as container:
        for number, frame in enumerate(container.decode(container.streams.video[0])):
            if number in wanted:
                files.append(folder / f"{len(files):03d}.jpg")
                scale = min(1.0, MOST_HEIGHT / frame.height)
                width, height = (int(side * scale) // 2 * 2 for side in (frame.width, frame.height))
                pixels = frame.reformat(width, height, "bgr24", interpolation="AREA").to_ndarray()
                cv2.imwrite(str(files[-1]), pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return _enough(files, count, clip)


def photos_of(archive: Path, folder: Path, count: int = PICTURES) -> list[Path]:
    """So many photos of a ZIP with a folder a person, spread over it. Raises BenchFailed where there are fewer."""
    folder.mkdir()
    with zipfile.ZipFile(archive) as packed:
        names = sorted(name for name in packed.namelist() if name.lower().endswith((".jpg", ".jpeg")))
        wanted = sorted(set(np.linspace(0, len(names) - 1, count).round().astype(int).tolist())) if names else []
        files = [folder / f"{place:03d}.jpg" for place in range(len(wanted))]
        for file, number in zip(files, wanted, strict=True):
            file.write_bytes(packed.read(names[number]))
    return _enough(files, count, archive)


def _enough(files: list[Path], count: int, source: Path) -> list[Path]:
    if len(files) < count:
        raise BenchFailed(f"{source} has {len(files)} pictures and {count} are sent; give one with more")
    return files


def uploads(files: Sequence[Path], folder: Path) -> list[Body]:
    """The files, A_REQUEST in a body of the multipart field `images`."""
    folder.mkdir()
    kind = f"multipart/form-data; boundary={_BOUNDARY}"
    starts = range(0, len(files), A_REQUEST)
    bodies = [Body(folder / f"{start:03d}.multipart", kind) for start in starts]
    for body, start in zip(bodies, starts, strict=True):
        body.file.write_bytes(b"".join(_parts(files[start : start + A_REQUEST])))
    return bodies


def _parts(files: Sequence[Path]) -> Iterator[bytes]:
    for file in files:
        yield f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="images"; filename="{file.name}"\r\n'.encode()
        yield b"Content-Type: image/jpeg\r\n\r\n" + file.read_bytes() + b"\r\n"
    yield f"--{_BOUNDARY}--\r\n".encode()
