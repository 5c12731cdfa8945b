"""An SDP (RFC 8866) -> the tracks that it announces, and the one video track that we take. Pure.

What it can't make sense of it passes over: publishers write much into it that nobody needs.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from streamer.errors import StreamHasNoVideo, StreamInvalid, StreamUnsupported

Codec = Literal["h264", "hevc"]

START_CODE = b"\x00\x00\x00\x01"
MOST_BYTES = 64 * 1024
MOST_MEDIA = MOST_FORMATS = 16
_NUMBER = re.compile(r"[0-9]{1,9}")
_CODECS: dict[str, Codec] = {"H264": "h264", "H265": "hevc", "HEVC": "hevc"}
# In the order in which a decoder wants them.
_SETS: dict[Codec, tuple[str, ...]] = {
    "h264": ("sprop-parameter-sets",),
    "hevc": ("sprop-vps", "sprop-sps", "sprop-pps"),
}


@dataclass(frozen=True, slots=True)
class Format:
    """One payload type of a track: encoding in upper case (`H264`; empty where no rtpmap names it), its parameters."""

    payload_type: int
    encoding: str = ""
    clock_rate: int = 0
    parameters: dict[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Media:
    """An m= section. index: which one, from 0. kind: `video`, `audio`, …; control: as it stands, relative or not."""

    index: int
    kind: str
    profile: str
    control: str
    formats: tuple[Format, ...]


@dataclass(frozen=True, slots=True)
class TrackDescription:
    """The video track that is taken. extradata: its parameter sets, Annex B; empty where they come in band."""

    codec: Codec
    payload_type: int
    clock_rate: int
    control: str
    index: int
    extradata: bytes = field(default=b"", repr=False)


def tracks(sdp: bytes) -> tuple[Media, ...]:
    """Every track, in order. Raises StreamInvalid where this is no SDP, or one beyond all measure."""
    if len(sdp) > MOST_BYTES:
        raise StreamInvalid(f"the SDP has {len(sdp)} bytes, at most {MOST_BYTES} are read; announce fewer tracks")
    lines = [line.strip() for line in sdp.decode("utf-8", "replace").splitlines()]
    if not any(line.startswith("v=") for line in lines[:4]):
        raise StreamInvalid("what was announced is no SDP (it has no v= line); check the publisher")
    sections = list(_sections(lines))
    if len(sections) > MOST_MEDIA:
        raise StreamInvalid(f"the SDP has {len(sections)} tracks, at most {MOST_MEDIA} are read; announce fewer")
    return tuple(_media(index, section) for index, section in enumerate(sections))


def video_track(sdp: bytes) -> TrackDescription:
    """The first video track of a codec that is taken. Raises StreamInvalid, StreamHasNoVideo, StreamUnsupported."""
    videos = [media for media in tracks(sdp) if media.kind == "video"]
    if not videos:
        raise StreamHasNoVideo("what was announced has no video track; publish one")
    refused = []
    for media in videos:
        for form in media.formats:
            fault = _fault(media, form)
            if fault is None:
                codec = _CODECS[form.encoding]
                rate = form.clock_rate or 90_000
                sets = _parameter_sets(codec, form.parameters)
                return TrackDescription(codec, form.payload_type, rate, media.control, media.index, sets)
            refused.append(fault)
    raise StreamUnsupported(f"{refused[0] if refused else 'its video track has no format'}; publish H.264 or H.265")


def _sections(lines: list[str]) -> Iterator[list[str]]:
    starts = [number for number, line in enumerate(lines) if line.startswith("m=")]
    for start, end in zip(starts, [*starts, len(lines)][1:], strict=True):
        yield lines[start:end]


def _media(index: int, lines: list[str]) -> Media:
    kind, _port, profile, *types = (*lines[0][2:].split(), "", "", "")
    attributes = [line[2:].partition(":") for line in lines if line.startswith("a=")]
    control = next((value.strip() for name, _, value in attributes if name == "control"), "")
    formats = tuple(_format(int(number), attributes) for number in types[:MOST_FORMATS] if _NUMBER.fullmatch(number))
    return Media(index, kind.lower(), profile.upper(), control, formats)


def _format(payload_type: int, attributes: list[tuple[str, str, str]]) -> Format:
    encoding, rate, parameters = "", 0, {}
    for name, _, value in attributes:
        number, _, rest = value.strip().partition(" ")
        if number != str(payload_type):
            continue
        if name == "rtpmap":
            called, _, clock = rest.strip().partition("/")
            encoding, clock = called.strip().upper(), clock.partition("/")[0]
            rate = int(clock) if _NUMBER.fullmatch(clock) else 0
        elif name == "fmtp":
            parameters = {
                key.strip().lower(): text.strip() for key, _, text in (part.partition("=") for part in rest.split(";"))
            }
    return Format(payload_type, encoding, rate, parameters)


def _fault(media: Media, form: Format) -> str | None:
    """Why this format can't be taken."""
    called = form.encoding[:20] if form.encoding.isprintable() else ""
    if form.encoding not in _CODECS:
        return f"its video is {called or f'of payload type {form.payload_type}'}, which is not taken"
    if "SAVP" in media.profile:
        return "its video is encrypted (SRTP)"
    # RFC 6184, 6.4 and RFC 7798, 4.4: NAL units out of their decoding order.
    if form.parameters.get("packetization-mode") == "2":
        return "its H.264 is interleaved (packetization-mode 2)"
    if form.parameters.get("sprop-max-don-diff", "0") != "0":
        return "its H.265 is interleaved (sprop-max-don-diff)"
    return None


def _parameter_sets(codec: Codec, parameters: dict[str, str]) -> bytes:
    sets = []
    for name in _SETS[codec]:
        for text in parameters.get(name, "").split(","):
            try:
                unit = base64.b64decode(text.strip(), validate=True)
            except (binascii.Error, ValueError):
                continue
            if unit:
                sets.append(START_CODE + unit)
    return b"".join(sets)
