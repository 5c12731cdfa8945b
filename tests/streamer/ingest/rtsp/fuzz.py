"""RTSP streams, broken in every way, by seed: for the tests, and for minutes by hand.

python -m tests.streamer.ingest.rtsp.fuzz SECONDS
What a seed makes is the same on every machine. By hand it also says how much memory it takes and which lines of the
two parsers, of messages and of SDPs, were reached.
"""

import asyncio
import base64
import logging
import random
import re
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import nullcontext, suppress
from pathlib import Path
from types import FrameType
from typing import Any, Self

from streamer.errors import CameraError
from streamer.ingest.publish.point import PublishPoint
from streamer.ingest.rtp import description as description_module
from streamer.ingest.rtp.description import MOST_BYTES
from streamer.ingest.rtsp import parser as parser_module
from streamer.ingest.rtsp.connection import Connection
from streamer.ingest.rtsp.front_desk import FrontDesk
from streamer.ingest.rtsp.messages import Interleaved, Refused, Request, packet
from streamer.ingest.rtsp.parser import MOST_BODY, MOST_HEAD, MOST_LINE, MessageParser
from streamer.settings import CameraSettings
from streamer.telemetry.metrics import Metrics

MOST_KEPT = MOST_HEAD + MOST_BODY + MOST_LINE
SEEDS = 24  # that the tests use
METHODS = ("OPTIONS", "ANNOUNCE", "SETUP", "RECORD", "TEARDOWN", "GET_PARAMETER", "DESCRIBE", "X", "")
SDP = (
    b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
    b"a=fmtp:96 packetization-mode=1; sprop-parameter-sets=Z2QAFKzZQUH7ARAAAAMAEAAAAwMg8UKZYA==,aOvjyyLA\r\n"
    b"a=control:streamid=0\r\nm=audio 0 RTP/AVP 97\r\na=rtpmap:97 MPEG4-GENERIC/44100/1\r\na=control:streamid=1\r\n"
)
VERSIONS = (b"RTSP/1.0",) * 12 + (b"RTSP/1.1", b"RTSP/2.0", b"HTTP/1.1")
HEADERS = (
    b"Transport: RTP/AVP/TCP;unicast;interleaved=0-1;mode=record",
    b"Transport: RTP/AVP/UDP;unicast;client_port=5000-5001;mode=record",
    b"Session: 0123456789abcdef",
    b'Authorization: Digest username="u", realm="whosthere", nonce="0", uri="*", response="0"',
    b"Range: npt=0.000-",
    b"Content-Type: application/sdp",
    b"Require: implicit-play",
    b"X: " + b"y" * 4000,
    b"X: " + b"y" * 4200,
    b" folded",
    b"\tfolded: too",
)
PIECES = (
    b"\r\n",
    b"\n",
    b"\r",
    b"\x00",
    b"$",
    b":",
    b" ",
    b"\xff",
    b"RTSP/1.0",
    b"Content-Length: 99999999999\r\n",
    b"\xc3",
)


PROFILES = (b"RTP/AVP",) * 6 + (b"RTP/SAVP", b"RTP/AVP/TCP", b"")
ENCODINGS = (b"H264",) * 4 + (b"H265", b"h265", b"HEVC", b"MPEG4-GENERIC", b"JPEG", b"\x01", b"")
PARAMETERS = (
    b"packetization-mode=1",
    b"packetization-mode=2",
    b"sprop-parameter-sets=Z2QAFKzZQUH7ARAAAAMAEAAAAwMg8UKZYA==,aOvjyyLA",
    b"sprop-parameter-sets=Z2QA,,!",
    b"sprop-vps=QAEM; sprop-sps=QgEB; sprop-pps=RAHA",
    b"sprop-max-don-diff=3",
    b"profile-level-id",
    b"=",
)


