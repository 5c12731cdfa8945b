"""Opens a stream by libav, and does what libav does not: plain files, unknown hosts, logins by SHA-256, many tracks.

On the camera's thread; blocks up to the camera's limits.
"""

import io
import os
import socket
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from urllib.parse import urlsplit

import av
from av.container import InputContainer
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from streamer.errors import (
    CameraError,
    CameraLoginRefused,
    CameraNotFound,
    CameraUnreachable,
    StreamHasNoVideo,
    StreamInvalid,
)
from streamer.ingest import faults
from streamer.ingest.address import Address
from streamer.ingest.hardware.acceleration import Acceleration
from streamer.ingest.logins.digest import authorization
from streamer.settings import CameraSettings

# A live playlist's pieces are shorter.
PIECE_WITHIN_S = 30.0

_THUMBNAIL = 16  # times as many pixels as it has: another track
# libav draws plain text as a film of letters.
_TEXT_CODECS = frozenset({"ansi", "bintext", "xbin", "idf"})


@contextmanager
def opened_stream(where: Address, camera: CameraSettings, acceleration: Acceleration) -> Iterator[InputContainer]:
    """The stream until it is left. Raises CameraError."""
    with ExitStack() as stack:
        try:
            container = _open(where, camera, acceleration)
        except CameraLoginRefused as refusal:
            container = _logged_in(where, camera, acceleration, refusal, stack)
        yield stack.enter_context(container)


@contextmanager
def opened_picture(where: Address, data: bytes) -> Iterator[InputContainer]:
    """An encoded picture's bytes. Raises StreamInvalid."""
    try:
        container = av.open(io.BytesIO(data), "r")
    except av.FFmpegError as error:
        fault = faults.open_fault(where, error, timed_out=False)
    else:
        with container:
            yield container
        return
    raise fault


def _logged_in(
    where: Address, camera: CameraSettings, acceleration: Acceleration, refusal: CameraLoginRefused, stack: ExitStack
) -> InputContainer:
    """Where the camera asks for a login that libav does not know, and that can be given. Else raises the refusal."""
    from streamer.ingest.logins.login import (
        challenge_beyond_libav,
        login_of,
    )  # httpx takes its time, few cameras need it
    from streamer.ingest.logins.relay import LoginRelay

    login = login_of(where.target)
    challenge = None if login is None else challenge_beyond_libav(login, camera.open_timeout_s)
    if login is None or challenge is None:
        raise refusal
    if where.is_playlist:
        raise CameraLoginRefused(
            f"{where.who} wants a login by Digest {challenge.algorithm}, which can't be given for HLS; "
            "set its web login to Digest MD5 or Basic, or give its rtsp URL"
        )
    if where.kind == "rtsp":
        try:
            relay = stack.enter_context(LoginRelay(login, camera.open_timeout_s))
        except OSError as error:
            raise CameraUnreachable(f"{where.who}: its login can't be relayed ({error.strerror}); try again") from None
        target, option = relay.url, {"rtsp_transport": "tcp"}
    else:
        value = authorization(challenge, "GET", login.path or "/", login.user, login.password)
        target, option = login.server + login.path, {"headers": f"Authorization: {value}\r\n"}
    return _open(replace(where, target=target, options=where.options | option), camera, acceleration)


def _open(where: Address, camera: CameraSettings, acceleration: Acceleration) -> InputContainer:
    """Raises what open_fault knows."""
    read_limit_s = camera.read_timeout_s
    if where.is_playlist:  # there one read waits for a whole piece; how long silence may be we see ourselves
        read_limit_s = max(read_limit_s, PIECE_WITHIN_S)
    limits = (camera.open_timeout_s, read_limit_s)
    target = where.target
    if where.kind == "file":
        _check_file(where)
        target = f"file:{target}"  # a colon in a name is no protocol
    started_s = time.monotonic()
    # Firmware that leaves out the first boundary of its MJPEG, or all of them: JPEGs one after another.
    formats = [where.format, "mjpeg"] if where.kind == "http" else [where.format]
    fault: CameraError | None = None
    while formats:
        try:
            return av.open(
                target,
                "r",
                format=formats[0],
                options=where.options,
                metadata_errors="replace",
                timeout=limits,
                hwaccel=acceleration.accelerator(),
            )
        except (av.FFmpegError, RuntimeError, NotImplementedError) as error:
            timed_out = time.monotonic() - started_s >= limits[0]
            if acceleration.kind is not None and not timed_out:  # perhaps for that alone
                acceleration.dropped("the stream can't be opened with it")
                continue
            if not isinstance(error, av.FFmpegError):
                raise
            formats.pop(0)
            fault = fault or faults.open_fault(where, error, timed_out=timed_out)
            if timed_out or not isinstance(error, av.error.InvalidDataError):
                break
    assert fault is not None
    if isinstance(fault, (CameraUnreachable, StreamInvalid)):  # what libav says of a host that is none
        fault = _unknown_host(where) or fault
    raise fault


