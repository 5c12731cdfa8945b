"""What goes over an RTSP connection (RFC 2326): requests and `$` packets in, answers out. Pure data."""

from collections.abc import Iterable
from dataclasses import dataclass, field

SERVER = "whosthere"

_PHRASES = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    413: "Request Entity Too Large",
    414: "Request-URI Too Large",
    415: "Unsupported Media Type",
    451: "Parameter Not Understood",
    454: "Session Not Found",
    455: "Method Not Valid in This State",
    461: "Unsupported Transport",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "RTSP Version Not Supported",
    551: "Option not supported",
}

Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Request:
    """headers: by lower-case name; one that comes twice is joined by a comma. cseq: as sent, digits."""

    method: str
    url: str = field(repr=False)
    cseq: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Interleaved:
    """A packet between requests (RFC 2326, 10.12)."""

    channel: int
    data: bytes = field(repr=False)


class Refused(Exception):
    """A request that gets no 200. words: what publishers print, in place of the status's own phrase."""

    def __init__(
        self, status: int, words: str | None = None, *, cseq: str | None = None, headers: Headers = ()
    ) -> None:
        super().__init__(f"{status} {words or _PHRASES[status]}")
        self.status = status
        self.words = words
        self.cseq = cseq
        self.headers = tuple(headers)


def answer(
    status: int, cseq: str | None, headers: Headers = (), *, words: str | None = None, body: bytes = b""
) -> bytes:
    """A response as it is sent."""
    lines = [f"RTSP/1.0 {status} {words or _PHRASES[status]}"]
    if cseq is not None:
        lines.append(f"CSeq: {cseq}")
    lines.append(f"Server: {SERVER}")
    lines += [f"{name}: {value}" for name, value in headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def packet(channel: int, data: bytes) -> bytes:
    """A packet as it is sent between answers."""
    return b"$" + bytes((channel,)) + len(data).to_bytes(2, "big") + data
