"""A small hall that is quiet but for one walker, encoded as cameras do; and how its packets decode without any gate."""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import av
import numpy as np

from streamer.ingest.frame import VideoImage
from tests.streamer.ingest.writers import by_ffmpeg

FPS, WIDTH, HEIGHT = 15, 320, 192
SECONDS, ENTERS_S, LEAVES_S = 12.0, 8.4, 10.4

_H264 = "-c:v libx264 -preset veryfast -x264-params scenecut=0:keyint={gop}:min-keyint={gop}:rc-lookahead=8"
_H265 = "-c:v libx265 -preset ultrafast -x265-params log-level=none:scenecut=0:keyint={gop}:min-keyint={gop}"
_CBR = ":bitrate=500:vbv-maxrate=500:vbv-bufsize=500"
# name: (options, s between keyframes, the way that is right)
KINDS = {
    "h264-vbr": (f"{_H264}:bframes=0:crf=27", 1, "keyframes"),
    "h264-vbr-b": (f"{_H264}:bframes=2:b-adapt=0:crf=27", 1, "keyframes"),
    "h264-open-b": (f"{_H264}:bframes=2:b-adapt=0:open-gop=1:crf=27", 1, "keyframes"),
    "h264-cbr": (f"{_H264}:bframes=0{_CBR}:nal-hrd=cbr", 1, "keyframes"),
    "h264-2s": (f"{_H264}:bframes=0:crf=27", 2, "all"),
    "h264-4s-b": (f"{_H264}:bframes=2:b-adapt=0:b-pyramid=none:crf=27", 4, "reference"),
    "h264-10s": (f"{_H264}:bframes=0:crf=27", 10, "all"),
    "h264-refresh": (f"{_H264}:bframes=0:intra-refresh=1:crf=27", 1, "all"),
    "h265-vbr": (f"{_H265}:bframes=0:crf=28", 1, "keyframes"),
    "h265-open-b": (f"{_H265}:bframes=3:b-adapt=0:open-gop=1:crf=28", 1, "keyframes"),
    "h265-cbr": (f"{_H265}:bframes=0{_CBR}:strict-cbr=1", 1, "keyframes"),
    "h265-4s-b": (f"{_H265}:bframes=2:b-adapt=0:b-pyramid=0:crf=28", 4, "reference"),
    "h265-refresh": (f"{_H265}:bframes=0:intra-refresh=1:crf=28", 1, "all"),
}


def walks(at_s: float) -> bool:
    return ENTERS_S <= at_s < LEAVES_S


@cache
def pictures() -> list[np.ndarray]:
    random = np.random.default_rng(4)
    hall = np.linspace(60, 160, WIDTH)[None, :] + random.normal(0, 12, (HEIGHT // 8, WIDTH // 8)).repeat(8, 0).repeat(
        8, 1
    )
    walker = random.integers(30, 220, (HEIGHT // 2, WIDTH // 8)).astype(float)
    made = []
    for number in range(round(SECONDS * FPS)):
        at_s, grey = number / FPS, hall + random.normal(0, 1.2, hall.shape)
        if walks(at_s):
            left = round((at_s - ENTERS_S) / (LEAVES_S - ENTERS_S) * (WIDTH - walker.shape[1]))
            grey[HEIGHT // 4 :][: len(walker), left : left + walker.shape[1]] = walker
        made.append(np.repeat(np.clip(grey, 16, 235).astype(np.uint8)[:, :, None], 3, axis=2))
    return made


def encoded(folder: Path, kind: str, form: str = "mp4") -> Path:
    options, keyframe_s, _ = KINDS[kind]
    path = folder / f"{kind}.{form}"
    if not path.exists():
        by_ffmpeg(path, pictures(), FPS, *options.format(gop=round(keyframe_s * FPS)).split())
    return path


@dataclass
class Plain:
    """Luma of every picture by its timestamp, all decoded."""

    luma: dict[int, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path) -> "Plain":
        with av.open(str(path)) as container:
            return cls({frame.pts: luma_of(frame) for frame in container.decode(video=0) if frame.pts is not None})


def luma_of(frame: av.VideoFrame) -> bytes:
    return VideoImage(frame).luma().tobytes()