def one_message(rng: random.Random, url: bytes = b"rtsp://127.0.0.1/door", login: bytes | None = None) -> bytes:
    """A request or a packet, most of them right."""
    if rng.random() < 0.3:
        return packet(rng.randrange(256), rng.randbytes(rng.choice((0, 1, 12, 200, 1400, 65535))))
    method = rng.choice(METHODS).encode()
    body = SDP if method == b"ANNOUNCE" else rng.randbytes(rng.choice((0, 0, 0, 5, MOST_BODY)))
    lines = [method + b" " + url + rng.choice((b"", b"/streamid=0", b"?a/streamid=1")) + b" " + rng.choice(VERSIONS)]
    lines.append(b"CSeq: " + rng.choice((b"%d" % rng.randrange(10**6),) * 9 + (b"x",)))
    if rng.random() < 0.02:
        lines.append(b" folded")
    lines += [login] if login else []
    lines += rng.choices(HEADERS, k=rng.choice((0, 1, 2, 3, 6)))
    lines += rng.choice(([], [], [], [], [], [b"A: b"] * 70, [b"X: " + b"y" * 4000] * 5))
    size = rng.choice((len(body),) * 12 + (MOST_BODY + 1, -1))
    if size:
        lines.append(b"Content-Length: %d" % size)
    return b"\r\n".join([*lines, b"", b""]) + body


def broken(rng: random.Random, data: bytes) -> bytes:
    """With a few faults in it, or none."""
    for _ in range(rng.choice((0, 0, 1, 1, 2, 5, 30))):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(6):
            case 0:
                data = data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
            case 1:
                data = data[:at]
            case 2:
                data = data[:at] + rng.choice(PIECES) + data[at:]
            case 3:
                data = data[:at] + data[at + rng.randrange(1, 50) :]
            case 4:
                data = data[:at] + data[max(0, at - rng.randrange(1, 500)) :]
            case 5:
                data = data[:at] + rng.randbytes(rng.choice((1, 10, 5000))) + data[at:]
    return data


def one_stream(rng: random.Random) -> bytes:
    return broken(rng, b"".join(one_message(rng) for _ in range(rng.randrange(1, 6))))


def one_visit(rng: random.Random) -> bytes:
    """As a publisher speaks that may, and then as none does."""
    url, login = b"rtsp://127.0.0.1/door", b"Authorization: Basic " + base64.b64encode(b"door:word")
    steps = [
        (b"ANNOUNCE", b"", b"Content-Length: %d\r\n\r\n" % len(SDP) + SDP),
        (b"SETUP", b"/streamid=0", rng.choice(HEADERS[:2]) + b"\r\n\r\n"),
        (b"SETUP", b"/streamid=1", b"Transport: RTP/AVP/TCP;interleaved=%d\r\n\r\n" % rng.randrange(255)),
        (b"RECORD", b"", b"\r\n"),
    ]
    data = b"".join(
        b"%s %s%s RTSP/1.0\r\nCSeq: 1\r\n%s\r\n%s" % (method, url, tail, login, rest) for method, tail, rest in steps
    )
    data = broken(rng, data) if rng.random() < 0.5 else data
    return data + broken(rng, b"".join(one_message(rng, login=login) for _ in range(rng.randrange(8))))


def one_sdp(rng: random.Random) -> bytes:
    """An announcement, most of them right; of everything that publishers announce, and of what none does."""
    lines = [b"v=0"] * (rng.random() < 0.97) + [b"o=- 0 0 IN IP4 127.0.0.1", b"s=x"]
    for index in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 17))):
        kind, profile = rng.choice((b"video", b"video", b"audio", b"Video")), rng.choice(PROFILES)
        types = [rng.choice((b"96", b"97", b"x", b"9999999999")) for _ in range(rng.choice((0, 1, 1, 2, 20)))]
        lines.append(b"m=%s 0 %s %s" % (kind, profile, b" ".join(types)))
        for number in types[:3]:
            lines.append(
                b"a=rtpmap:%s %s/%s" % (number, rng.choice(ENCODINGS), rng.choice((b"90000", b"90000/1", b"x")))
            )
            lines.append(b"a=fmtp:%s %s" % (number, b";".join(rng.choices(PARAMETERS, k=rng.randrange(4)))))
        lines.append(b"a=control:streamid=%d" % index)
    return broken(rng, rng.choice((b"\r\n", b"\n")).join([*lines, b""])) + rng.choice(
        (b"",) * 30 + (b"\n" * MOST_BYTES,)
    )


def describe(sdp: bytes) -> None:
    """Whatever else than a CameraError is raised is a fault; what comes out is within bounds."""
    with suppress(CameraError):
        track = description_module.video_track(sdp)
        assert track.codec in ("h264", "hevc")
        assert len(track.extradata) <= len(sdp)
        assert track.index < description_module.MOST_MEDIA


