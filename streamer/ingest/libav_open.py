"""What libav does not look at: whether it is given a plain file, a host that is known; which track is the video.

On the camera's thread; blocks for a look at the disk or at the DNS.
"""

import os
import socket
import stat
from collections.abc import Sequence
from urllib.parse import urlsplit

from av.container import InputContainer
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from streamer.errors import CameraError, CameraNotFound, CameraUnreachable, StreamHasNoVideo, StreamInvalid
from streamer.ingest import faults
from streamer.ingest.address import Address

_THUMBNAIL = 16  # times as many pixels as it has: another track
# libav draws plain text as a film of letters.
_TEXT_CODECS = frozenset({"ansi", "bintext", "xbin", "idf"})


def check_file(where: Address) -> None:
    """Only plain files: a pipe or a folder could block without limit."""
    try:
        found = os.stat(where.target)
    except OSError as error:
        why = (error.strerror or "unreadable").lower()
        raise CameraNotFound(f"{where.who} can't be opened ({why}); check the path") from None
    if not stat.S_ISREG(found.st_mode):
        raise StreamInvalid(f"{where.who} is no plain file; give a clip, a URL or a /dev/video device")
    if found.st_size == 0:
        raise StreamInvalid(f"{where.who} is empty (0 bytes); give a clip that plays")


def unknown_host(where: Address) -> CameraError | None:
    """Where its name is one that nobody knows, which libav calls an input/output error. Blocks for the look-up.

    A raw / or # in a password ends what is taken for the host: what stands there may be a secret, and is not shown.
    """
    parts = urlsplit(where.target)
    host = parts.netloc.rpartition("@")[2].partition(":")[0]
    if where.kind not in ("rtsp", "http") or not host or host.startswith("["):
        return None
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        if "@" in where.target[where.target.index(parts.netloc) + len(parts.netloc) :]:
            return CameraNotFound(
                f"{where.who}: its login has a / or # in it; percent-encode it (%2F, %23), or take it from a ${{VAR}}"
            )
        return CameraUnreachable(f"{where.who}: there is no host {host}; check its name, and this machine's DNS")
    return None


def choose_video(where: Address, container: InputContainer) -> VideoStream:
    """The best of the real video streams; the others are not even parsed. Raises StreamHasNoVideo, StreamInvalid."""
    videos = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not videos and not container.streams.audio:  # libav takes some texts for subtitles
        raise faults.undecodable(where, "is no video")
    if not videos:
        raise StreamHasNoVideo(f"{where.who} has no video in it; choose a stream or a file that has")
    video = _best(videos)
    if video.codec_context is None:
        raise faults.undecodable(where, "has a codec that is not known here")
    if video.codec_context.name in _TEXT_CODECS:
        raise faults.undecodable(where, "is text and no video")
    for stream in container.streams:
        if stream.index != video.index:
            stream.discard = Discard.all
    return video


def _best(videos: Sequence[VideoStream]) -> VideoStream:
    """What can be decoded goes first, then what its maker calls the default one, then pixels; the first of equals.

    A thumbnail does not count as anybody's default: writers call their first track so, whatever it is.
    """
    pixels = [v.codec_context.width * v.codec_context.height if v.codec_context is not None else 0 for v in videos]

    def rank(number: int) -> tuple[bool, bool, int]:
        video, is_thumbnail = videos[number], pixels[number] * _THUMBNAIL < max(pixels)
        is_default = bool(video.disposition & Disposition.default) and not is_thumbnail
        return video.codec_context is not None, is_default, pixels[number]

    return videos[max(range(len(videos)), key=rank)]