def _check_file(where: Address) -> None:
    """Only plain files: a pipe or a folder could block without limit."""
    try:
        found = os.stat(where.target)
    except (OSError, ValueError) as error:  # %00 in a file: URL is no letter of a name
        why = (getattr(error, "strerror", None) or "unreadable").lower()
        raise CameraNotFound(f"{where.who} can't be opened ({why}); check the path") from None
    if not stat.S_ISREG(found.st_mode):
        raise StreamInvalid(f"{where.who} is no plain file; give a clip, a URL or a /dev/video device")
    if found.st_size == 0:
        raise StreamInvalid(f"{where.who} is empty (0 bytes); give a clip that plays")


def _unknown_host(where: Address) -> CameraError | None:
    """Where its name is one that nobody knows, which libav calls an input/output error. Blocks for the look-up.

    A raw / or # in a password ends what is taken for the host: what stands there may be a secret, and is not shown.
    """
    try:
        parts = urlsplit(where.target)
    except ValueError:  # libav has said what it thinks of it
        return None
    host = parts.netloc.rpartition("@")[2].partition(":")[0]
    if where.kind in ("file", "usb") or not host or host.startswith("["):
        return None
    try:
        socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):  # `cam..local` and a label of over 63 letters are asked of nobody
        if "@" in where.target[where.target.index(parts.netloc) + len(parts.netloc) :]:
            return CameraNotFound(
                f"{where.who}: its login has a / or # in it; percent-encode it (%2F, %23), or take it from a ${{VAR}}"
            )
        host = "".join(letter if letter.isprintable() else "?" for letter in host)
        return CameraUnreachable(f"{where.who}: there is no host {host}; check its name, and this machine's DNS")
    return None


def choose_video(where: Address, container: InputContainer, named: int | None = None) -> tuple[VideoStream, int]:
    """The named of the real video tracks, else the best, and its number; the others are not even parsed.

    Raises StreamHasNoVideo, StreamInvalid.
    """
    videos = _videos(container)
    if not videos and not container.streams.audio:  # libav takes some texts for subtitles
        raise faults.undecodable(where, "is no video")
    if not videos:
        raise StreamHasNoVideo(f"{where.who} has no video in it; choose a stream or a file that has")
    if named is not None and named >= len(videos):
        raise StreamHasNoVideo(
            f"{where.who} has no video track {named} (it has {len(videos)}, from 0 on); correct its video_track"
        )
    number = _best(videos) if named is None else named
    video = videos[number]
    if video.codec_context is None:
        raise faults.undecodable(where, "has a codec that is not known here")
    if video.codec_context.name in _TEXT_CODECS:
        raise faults.undecodable(where, "is text and no video")
    for stream in container.streams:
        if stream.index != video.index:
            stream.discard = Discard.all
    return video, number


def tracks_of(container: InputContainer) -> tuple[str, ...]:
    """The video tracks in words: `h264 1024x576`."""
    contexts = [video.codec_context for video in _videos(container)]
    return tuple("unknown codec" if c is None else f"{c.name} {c.width}x{c.height}" for c in contexts)


def _videos(container: InputContainer) -> list[VideoStream]:
    return [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]


def _best(videos: Sequence[VideoStream]) -> int:
    """What can be decoded goes first, then what its maker calls the default one, then pixels; the first of equals.

    A thumbnail does not count as anybody's default: writers call their first track so, whatever it is.
    """
    pixels = [v.codec_context.width * v.codec_context.height if v.codec_context is not None else 0 for v in videos]

    def rank(number: int) -> tuple[bool, bool, int]:
        video, is_thumbnail = videos[number], pixels[number] * _THUMBNAIL < max(pixels)
        is_default = bool(video.disposition & Disposition.default) and not is_thumbnail
        return video.codec_context is not None, is_default, pixels[number]

    return max(range(len(videos)), key=rank)
