"""Looks at a camera: opens it, watches it for a moment, leaves it. For `cameras probe` and `check`.

A URL goes in, a ProbeReport comes out; on the loop, with the source's own thread.
"""

import asyncio
import math
import time
from contextlib import suppress
from dataclasses import dataclass, replace

from streamer.ingest.decode_gate.habits import Reason, Way
from streamer.ingest.decode_gate.telling import WatchOutlook
from streamer.ingest.frame import Frame
from streamer.ingest.libav_source import VideoSource
from streamer.ingest.source import open_source
from streamer.ingest.stream import StreamEnded, StreamInfo
from streamer.ingest.stream_clock import NO_HOLD_S
from streamer.motion.areas import Areas
from streamer.motion.attention import Attention, AttentionRules
from streamer.settings import CameraSettings

_TIMES = {
    "clip": "a clip, by its own time",
    "timestamps": "a live stream, by its own timestamps",
    "arrival": "a live stream without timestamps, by when its pictures come",
}


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What a camera sends. width and height are its first frame's, px; fps is None where it doesn't say.

    open_s and first_frame_s are counted from the start of the probe. reading: how it is read, in words; notes: what is
    odd about it. faces: in the last picture; None where nobody looked. watch: how it is watched while nothing moves, in
    words, by its way and its reason (None where that is not known); keyframe_s: its longest time without a keyframe.
    decode_ms_per_s: CPU time of decoding, a second of the stream; quiet_decode_ms_per_s: while nothing moves.
    """

    codec: str
    width: int
    height: int
    fps: float | None
    transport: str
    open_s: float
    first_frame_s: float
    faces: int | None = None
    reading: str = ""
    notes: tuple[str, ...] = ()
    watch: str = ""
    watch_way: Way | None = None
    watch_reason: Reason | None = None
    keyframe_s: float | None = None
    decode_ms_per_s: float | None = None
    quiet_decode_ms_per_s: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Probed:
    """A report, and the last frame that was seen."""

    report: ProbeReport
    frame: Frame


async def probe(
    url: str, camera: CameraSettings, name: str = "probe", *, watch_s: float = 0.0, wake_within_s: float = 1.0
) -> Probed:
    """`url` as expand_url() gives it; it is watched for watch_s, all of its frames. Raises the CameraError."""
    started_s = time.monotonic()
    attention = Attention(AttentionRules(wake_within_s=wake_within_s))
    attention.hold(math.inf)
    async with open_source(name, camera, url, attention=attention) as source:
        open_s = time.monotonic() - started_s
        first = last = await source.take()
        first_frame_s = time.monotonic() - started_s
        late_s = 0.0
        with suppress(TimeoutError, StreamEnded):
            async with asyncio.timeout(watch_s):
                while True:
                    last = await source.take()
                    late_s = max(late_s, last.late_s or 0.0)
        info, watched = source.info, source.outlook
        report = ProbeReport(
            codec=info.codec,
            width=first.width,
            height=first.height,
            fps=info.fps,
            transport=info.transport,
            open_s=open_s,
            first_frame_s=first_frame_s,
            reading=_reading(info, camera),
            notes=(
                *_tracks(info),
                *first.image.notes,
                *Areas(camera.masks, camera.regions).notes,
                *([source.decoding] if source.decoding else []),
                *(() if info.times == "clip" else _troubles(source, late_s)),
            ),
        )
        return Probed(_with_outlook(report, watched), last)


def _with_outlook(report: ProbeReport, watched: WatchOutlook | None) -> ProbeReport:
    if watched is None:
        return replace(report, watch="every frame is wanted: its pace is fastest, or its pictures are asked for")
    return replace(
        report,
        watch=watched.words,
        watch_way=watched.way,
        watch_reason=watched.reason,
        keyframe_s=watched.keyframe_s,
        decode_ms_per_s=watched.decode_ms_per_s,
        quiet_decode_ms_per_s=watched.quiet_decode_ms_per_s,
    )


def _reading(info: StreamInfo, camera: CameraSettings) -> str:
    share = "every frame" if info.fps is not None and info.fps <= camera.fps else f"{camera.fps:g} frames a second"
    return f"{_TIMES[info.times]}; {share} of {'its' if info.fps is None else f'its {info.fps:g}'}"


def _tracks(info: StreamInfo) -> list[str]:
    if len(info.tracks) < 2:
        return []
    listed = ", ".join(f"{number}: {track}" for number, track in enumerate(info.tracks))
    return [f"it has {len(info.tracks)} video tracks ({listed}); {info.track} is read, video_track names another"]


def _troubles(source: VideoSource, late_s: float) -> list[str]:
    said = []
    if source.trouble == "pictures_damaged":
        said.append("most of its pictures are damaged: check its network (transport: tcp), cable and encoder")
    if source.is_black:
        said.append("its picture is black: check its lens, the light and its infrared lamp")
    if late_s > NO_HOLD_S:
        said.append(f"it comes in bursts: a frame was {late_s:.1f} s later than another, and is shown so much later")
    return said
