"""Streams as three different writers make them: ffmpeg's command, GStreamer, and files patched or woven by hand.

Pictures (n, height, width, 3) BGR go in, files come out. Blocks.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.live.servers import PYTHON, need_rtsp_server

_GSTREAMER = """
import sys, gi
gi.require_version("Gst", "1.0")
from gi.repository import Gst
Gst.init(None)
pipeline = Gst.parse_launch(sys.argv[1])
pipeline.set_state(Gst.State.PLAYING)
ended = pipeline.get_bus().timed_pop_filtered(60 * Gst.SECOND, Gst.MessageType.EOS | Gst.MessageType.ERROR)
pipeline.set_state(Gst.State.NULL)
if ended is None or ended.type == Gst.MessageType.ERROR:
    sys.exit(str(ended and ended.parse_error()))
"""


def by_ffmpeg(path: Path, pictures: Sequence[np.ndarray], fps: int, *options: str) -> Path:
    """`options`: filters, codec and format, as on ffmpeg's command line after its input."""
    high, wide, _ = pictures[0].shape
    raw = ["-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{wide}x{high}", "-r", str(fps), "-i", "-"]
    command = ["ffmpeg", "-v", "error", "-y", *raw, *options, "-pix_fmt", "yuv420p", str(path)]
    subprocess.run(command, input=b"".join(picture.tobytes() for picture in pictures), check=True, timeout=60)
    return path


def by_gstreamer(path: Path, pictures: Sequence[np.ndarray], fps: int, pipeline: str) -> Path:
    """`pipeline`: what comes between raw video and the file. Skips where Debian's GStreamer is missing."""
    need_rtsp_server()
    high, wide, _ = pictures[0].shape
    raw = path.with_suffix(".raw")
    raw.write_bytes(b"".join(picture.tobytes() for picture in pictures))
    source = f"filesrc location={raw} ! rawvideoparse format=bgr width={wide} height={high} framerate={fps}/1"
    whole = f"{source} ! videoconvert ! video/x-raw,format=I420 ! {pipeline} ! filesink location={path}"
    subprocess.run([PYTHON, "-c", _GSTREAMER, whole], check=True, timeout=90)
    raw.unlink()
    return path


def with_pixel_aspect(clip: Path, wide: int, high: int) -> Path:
    """An MP4 whose avc1 entry gets a `pasp` box (ISO/IEC 14496-12, 12.1.4), written into the bytes of the file.

    The clip's `moov` must come last, so that no offset of a sample changes.
    """
    data = bytearray(clip.read_bytes())
    box = (16).to_bytes(4, "big") + b"pasp" + wide.to_bytes(4, "big") + high.to_bytes(4, "big")
    entry = data.index(b"avc1", data.index(b"stsd")) - 4
    end = entry + int.from_bytes(data[entry : entry + 4], "big")
    place = data.rindex(b"mdat")
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        place = data.index(name, place)
        size = int.from_bytes(data[place - 4 : place], "big") + len(box)
        data[place - 4 : place] = size.to_bytes(4, "big")
    data[end:end] = box
    clip.write_bytes(data)
    return clip


def woven(fields: Sequence[np.ndarray], *, top_first: bool) -> list[np.ndarray]:
    """Twice as many pictures a second -> interlaced ones: every second row is of the next moment."""
    pictures = []
    for early, late in zip(fields[::2], fields[1::2], strict=True):
        picture = early.copy()
        picture[top_first::2] = late[top_first::2]
        pictures.append(picture)
    return pictures
