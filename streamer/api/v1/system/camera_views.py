"""Cameras as JSON, in and out: never a login."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from streamer.cameras.edits import Whence
from streamer.ingest.address import publishers_url, redacted_url
from streamer.ingest.decode_gate.habits import Reason, Way
from streamer.ingest.probe import ProbeReport
from streamer.looking.promptness import LastMinute
from streamer.pipeline.camera import Camera, State
from streamer.sections.polygons import Polygon
from streamer.settings import CameraSettings, HwAccel, Names, RtspIngestSettings

_EXAMPLE: dict[str, Any] = {
    "name": "door",
    "state": "online",
    "reason": None,
    "from": "yaml",
    "url": "rtsp://***@192.0.2.9/h264",
    "publish_to": None,
    "transport": "tcp",
    "fps": 10.0,
    "aspect": None,
    "rotate": 0,
    "video_track": None,
    "hwaccel": "none",
    "pace": "realtime",
    "loop": False,
    "enabled": True,
    "open_timeout_s": 10.0,
    "read_timeout_s": 10.0,
    "stalled_after_s": None,
    "names": "gallery",
    "snapshots": False,
    "masks": [[[0.0, 0.0], [0.3, 0.0], [0.3, 0.4], [0.0, 0.4]]],
    "regions": [],
}


class CameraView(BaseModel):
    """`from`: the YAML, `set` (a variable or --set), or a command: added, changed. `url`: without its login."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE}, populate_by_name=True)

    name: str
    state: State
    reason: str | None
    came_from: Whence = Field(alias="from")
    url: str
    publish_to: str | None
    transport: Literal["tcp", "udp"]
    fps: float
    aspect: str | None
    rotate: Literal[0, 90, 180, 270]
    video_track: int | None
    hwaccel: HwAccel
    pace: Literal["realtime", "fastest"]
    loop: bool
    enabled: bool
    open_timeout_s: float
    read_timeout_s: float
    stalled_after_s: float | None
    names: Names
    snapshots: bool
    masks: tuple[Polygon, ...]
    regions: tuple[Polygon, ...]

    @classmethod
    def of(cls, camera: Camera, came_from: Whence, rtsp: RtspIngestSettings) -> Self:
        settings = camera.settings
        return cls.model_validate(
            settings.model_dump(exclude={"url", "user", "password"})
            | {
                "name": camera.name,
                "state": camera.status.state,
                "reason": camera.status.reason or None,
                "from": came_from,
                "url": redacted_url(settings.url),
                "publish_to": publishers_url(rtsp, camera.name) if settings.is_published else None,
            }
        )


class LatencyView(BaseModel):
    """How soon a camera's pictures are looked at, over the last `within_s` seconds: a minute, less where it was opened
    since. `p50_ms`, `p95_ms`: from a picture's arrival (of a file: when it is due) until its faces were judged, of the
    last 600; null where none was looked at, or nothing is due (`pace: fastest`). `dropped`: pictures that there was no
    time for. `last_picture_s`: so long ago the last one came; null: none came yet."""

    within_s: float
    looked_at: int
    looked_at_per_s: float | None
    dropped: int
    p50_ms: float | None
    p95_ms: float | None
    last_picture_s: float | None

    @classmethod
    def of(cls, found: LastMinute) -> "LatencyView":
        def tenths(figure: float | None) -> float | None:
            return None if figure is None else round(figure, 1)

        within_s = round(found.within_s, 1)
        return cls(
            within_s=within_s,
            looked_at=found.looked_at,
            looked_at_per_s=round(found.looked_at / within_s, 1) if within_s >= 1 else None,
            dropped=found.dropped,
            p50_ms=tenths(found.p50_ms),
            p95_ms=tenths(found.p95_ms),
            last_picture_s=tenths(found.last_picture_s),
        )


class CameraList(BaseModel):
    """`removed`: cameras of the YAML that a command took away; a reset brings them back."""

    cameras: list[CameraView]
    removed: list[str]


class CameraChange(CameraSettings):
    """What cameras.NAME.KEY of the configuration may be; a `url` as it is shown stands for the one that there is."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"fps": 5.0, "enabled": True}})

    url: str = Field(default="", min_length=1, max_length=2000, repr=False)

    def given(self) -> dict[str, Any]:
        """What was given alone."""
        return self.model_dump(mode="json", exclude_unset=True)


class ProbeAsked(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"url": "rtsp://user:password@192.0.2.9/h264", "transport": "tcp"}},
    )

    url: str = Field(min_length=1, max_length=2000, repr=False, description="a URL, file or device")
    transport: Literal["tcp", "udp"] = "tcp"


class ProbeView(BaseModel):
    """What a camera sends; `faces`: in its last picture, null where nobody looked; `notes`: what is odd about it.

    `watch`: how it is watched while nothing moves, in words; `watch_way` and `watch_reason` are null where that is not
    known. `keyframe_s`: its longest time without a keyframe. `decode_ms_per_s`: CPU time of decoding a second of it;
    `quiet_decode_ms_per_s`: while nothing moves.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "codec": "h264",
                "width": 1280,
                "height": 720,
                "fps": 25.0,
                "transport": "tcp",
                "open_s": 0.31,
                "first_frame_s": 0.62,
                "faces": 1,
                "reading": "a live stream, by its own timestamps; 10 frames a second of its 25",
                "notes": [],
                "watch": "while nothing moves, its keyframes alone are decoded, and what follows each is kept until "
                "something does: its packets weigh more as soon as something moves, and its keyframes' "
                "picture is looked at",
                "watch_way": "keyframes",
                "watch_reason": "sizes_and_keyframes",
                "keyframe_s": 1.0,
                "decode_ms_per_s": 41.5,
                "quiet_decode_ms_per_s": 9.2,
            }
        }
    )

    codec: str
    width: int
    height: int
    fps: float | None
    transport: str
    open_s: float
    first_frame_s: float
    faces: int | None
    reading: str
    notes: list[str]
    watch: str
    watch_way: Way | None
    watch_reason: Reason | None
    keyframe_s: float | None
    decode_ms_per_s: float | None
    quiet_decode_ms_per_s: float | None

    @classmethod
    def of(cls, report: ProbeReport) -> Self:
        return cls(
            codec=report.codec,
            width=report.width,
            height=report.height,
            fps=report.fps,
            transport=report.transport,
            open_s=round(report.open_s, 3),
            first_frame_s=round(report.first_frame_s, 3),
            faces=report.faces,
            reading=report.reading,
            notes=list(report.notes),
            watch=report.watch,
            watch_way=report.watch_way,
            watch_reason=report.watch_reason,
            keyframe_s=None if report.keyframe_s is None else round(report.keyframe_s, 3),
            decode_ms_per_s=report.decode_ms_per_s,
            quiet_decode_ms_per_s=report.quiet_decode_ms_per_s,
        )
