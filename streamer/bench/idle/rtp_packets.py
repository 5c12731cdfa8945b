"""Encoded pictures as RTP packets on an RTSP connection: H.264 by RFC 6184, H.265 by RFC 7798; and their SDP.

A clip's file goes in; per picture the payloads of its packets come out, made once however many receive them. Blocks.
"""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import av
from av.bitstream import BitStreamFilterContext

from streamer.errors import BenchFailed

PAYLOAD_BYTES = 1400
CLOCK_HZ = 90_000


@dataclass(frozen=True, slots=True)
class Picture:
    """at_s: when it is sent, from the first one on; pts: of its own, in ticks of RTP's clock.

    payloads: without headers, the last one with the marker.
    """

    at_s: float
    pts: int
    is_keyframe: bool
    payloads: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class PacketClip:
    """A clip in the order in which it is sent. seconds: how long a lap of it takes."""

    codec: Literal["h264", "h265"]
    pictures: tuple[Picture, ...]
    seconds: float
    fmtp: str

    @property
    def sdp(self) -> str:
        name = self.codec.upper()
        return (
            "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=hall\r\nt=0 0\r\n"
            "m=video 0 RTP/AVP 96\r\nc=IN IP4 0.0.0.0\r\n"
            f"a=rtpmap:96 {name}/{CLOCK_HZ}\r\na=fmtp:96 {self.fmtp}\r\na=control:video\r\n"
        )

    def keyframe_before(self, at_s: float) -> int:
        """The number of the last keyframe that is sent by then."""
        found = 0
        for number, picture in enumerate(self.pictures):
            if picture.at_s > at_s + 1e-6:
                break
            if picture.is_keyframe:
                found = number
        return found


def packet_clip(path: Path) -> PacketClip:
    """Raises BenchFailed where the file holds neither codec."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        codec: Literal["h264", "h265"] | None = {"h264": "h264", "hevc": "h265"}.get(video.codec_context.name)  # type: ignore[assignment]
        if codec is None:
            raise BenchFailed(f"{path} is {video.codec_context.name}; a clip that is sent by RTSP is H.264 or H.265")
        rate = float(video.average_rate or 25)
        annexb = BitStreamFilterContext(f"{'h264' if codec == 'h264' else 'hevc'}_mp4toannexb", video)
        pictures: list[Picture] = []
        sets: dict[int, bytes] = {}
        for packet in container.demux(video):
            for whole in annexb.filter(packet if packet.size else None):
                units = list(_units(bytes(whole)))
                for unit in units:
                    sets.setdefault(_kind(codec, unit), unit)
                pts = round(float((whole.pts or 0) * whole.time_base) * CLOCK_HZ)
                payloads = tuple(part for unit in units for part in _payloads(codec, unit))
                pictures.append(Picture(len(pictures) / rate, pts, whole.is_keyframe, payloads))
    return PacketClip(codec, tuple(pictures), len(pictures) / rate, _fmtp(codec, sets))


def _units(annexb: bytes) -> Iterator[bytes]:
    for unit in annexb.split(b"\0\0\1"):
        if stripped := unit.rstrip(b"\0"):
            yield stripped


def _kind(codec: str, unit: bytes) -> int:
    return unit[0] & 0x1F if codec == "h264" else unit[0] >> 1 & 0x3F


def _fmtp(codec: str, sets: dict[int, bytes]) -> str:
    def told(kind: int) -> str:
        return base64.b64encode(sets[kind]).decode()

    if codec == "h264":
        return f"packetization-mode=1;profile-level-id={sets[7][1:4].hex()};sprop-parameter-sets={told(7)},{told(8)}"
    return f"sprop-vps={told(32)};sprop-sps={told(33)};sprop-pps={told(34)}"


def _payloads(codec: str, unit: bytes) -> Iterator[bytes]:
    """The unit itself, or pieces of it (FU-A; FU)."""
    if len(unit) <= PAYLOAD_BYTES:
        yield unit
        return
    head, body = (unit[:1], unit[1:]) if codec == "h264" else (unit[:2], unit[2:])
    starts = range(0, len(body), PAYLOAD_BYTES - 3)
    for start in starts:
        piece = body[start : start + PAYLOAD_BYTES - 3]
        edge = (0x80 if start == 0 else 0) | (0x40 if start == starts[-1] else 0)
        if codec == "h264":
            yield bytes((head[0] & 0xE0 | 28, edge | head[0] & 0x1F)) + piece
        else:
            yield bytes((head[0] & 0x81 | 49 << 1, head[1], edge | _kind(codec, head))) + piece


def framed(payloads: Sequence[bytes], first_sequence: int, timestamp: int) -> bytes:
    """The picture's RTP packets as they go over RTSP's own connection (RFC 2326, 10.12), channel 0."""
    out = []
    for number, payload in enumerate(payloads):
        marker = 0x80 if number == len(payloads) - 1 else 0
        sequence = (first_sequence + number) & 0xFFFF
        out.append(b"$\0" + (12 + len(payload)).to_bytes(2, "big") + bytes((0x80, marker | 96)))
        out.append(sequence.to_bytes(2, "big") + (timestamp & 0xFFFFFFFF).to_bytes(4, "big") + b"\0\0\0\1" + payload)
    return b"".join(out)
