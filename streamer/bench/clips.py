"""The clips that the benchmark plays, made from the one it was given. Block while they are written."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def repeated(clip: Path, out: Path, laps: int) -> Path:
    """The clip's video so many times over, its packets as they are."""
    with av.open(str(out), "w") as target:
        stream, offset = None, 0
        for _ in range(laps):
            with av.open(str(clip)) as source:
                video = source.streams.video[0]
                stream = stream or target.add_stream_from_template(video)
                end = offset
                for packet in source.demux(video):
                    if packet.dts is None:
                        continue
                    packet.dts += offset
                    packet.pts = packet.dts if packet.pts is None else packet.pts + offset
                    end = max(end, packet.pts + (packet.duration or 1))
                    packet.stream = stream
                    target.mux(packet)
                offset = end
    return out


def with_gap(clip: Path, out: Path, *, start: float = 0.0, gap_s: float = 1.0, most_height: int = 720) -> Path:
    """The clip at 720p at most, with black after it, so that looping it ends its visits and begins new ones.

    `start` in [0, 1): at which part of all that it begins, so that several cameras are not in step.
    """
    with av.open(str(clip)) as source:
        video = source.streams.video[0]
        rate = Fraction(video.average_rate or 25).limit_denominator(1000)
        scale = min(1.0, most_height / video.height)
        width, height = (int(side * scale) // 2 * 2 for side in (video.width, video.height))
        pictures = [f.reformat(width, height, "yuv420p", interpolation="AREA") for f in source.decode(video)]
    black = av.VideoFrame.from_ndarray(np.zeros((height, width, 3), np.uint8), format="bgr24")
    pictures += [black.reformat(format="yuv420p") for _ in range(int(gap_s * rate))]
    first = int(start * len(pictures))
    with av.open(str(out), "w") as target:
        stream = target.add_stream("libx264", rate=rate, options={"preset": "veryfast", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number, picture in enumerate(pictures[first:] + pictures[:first]):
            picture.pts, picture.time_base = number, 1 / rate
            target.mux(stream.encode(picture))
        target.mux(stream.encode(None))
    return out


def at_rate(clip: Path, out: Path, width: int, height: int, bits_per_s: int) -> Path:
    """The clip as a camera would send it: this size and bit rate, 25 frames a second, a keyframe every two seconds."""
    with av.open(str(clip)) as source, av.open(str(out), "w") as target:
        options = {"preset": "veryfast", "tune": "zerolatency", "maxrate": str(bits_per_s), "bufsize": str(bits_per_s)}
        stream = target.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.bit_rate, stream.gop_size, stream.thread_count = bits_per_s, 50, 1
        for number, frame in enumerate(source.decode(source.streams.video[0])):
            picture = frame.reformat(width, height, "yuv420p", interpolation="AREA")
            picture.pts, picture.time_base = number, Fraction(1, 25)
            target.mux(stream.encode(picture))
        target.mux(stream.encode(None))
    return out
