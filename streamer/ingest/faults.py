"""libav's errors -> ours. Pure.

libav's texts carry the whole URL, password included, and so does an exception's context: make the error here
from the class and `strerror` alone, and raise it after the `except` block is left.
"""

import av

from streamer.errors import (
    CameraError,
    CameraLoginRefused,
    CameraNotFound,
    CameraProtocolMissing,
    CameraUnreachable,
    StreamInvalid,
    StreamLost,
    StreamStalled,
)
from streamer.ingest.address import Address

# libav's errors that stand for one; of the others it tells the first digit.
_STATUS = {
    av.error.HTTPUnauthorizedError: 401,
    av.error.HTTPForbiddenError: 403,
    av.error.HTTPNotFoundError: 404,
    av.error.HTTPServerError: 500,
}


def reason(error: av.FFmpegError) -> str:
    """What libav says about it, without the URL: `connection refused`."""
    text = error.strerror or type(error).__name__
    return text[:1].lower() + text[1:]


def refused(where: Address, status: int) -> CameraError:
    """What an answer of 400 and more means (RFC 9110; RTSP has the same)."""
    who = where.who
    if status in (401, 403):
        return CameraLoginRefused(f"{who} refuses the login; check the user and password in its url")
    if status == 404:
        return CameraNotFound(f"{who} is not there (404); check the path in its url")
    if status < 500:
        return CameraNotFound(f"{who} refuses the request (4xx); check its path and its transport")
    return CameraUnreachable(f"{who} can't serve it now (5xx); look at the camera")


def open_fault(where: Address, error: av.FFmpegError, *, timed_out: bool) -> CameraError:
    """What kept a camera from opening. timed_out: the limit had passed, whatever libav calls it then."""
    who, why = where.who, reason(error)
    status = _STATUS.get(type(error), 400 if isinstance(error, av.error.HTTPClientError) else None)
    if status is not None:
        return refused(where, status)
    match error:
        case av.error.ProtocolNotFoundError():
            return _without_protocol(where)
        case av.error.FileNotFoundError():
            return CameraNotFound(f"{who} is not there; check the path")
        case av.error.PermissionError():
            return CameraNotFound(f"{who} may not be read; give the service's user the right to")
    if timed_out or isinstance(error, (av.error.ExitError, av.error.TimeoutError)):
        return unanswered(where)
    # Every connection error of libav's is one of Python's OSErrors too.
    if isinstance(error, OSError) or (isinstance(error, av.error.EOFError) and where.kind != "file"):
        return CameraUnreachable(f"{who} can't be reached ({why}); check that it is on, and its address and port")
    return StreamInvalid(f"{who} is no video that can be read ({why}); check the file or the camera")


def _without_protocol(where: Address) -> CameraProtocolMissing:
    what = where.kind.upper() if where.kind in ("rtmp", "srt") else "its protocol"
    return CameraProtocolMissing(
        f"{where.who}: the libav that came with PyAV was built without {what}; "
        'let ffmpeg hand it on to a camera with url "publish://" (docs/cameras.md has the line)'
    )


def unanswered(where: Address) -> CameraUnreachable:
    # A server of RTMP waits for somebody to publish there.
    asked = ", and that something is sent under that key" if where.kind == "rtmp" else ""
    return CameraUnreachable(f"{where.who} didn't answer in time; check that it is on, and its address and port{asked}")


def stalled(where: Address, limit_s: float) -> StreamStalled:
    return StreamStalled(f"{where.who} sent no video for {limit_s:g} s; check the camera and the network")


def lost(where: Address, why: str) -> StreamLost:
    return StreamLost(f"{where.who} broke off ({why}); check the camera and the network")


def undecodable(where: Address, what: str) -> StreamInvalid:
    return StreamInvalid(f"{where.who} {what}; check the file or the camera")


def no_keyframe(where: Address, limit_s: float) -> StreamInvalid:
    return undecodable(where, f"sent no keyframe for {limit_s:g} s (set a shorter keyframe interval, or GOP, there)")
