"""A camera's URL -> how libav opens it, and how it may be shown. Pure.

What is shown never holds a user, a password or a query's value; the target itself appears in no repr.
"""

import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote, urlsplit

from streamer.errors import CameraNotFound
from streamer.settings import PUBLISH, CameraSettings, RtspIngestSettings

Kind = Literal["rtsp", "http", "rtmp", "srt", "file", "usb", "publish"]

# Enough for size and codec; libav's own limits cost another half second at every opening.
_PROBE = {"analyzeduration": "500000", "probesize": "500000"}
# Slow cameras send few pictures a second: libav would look at five seconds' worth, and give up before.
_HTTP_PROBE = {"analyzeduration": "500000"}
# FLV tells size and codec before its first picture, and never how many tracks it has: all of this time is waited.
_RTMP_PROBE = {**_PROBE, "analyzeduration": "100000"}
_SCHEMES: dict[str, Kind] = {
    "rtsp": "rtsp",
    "rtsps": "rtsp",
    "http": "http",
    "https": "http",
    "rtmp": "rtmp",
    "rtmps": "rtmp",
    "srt": "srt",
    "file": "file",
}
# The rest of a query may be a login, whatever it is called.
_SHOWN_IN_QUERY = frozenset(
    {"channel", "subtype", "stream", "profile", "resolution", "fps", "codec", "mode", "latency"}
)
_LOGIN_IN_PATH = re.compile(r"(?i)((?:user|usr|login|pass|pwd|token|auth)\w*=)[^&/;]*")
_RTMP_APP = re.compile(r"[\w.-]+")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
# In no address that can be opened; half a letter is what a variable has of bytes that are no UTF-8.
_UNUSABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_USB = re.compile(r"(?:usb|v4l2):(?://)?(.+)|(/dev/video\d+)")


@dataclass(frozen=True, slots=True)
class Address:
    """One camera as libav opens it; `shown` is its redacted URL."""

    name: str
    shown: str
    kind: Kind
    transport: str
    target: str = field(repr=False)
    format: str | None = None
    options: dict[str, str] = field(default_factory=dict, repr=False)
    is_playlist: bool = False  # HLS

    @property
    def who(self) -> str:
        """How errors begin: `camera door: rtsp://***@192.0.2.9/h264`."""
        return f"camera {self.name}: {self.shown}"


def address(name: str, camera: CameraSettings, url: str) -> Address:
    """`url` with its secrets in place: rtsp(s), http(s), rtmp(s), srt, file, a path, /dev/videoN, usb:N, v4l2:DEVICE.

    Raises CameraNotFound for any other scheme, and for what no address has in it.
    """
    shown = redacted_url(url)
    if _UNUSABLE.search(url):
        raise CameraNotFound(
            f"camera {name}: {shown} has a control character or half a letter in it (where ? stands); leave it out"
        )
    if usb := _USB.fullmatch(url):
        device = usb[1] or usb[2]
        device = f"/dev/video{device}" if device.isdigit() else device
        return Address(name, shown, "usb", "usb", device, format="v4l2")
    if url == PUBLISH:
        raise CameraNotFound(
            f"camera {name}: it is published to ({PUBLISH}), so only the running service has its pictures; "
            "start a publisher, and see in /readyz how the camera fares"
        )
    scheme = _SCHEME.match(url)
    kind: Kind | None = _SCHEMES.get(scheme[1].lower()) if scheme else "file"
    match kind:
        case "rtsp":
            # TLS is over TCP alone, whatever is asked for.
            transport = "tcp" if url[:6].lower() == "rtsps:" else camera.transport
            options = {"rtsp_transport": transport, "user_agent": "whosthere", **_PROBE}
            return Address(name, shown, "rtsp", transport, url, options=options)
        case "http":
            # Of a live playlist the newest piece; libav would begin three pieces before it.
            is_playlist = url.partition("?")[0].endswith(".m3u8")
            options = {"user_agent": "whosthere", **_HTTP_PROBE} | ({"live_start_index": "-1"} if is_playlist else {})
            return Address(name, shown, "http", "http", url, options=options, is_playlist=is_playlist)
        case "rtmp":
            return Address(name, shown, "rtmp", "rtmp", url, options=dict(_RTMP_PROBE))
        case "srt":
            return Address(name, shown, "srt", "srt", url, format="mpegts", options=dict(_PROBE))
        case "file":
            return Address(name, shown, "file", "file", unquote(_path(url)) if scheme else url)
    raise CameraNotFound(
        f"camera {name}: {shown} has a scheme that is not known here; "
        "give an rtsp(s), http(s), rtmp(s), srt, file or publish:// URL, a path or a /dev/video device"
    )


def _path(file_url: str) -> str:
    try:
        return urlsplit(file_url).path
    except ValueError:
        return file_url


# "admin:secret@192.0.2.9/h264", "rtsp:/admin:secret@…": a URL that has lost its scheme, and is taken for a path.
_LOGIN_WITHOUT_SCHEME = re.compile(r"[^/\s]*:\S*@")


def publishers_url(settings: RtspIngestSettings, camera: str) -> str:
    """Where a camera's publisher goes, its login left to be filled in."""
    host = "THIS_MACHINE" if settings.host in ("", "0.0.0.0", "::") else settings.host
    return f"rtsp://USER:PASSWORD@{f'[{host}]' if ':' in host else host}:{settings.port}/{camera}"


def redacted_url(url: str) -> str:
    """A URL as it may be shown, on one line; a path or a device stays as it is."""
    url = "".join(char if char.isprintable() else "?" for char in url)
    scheme = _SCHEME.match(url)
    if scheme is None:
        return _LOGIN_WITHOUT_SCHEME.sub("***@", url)
    if scheme[1].lower() == "file":
        return url
    rest, _, query = url[scheme.end() :].partition("?")
    if scheme[1].lower().startswith("rtmp"):
        return _redacted_rtmp(scheme[0], rest, query)
    if "@" in rest:
        # Up to the last one: a password with an unescaped "/" or "@" looks like a path.
        rest = "***@" + rest.rpartition("@")[2]
    elif "@" in query:
        return f"{scheme[0]}***"
    rest = _LOGIN_IN_PATH.sub(r"\1***", rest)
    return f"{scheme[0]}{rest}" + (f"?{_redact_query(query)}" if query else "")


def _redacted_rtmp(scheme: str, rest: str, query: str) -> str:
    """Host and app; what follows is the stream's key, which lets whoever has it watch, and often publish."""
    server, _, path = rest.partition("/")
    if "@" in path + query:  # where the password ends nobody can tell
        return f"{scheme}***"
    server = "***@" + server.rpartition("@")[2] if "@" in server else server
    app, _, key = path.partition("/")
    shown = f"/{app}/***" if key and _RTMP_APP.fullmatch(app) else "/***" if path else ""
    return f"{scheme}{server}{shown}" + (f"?{_redact_query(query)}" if query else "")


def _redact_query(query: str) -> str:
    shown = []
    for part in query.split("&"):
        key, equals, _ = part.partition("=")
        shown.append(part if equals and key.lower() in _SHOWN_IN_QUERY else f"{key}=***" if equals else "***")
    return "&".join(shown)
