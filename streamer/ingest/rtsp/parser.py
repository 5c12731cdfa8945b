"""A publisher's bytes -> requests and packets (RFC 2326, 4, 6 and 10.12), piece by piece, within limits. Pure.

What comes is anybody's: nothing is kept beyond the limits, and what is no request is told so at once.
"""

import re
from dataclasses import dataclass

from streamer.ingest.rtsp.messages import Interleaved, Refused, Request

MOST_LINE = 4096  # bytes; a URL may be long
MOST_HEADERS = 64
MOST_HEAD = 16384  # bytes of all lines
MOST_BODY = 65536

_DOLLAR = 0x24
_FRAME = 4  # bytes before a packet's own
_TOKEN = re.compile(r"[A-Za-z0-9!#%&'*+.^_`|~$-]+")
_METHOD = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_BLANK = re.compile(rb"[\r\n]+")
_DIGITS = re.compile(r"[0-9]{1,10}")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(slots=True)
class _Head:
    """A request whose head is whole."""

    method: str
    url: str
    cseq: str
    headers: dict[str, str]
    body_size: int


class MessageParser:
    """feed() what came, then next() until it gives None. After a Refused it is of no more use: close."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at = 0  # up to here it is read
        self._looked = 0  # up to here there is no end of line
        self._lines: list[bytes] = []
        self._head_size = 0
        self._blank_size = 0  # since the last message
        self._head: _Head | None = None

    def feed(self, data: bytes) -> None:
        del self._buffer[: self._at]
        self._looked -= self._at
        self._at = 0
        self._buffer += data

    @property
    def is_at_packet(self) -> bool:
        """Whether the next thing is a packet, however little of it is there."""
        return self._is_between and self._at < len(self._buffer) and self._buffer[self._at] == _DOLLAR

    def next(self) -> Request | Interleaved | None:
        """The next one that is whole. Raises Refused (400, 413, 414, 505)."""
        if self._head is None and self.is_at_packet:
            return self._packet()
        while self._head is None:
            if not self._lines:
                self._skip_blank()
                if self.is_at_packet:
                    return self._packet()
            line = self._line()
            if line is None:
                return None
            if line:
                self._lines.append(line)
                if len(self._lines) == 1:
                    _request_line(line)  # what is no RTSP is told at once, not at an empty line that never comes
                elif len(self._lines) > MOST_HEADERS + 1:
                    raise Refused(400, f"more than {MOST_HEADERS} headers")
            elif self._lines:
                self._head = _head(self._lines)
                self._lines, self._head_size, self._blank_size = [], 0, 0
        head, end = self._head, self._at + self._head.body_size
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[self._at : end])
        self._head, self._at, self._looked = None, end, end
        return Request(head.method, head.url, head.cseq, head.headers, body)

    def _skip_blank(self) -> None:
        """Empty lines between messages, which are allowed, up to as many as a head may be long."""
        blank = _BLANK.match(self._buffer, self._at)
        if blank is None:
            return
        self._blank_size += blank.end() - self._at
        if self._blank_size > MOST_HEAD:
            raise Refused(400, f"more than {MOST_HEAD} bytes of empty lines")
        self._at = self._looked = blank.end()

    @property
    def _is_between(self) -> bool:
        return self._head is None and not self._lines

    def _packet(self) -> Interleaved | None:
        start = self._at + _FRAME
        if len(self._buffer) < start:
            return None
        end = start + int.from_bytes(self._buffer[start - 2 : start], "big")
        if len(self._buffer) < end:
            return None
        self._blank_size = 0
        found = Interleaved(self._buffer[self._at + 1], bytes(self._buffer[start:end]))
        self._at = self._looked = end
        return found

    def _line(self) -> bytes | None:
        """The next line without its end; None where it isn't whole. A bare LF ends one, too (RFC 2326, 4)."""
        end = self._buffer.find(b"\n", max(self._looked, self._at))
        size = (len(self._buffer) if end < 0 else end) - self._at
        if size > MOST_LINE:
            raise Refused(400, f"a header of more than {MOST_LINE} bytes") if self._lines else Refused(414)
        if self._head_size + size > MOST_HEAD:
            raise Refused(400, f"a head of more than {MOST_HEAD} bytes")
        if end < 0:
            self._looked = len(self._buffer)
            if not self._lines and not re.match(rb"[A-Za-z]|\r?$", self._buffer[self._at : self._at + 2]):
                raise Refused(400)  # TLS, or anything else that has no lines
            return None
        line = bytes(self._buffer[self._at : end]).removesuffix(b"\r")
        self._head_size += size if self._lines or line else 0
        self._at = self._looked = end + 1
        return line


def _request_line(line: bytes) -> tuple[str, str]:
    """(method, URL)."""
    parts = _text(line).split(" ")
    if len(parts) != 3 or not _METHOD.fullmatch(parts[0]) or not parts[1]:
        raise Refused(400)
    method, url, version = parts
    if not version.startswith("RTSP/"):
        raise Refused(400, "this is RTSP")
    if not re.fullmatch(r"RTSP/1\.[0-9]", version):
        raise Refused(505)
    return method, url


def _head(lines: list[bytes]) -> _Head:
    method, url = _request_line(lines[0])
    headers = _headers(lines[1:])
    cseq = headers.get("cseq", "")
    if not _DIGITS.fullmatch(cseq):
        raise Refused(400, "CSeq is missing")
    size = headers.get("content-length", "0")
    if not _DIGITS.fullmatch(size):
        raise Refused(400, "Content-Length is no number", cseq=cseq)
    if int(size) > MOST_BODY:
        raise Refused(413, cseq=cseq)
    return _Head(method, url, cseq, headers, int(size))


def _headers(lines: list[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    name = ""
    for line in lines:
        text = _text(line)
        if text[0] in " \t":  # the header before goes on (RFC 2326, 4)
            if not name:
                raise Refused(400)
            headers[name] = f"{headers[name]} {text.strip()}".strip()
            continue
        name, colon, value = text.partition(":")
        name = name.rstrip().lower()
        if not colon or not _TOKEN.fullmatch(name):
            raise Refused(400, "a header without a name")
        value = value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _text(line: bytes) -> str:
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise Refused(400, "a head that is no UTF-8") from None
    if _CONTROL.search(text):
        raise Refused(400, "a head with control characters")
    return text
