"""Photos by several writers: OpenCV, Pillow, libav, and bytes put in by hand.

`upright()` is the picture; one of orientation n (EXIF's 1 to 8) holds it so that who turns it as told gets it back.
"""

import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import av
import cv2
import numpy as np
from PIL import Image

WIDTH, HEIGHT = 240, 160
# EXIF orientation -> how the stored pixels come from the upright ones.
STORED = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p),
    7: lambda p: p.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda p: np.rot90(p, -1),
}


def upright() -> np.ndarray:
    """(160,240,3) BGR: red, green and blue in three corners, grey elsewhere."""
    picture = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    picture[:80, :80], picture[:80, 160:], picture[80:, :80] = (0, 0, 255), (0, 255, 0), (255, 0, 0)
    return picture


def stored(orientation: int) -> np.ndarray:
    return np.ascontiguousarray(STORED[orientation](upright()))


def exif_of(orientation: int, order: str = "<") -> bytes:
    """A TIFF header with the one tag."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(order + "IHHHIHHI", 8, 1, 0x112, 3, 1, orientation, 0, 0)


def _pillow(orientation: int, kind: str) -> bytes:
    exif = Image.Exif()
    exif[0x112] = orientation
    out = io.BytesIO()
    Image.fromarray(stored(orientation)[:, :, ::-1]).save(out, kind, exif=exif.tobytes(), quality=95)
    return out.getvalue()


def jpeg_by_pillow(orientation: int) -> bytes:
    return _pillow(orientation, "JPEG")


def png_by_pillow(orientation: int) -> bytes:
    return _pillow(orientation, "PNG")


def webp_by_pillow(orientation: int) -> bytes:
    return _pillow(orientation, "WEBP")


def avif_by_pillow(orientation: int) -> bytes:
    """libavif writes `irot` and `imir` for it, and no EXIF."""
    return _pillow(orientation, "AVIF")


def encoded(kind: str, picture: np.ndarray, *options: int) -> bytes:
    done, data = cv2.imencode(kind, picture, list(options))
    assert done
    return data.tobytes()


def jpeg_by_opencv(orientation: int) -> bytes:
    """With XMP before the EXIF, and the other byte order."""
    data = encoded(".jpg", stored(orientation))
    xmp, exif = b"http://ns.adobe.com/xap/1.0/\0<x/>", b"Exif\0\0" + exif_of(orientation, ">")
    segments = b"".join(b"\xff\xe1" + struct.pack(">H", len(part) + 2) + part for part in (xmp, exif))
    return data[:2] + segments + data[2:]


def png_by_opencv(orientation: int) -> bytes:
    """With its eXIf behind the pixels."""
    data = encoded(".png", stored(orientation))
    end = data.index(b"IEND") - 4
    body = b"eXIf" + exif_of(orientation)
    return data[:end] + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) + data[end:]


def webp_by_hand(orientation: int) -> bytes:
    """With an EXIF chunk as a JPEG would have it, as Pillow used to write it."""
    body = encoded(".webp", stored(orientation), cv2.IMWRITE_WEBP_QUALITY, 101)[12:]
    height, width = stored(orientation).shape[:2]
    head = b"VP8X" + struct.pack("<II", 10, 8) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    exif = b"Exif\0\0" + exif_of(orientation)
    chunks = b"WEBP" + head + body + b"EXIF" + struct.pack("<I", len(exif)) + exif
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


# (quarters counter-clockwise, mirrored: None, 0 top to bottom or 1 left to right), `irot` before `imir`.
_TURNS = {1: (0, None), 2: (0, 1), 3: (2, None), 4: (0, 0), 5: (1, 0), 6: (3, None), 7: (3, 0), 8: (1, None)}


def avif_by_hand(orientation: int) -> bytes:
    """OpenCV's, with the properties put into its boxes, and everything that they move put right."""
    data = encoded(".avif", stored(orientation))
    quarters, mirrored = _TURNS[orientation]
    boxes = [_box(b"irot", bytes([quarters]))] if quarters else []
    boxes += [] if mirrored is None else [_box(b"imir", bytes([mirrored]))]
    meta, iprp, ipco, ipma, iloc = (data.index(name) - 4 for name in (b"meta", b"iprp", b"ipco", b"ipma", b"iloc"))
    properties = _count_boxes(data[ipco + 8 : ipco + _size(data, ipco)])
    out = bytearray(data)
    assert data[ipma + 8 : ipma + 18] == bytes(4) + struct.pack(">IH", 1, 1)  # one item, indexes of one byte
    out[ipma + 18] += len(boxes)
    for place, _ in enumerate(boxes):
        out.insert(ipma + 19 + data[ipma + 18] + place, 0x80 | (properties + place + 1))
    added = b"".join(boxes)
    at = ipco + _size(data, ipco)
    out[at:at] = added
    for box, more in ((ipma, len(boxes)), (ipco, len(added)), (iprp, 0), (meta, 0)):
        place = box + (len(added) if box == ipma else 0)
        grown = _size(data, box) + (more or len(added) + len(boxes))
        out[place : place + 4] = grown.to_bytes(4, "big")
    assert iloc < ipco
    offset = iloc + 8 + 4 + 2 + 2 + 2 + 2 + 2  # version and flags, sizes, count, item, data reference, extents
    assert data[iloc + 12] == 0x44
    moved = int.from_bytes(data[offset : offset + 4], "big") + len(added) + len(boxes)
    out[offset : offset + 4] = moved.to_bytes(4, "big")
    return bytes(out)


def _box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + name + body


def _size(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def _count_boxes(data: bytes) -> int:
    at = count = 0
    while at < len(data):
        at, count = at + _size(data, at), count + 1
    return count


def avif_by_libav() -> bytes:
    """In a thread of its own: root's thread is left with real-time priority by SVT-AV1, which its children inherit."""
    with ThreadPoolExecutor(1) as encoder:
        return encoder.submit(_avif_by_libav).result()


def _avif_by_libav() -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format="avif") as container:
        stream = container.add_stream("libsvtav1", rate=1, options={"svtav1-params": "lp=1"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for packet in (*stream.encode(av.VideoFrame.from_ndarray(upright(), format="bgr24")), *stream.encode()):
            container.mux(packet)
    return out.getvalue()
