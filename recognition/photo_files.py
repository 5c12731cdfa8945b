"""What a photo's file says of itself, read from its bytes: its kind, its size, whether all of it is there, its turn.

Pure, but for AVIF's orientation, for which libav decodes the picture; any thread. No more is read of a format than
these questions need: pixels, and the orientation of the other kinds, are OpenCV's to read.
"""

import io
import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from recognition.arrays import U8
from recognition.errors import ImageKindUnsupported

if TYPE_CHECKING:
    from av.sidedata.sidedata import SideData

Kind = Literal["JPEG", "PNG", "WebP", "BMP", "AVIF", "HEIC"]

_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"heif"}
_PNG = b"\x89PNG\r\n\x1a\n"
_FULL_TURN = 1 << 16  # display matrices are 16.16 fixed point


def kind_of(data: bytes) -> Kind | None:
    """By its first bytes; None for what is none of these (OpenCV reads a few more)."""
    if data.startswith(b"\xff\xd8"):
        return "JPEG"
    if data.startswith(_PNG):
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data.startswith(b"BM"):
        return "BMP"
    if data[4:8] == b"ftyp":
        size = min(int.from_bytes(data[:4], "big"), 1024)
        brands = {data[8:12], *(data[at : at + 4] for at in range(16, size, 4))}
        if brands & _AVIF_BRANDS:
            return "AVIF"
        if brands & _HEIF_BRANDS:
            return "HEIC"
    return None


def declared_size(data: bytes, kind: Kind | None) -> tuple[int, int] | None:
    """(width, height) as stored, by the file's header; None where that does not tell."""
    if kind == "PNG" and len(data) >= 24:
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if kind == "BMP" and len(data) >= 26:
        return int.from_bytes(data[18:22], "little"), abs(int.from_bytes(data[22:26], "little", signed=True))
    if kind == "WebP" and len(data) >= 30:
        return _webp_size(data)
    if kind == "JPEG":
        return _jpeg_size(data)
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    form = data[12:16]
    if form == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if form == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if form == b"VP8 ":
        return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def cut_short(data: bytes, kind: Kind | None) -> bool:
    """Whether the file ends before the picture does, as its own lengths and end marks have it."""
    if kind == "JPEG":
        return _jpeg_cut(data)
    if kind == "PNG":
        return _png_cut(data)
    if kind == "WebP":
        return len(data) < 8 + int.from_bytes(data[4:8], "little")
    if kind == "BMP":
        return _bmp_cut(data)
    if kind in ("AVIF", "HEIC"):
        return _boxes_cut(data)
    return False


def _jpeg_cut(data: bytes) -> bool:
    """Without its end mark; one in a thumbnail, within the header's segments, is not the picture's."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker == 0xDA:
            return data.find(b"\xff\xd9", at) < 0
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return at + 4 > len(data)


def _png_cut(data: bytes) -> bool:
    at = len(_PNG)
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        name = data[at + 4 : at + 8]
        at += 12 + size
        if name == b"IEND":
            return at > len(data)
    return True


def _bmp_cut(data: bytes) -> bool:
    if len(data) < 34:
        return True
    pixels_at: int = struct.unpack_from("<I", data, 10)[0]
    width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    row_bytes: int = (width * bits + 31) // 32 * 4
    return compression in (0, 3) and len(data) < pixels_at + row_bytes * abs(height)


def _boxes_cut(data: bytes) -> bool:
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 1 and at + 16 <= len(data):
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size < 8:  # 0: to the end of the file
            return size != 0
        at += size
    return at > len(data)


def bare_webp_exif(data: bytes) -> bytes:
    """A WebP whose EXIF chunk begins as in a JPEG (older Pillow wrote it so) in the form that OpenCV understands."""
    at, prefix = 12, b"Exif\0\0"
    data = data[: 8 + int.from_bytes(data[4:8], "little")]
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        body = data[at + 8 : at + 8 + size]
        if name == b"EXIF" and body.startswith(prefix):
            bare = body.removeprefix(prefix)  # six bytes less: as even as before
            chunks = data[12:at] + struct.pack("<4sI", name, len(bare)) + bare + data[at + 8 + size :]
            return struct.pack("<4sI4s", b"RIFF", 4 + len(chunks), b"WEBP") + chunks
        at += 8 + size + (size & 1)
    return data


def avif_turn(data: bytes, name: str, most_pixels: int) -> tuple[int, int, tuple[int, int, int, int]]:
    """Stored width and height of an AVIF, and the a, b, c, d of its display matrix, each 0, 1 or -1.

    libavif, by which OpenCV reads it, leaves `irot` and `imir` to its caller, and OpenCV does nothing about them.
    Raises ImageKindUnsupported where libav can't tell; one of more than `most_pixels` is not decoded: no turn.
    """
    import av  # of all photos these alone need FFmpeg, which is 20 MB of memory
    from av.sidedata.sidedata import Type

    unread = f"{name} is an AVIF whose orientation can't be read; give a JPEG, PNG or WebP photo"
    try:
        with av.open(io.BytesIO(data), "r") as container:
            context = container.streams.video[0].codec_context
            if context.width * context.height > most_pixels:
                return context.width, context.height, (1, 0, 0, 1)
            frame = next(container.decode(video=0))
    except (av.FFmpegError, StopIteration, IndexError):
        raise ImageKindUnsupported(unread) from None
    sides = cast("Iterable[SideData]", frame.side_data)  # its stub says that it is a single one
    matrices = [bytes(data) for data in sides if data.type is Type.DISPLAYMATRIX]
    if not matrices:
        return frame.width, frame.height, (1, 0, 0, 1)
    a, b, _, c, d = (number // _FULL_TURN for number in np.frombuffer(matrices[0], np.int32)[:5].tolist())
    if sorted((abs(a), abs(b), abs(c), abs(d))) != [0, 0, 1, 1] or abs(a) != abs(d):
        raise ImageKindUnsupported(unread)
    return frame.width, frame.height, (a, b, c, d)


def turned(bgr: U8, matrix: tuple[int, int, int, int]) -> U8:
    """The picture (h,w,3) as a display matrix has it: (x, y) goes to (a x + c y, b x + d y)."""
    a, b, c, d = matrix
    if not a:
        bgr = bgr.transpose(1, 0, 2)
    across, down = (a, d) if a else (c, b)
    return np.ascontiguousarray(bgr[::down, ::across])