def kept(parser: MessageParser) -> int:
    """Bytes that it holds."""
    return len(parser._buffer) + sum(map(len, parser._lines))


def read(pieces: Iterable[bytes]) -> tuple[list[Request | Interleaved], Refused | None]:
    """All messages, and what the stream ended in. Whatever else is raised is a fault."""
    parser, found = MessageParser(), list[Request | Interleaved]()
    try:
        for piece in pieces:
            parser.feed(piece)
            while (message := parser.next()) is not None:
                found.append(message)
            assert kept(parser) <= MOST_KEPT + len(piece)
    except Refused as refused:
        return found, refused
    return found, None


class Line(asyncio.Transport):
    """A connection without a network: what is written to it is kept."""

    def __init__(self, peer: str = "127.0.0.1") -> None:
        super().__init__({"peername": (peer, 5000), "sockname": ("127.0.0.1", 8554)})
        self.written = bytearray()
        self.is_closed = False
        self.is_read = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.is_closed

    def abort(self) -> None:
        self.is_closed = True

    def write_eof(self) -> None: ...

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True


def meet(desk: FrontDesk, pieces: Iterable[bytes]) -> list[bytes]:
    """One connection's whole life; the answers."""
    line, connection = Line(), Connection(desk)
    connection.connection_made(line)
    for piece in pieces:
        if line.is_closed:
            break
        connection.data_received(piece)
        connection.tick(desk.clock())
    connection.connection_lost(None)
    return [bytes(found) for found in re.findall(rb"RTSP/1\.0 (\d+) ", line.written)]


def cut(rng: random.Random, data: bytes) -> list[bytes]:
    """In up to seven pieces."""
    pieces = []
    for _ in range(rng.randrange(7)):
        size = rng.randrange(1, 2000)
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]


class Reached:
    """Which lines of the two parsers are reached while it is entered."""

    modules = (parser_module, description_module)

    def __init__(self) -> None:
        self._lines: dict[str, set[int]] = {str(module.__file__): set() for module in self.modules}
        self._before: Any = None

    def __enter__(self) -> Self:
        self._before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def report(self) -> dict[str, tuple[float, list[int]]]:
        """By module: the share of its functions' lines, and those that were not reached."""
        found = {}
        for file, reached in self._lines.items():
            lines = code_lines(file)
            found[Path(file).stem] = len(reached & lines) / len(lines), sorted(lines - reached)
        return found

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        lines = self._lines.get(frame.f_code.co_filename)
        if lines is None:
            return None
        lines.add(frame.f_lineno)
        return self._trace


async def main(seconds: float) -> None:
    """Half of the time the parsers, half of it whole connections of somebody who may publish."""
    started_s, seed, size = time.monotonic(), 0, 0
    desk = FrontDesk({"door": PublishPoint("door", CameraSettings(url="publish://", password="word"))}, Metrics())
    answers: Counter[bytes] = Counter()
    reached = Reached()
    logging.disable()
    while (spent_s := time.monotonic() - started_s) < seconds:
        rng = random.Random(seed)
        with reached if seed < SEEDS else nullcontext():
            for _ in range(40):
                if spent_s < seconds / 2:
                    data = one_stream(rng)
                    read([data])
                    read(cut(rng, data))
                    describe(one_sdp(rng))
                else:
                    data = one_visit(rng)
                    answers.update(meet(desk, cut(rng, data)))
                size += len(data)
        seed += 1
        if seed & (seed - 1) == 0:
            rss_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            say(f"{seed} seeds, {40 * seed} streams, {size / 1e6:.0f} MB, at most {rss_mib:.0f} MiB of memory")
    say(f"{seed} seeds, {40 * seed} streams; answers: {dict(answers)}")
    for module, (share, left) in reached.report().items():
        say(f"lines of {module} reached by {SEEDS} seeds: {share:.0%}; not: {left}")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def code_lines(file: str) -> set[int]:
    """Lines with code inside functions."""
    with open(file) as source:
        code = compile(source.read(), file, "exec")
    found: set[int] = set()
    todo = [const for const in code.co_consts if hasattr(const, "co_code")]
    while todo:
        part = todo.pop()
        todo += [const for const in part.co_consts if hasattr(const, "co_code")]
        if not part.co_flags & 0x02:  # a class body
            continue
        found |= {line for *_, line in part.co_lines() if line is not None and line != part.co_firstlineno}
    return found


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
