"""Scenes as cameras send them: composed once, encoded by x264 and x265 in several ways at a time, kept in a folder.

A scene and encodings go in, MP4 files come out; those that are there already are not made again. Blocks.
"""

import hashlib
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
from av.container import OutputContainer
from av.video.stream import VideoStream

from recognition.arrays import U8
from streamer.bench.idle.people import People
from streamer.bench.idle.scene import Scene

AT_A_TIME = 4  # encodings for which pictures are composed once: who is broken off keeps what is done
_MADE_BY = 2  # one more where files that lie there must be made again
_HD_KBPS, _HD_PIXELS = 2500, 1280 * 720 * 15


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a camera encodes: VBR is capped, CBR filled up; keyframe_s: from one to the next (of intra refresh: how long
    a round of it takes, there is one keyframe at the start). kbps 0: what is usual for the size."""

    codec: Literal["h264", "h265"] = "h264"
    rate: Literal["vbr", "cbr"] = "vbr"
    keyframe_s: float = 1.0
    b_frames: int = 0
    intra_refresh: bool = False
    kbps: int = 0

    def bits_per_s(self, scene: Scene) -> int:
        share = (scene.width * scene.height * scene.fps / _HD_PIXELS) ** 0.75
        return 1000 * (self.kbps or round(_HD_KBPS * share * (0.6 if self.codec == "h265" else 1.0)))


# All that cameras of this kind are met with.
ENCODINGS: dict[str, Encoding] = {
    "h264-vbr-1s": Encoding(),
    "h264-vbr-2s": Encoding(keyframe_s=2.0),
    "h264-vbr-4s": Encoding(keyframe_s=4.0),
    "h264-vbr-10s": Encoding(keyframe_s=10.0),
    "h264-vbr-2s-b": Encoding(keyframe_s=2.0, b_frames=2),
    "h264-vbr-refresh": Encoding(keyframe_s=2.0, intra_refresh=True),
    "h264-cbr-1s": Encoding(rate="cbr"),
    "h264-cbr-2s": Encoding(rate="cbr", keyframe_s=2.0),
    "h264-cbr-4s-b": Encoding(rate="cbr", keyframe_s=4.0, b_frames=2),
    "h265-vbr-1s": Encoding("h265"),
    "h265-vbr-4s": Encoding("h265", keyframe_s=4.0),
    "h265-vbr-2s-b": Encoding("h265", keyframe_s=2.0, b_frames=2),
    "h265-vbr-refresh": Encoding("h265", keyframe_s=2.0, intra_refresh=True),
    "h265-cbr-1s": Encoding("h265", rate="cbr"),
}


def encoded(
    scene: Scene, people: People | None, encodings: Mapping[str, Encoding], folder: Path, name: str = "hall"
) -> dict[str, Path]:
    """The file of each encoding, by its name in `encodings`. `people` may be None where nobody walks."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {key: folder / f"{name}-{key}-{_digest(scene, encoding)}.mp4" for key, encoding in encodings.items()}
    missing = [key for key, file in files.items() if not file.is_file()]
    for first in range(0, len(missing), AT_A_TIME):
        some = {key: files[key] for key in missing[first : first + AT_A_TIME]}
        _write(scene, people, {file: encodings[key] for key, file in some.items()})
    return files


def _write(scene: Scene, people: People | None, files: Mapping[Path, Encoding]) -> None:
    """Whole files or none."""
    parts = {file: file.with_suffix(f".{os.getpid()}.part") for file in files}
    with ExitStack() as stack:
        for part in parts.values():
            stack.callback(part.unlink, missing_ok=True)  # those that did not become whole
        writers = [stack.enter_context(_Writer(scene, encoding, parts[file])) for file, encoding in files.items()]
        for picture in scene.pictures(people):
            for writer in writers:
                writer.add(picture)
        for writer in writers:
            writer.close()
        for file, part in parts.items():
            part.rename(file)


def _digest(scene: Scene, encoding: Encoding) -> str:
    return hashlib.sha256(repr((scene, encoding, _MADE_BY)).encode()).hexdigest()[:10]


class _Writer(ExitStack):
    """One file."""

    def __init__(self, scene: Scene, encoding: Encoding, path: Path) -> None:
        super().__init__()
        self._scene = scene
        self._number = 0
        self._file: OutputContainer = self.enter_context(av.open(str(path), "w", format="mp4"))
        self._stream = _stream(self._file, scene, encoding)
        self.callback(self._finish)

    def add(self, picture: U8) -> None:
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts, frame.time_base = self._number, Fraction(1, self._scene.fps)
        self._number += 1
        self._file.mux(self._stream.encode(frame))

    def _finish(self) -> None:
        self._file.mux(self._stream.encode(None))


def _stream(file: OutputContainer, scene: Scene, encoding: Encoding) -> VideoStream:
    gop = max(1, round(encoding.keyframe_s * scene.fps))
    bits = encoding.bits_per_s(scene)
    options, params = _options(encoding, gop, bits // 1000)
    key = "x264-params" if encoding.codec == "h264" else "x265-params"
    options[key] = ":".join(f"{name}={value}" for name, value in params.items())
    stream = file.add_stream("libx264" if encoding.codec == "h264" else "libx265", rate=scene.fps, options=options)
    stream.width, stream.height, stream.pix_fmt, stream.gop_size = scene.width, scene.height, "yuv420p", gop
    stream.codec_context.max_b_frames = encoding.b_frames
    if encoding.codec == "h265":
        stream.codec_context.codec_tag = "hvc1"
    if encoding.rate == "cbr":
        stream.bit_rate = bits
    return stream


def _options(encoding: Encoding, gop: int, kbps: int) -> tuple[dict[str, str], dict[str, object]]:
    """Of the codec, and of the encoder behind it."""
    params: dict[str, object] = {
        "keyint": gop,
        "min-keyint": gop,
        "scenecut": 0,
        "bframes": encoding.b_frames,
        "vbv-maxrate": kbps,
        "vbv-bufsize": kbps,
        "open-gop": 0,
        "rc-lookahead": 0 if encoding.b_frames == 0 else encoding.b_frames + 1,
    }
    if encoding.intra_refresh:
        params |= {"intra-refresh": 1}
    if encoding.codec == "h264":
        options = {"preset": "superfast"}
        params |= {"sync-lookahead": 0, "sliced-threads": 0}
        params |= {"nal-hrd": "cbr", "filler": 1} if encoding.rate == "cbr" else {"crf": 27}
    else:
        options = {"preset": "ultrafast"}
        params |= {"log-level": "none", "repeat-headers": 0}
        params |= {"strict-cbr": 1, "hrd": 1, "bitrate": kbps} if encoding.rate == "cbr" else {"crf": 28}
    return options, params
