"""An RTSP publisher by hand, which says what it is told to, right or wrong."""

import asyncio
import base64
import contextlib
from dataclasses import dataclass, field
from typing import Literal, Self

from streamer.ingest.logins.digest import Challenge, authorization, challenges

SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:streamid=0\r\n"
)
AUDIO = "m=audio 0 RTP/AVP 97\r\na=rtpmap:97 MPEG4-GENERIC/44100/1\r\na=control:streamid=1\r\n"
TCP = "RTP/AVP/TCP;unicast;interleaved=0-1;mode=record"

Form = Literal["sha256", "md5", "md5 without qop", "basic"]


@dataclass(frozen=True)
class Answer:
    status: int
    words: str
    cseq: str | None
    headers: dict[str, list[str]] = field(default_factory=dict)
    closed: bool = False

    def one(self, name: str) -> str:
        (value,) = self.headers[name]
        return value


def keyframe(sequence: int, timestamp: int = 0, ssrc: int = 7, payload_type: int = 96) -> bytes:
    """An RTP packet that is a whole H.264 picture, as far as anybody can tell without decoding it."""
    head = bytes((0x80, 0x80 | payload_type)) + sequence.to_bytes(2, "big") + timestamp.to_bytes(4, "big")
    return head + ssrc.to_bytes(4, "big") + b"\x65" + b"x" * 40


_open: list[tuple[asyncio.AbstractEventLoop, asyncio.StreamWriter]] = []


async def close_all() -> None:
    """At a test's end."""
    here = asyncio.get_running_loop()
    mine = [one for one in _open if one[0] is here]
    for one in mine:  # those of another test stay where they are: its loop is closed
        _open.remove(one)
        one[1].close()
        with contextlib.suppress(OSError):
            await one[1].wait_closed()


class Publisher:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, url: str) -> None:
        self.reader, self.writer, self.url = reader, writer, url
        self.login: tuple[str, str, Form] | None = None
        self.session: str | None = None
        self._challenge: Challenge | None = None
        self._count = 0
        self._cseq = 0
        self.packets: list[tuple[int, bytes]] = []

    @classmethod
    async def connect(
        cls, port: int, camera: str = "door", login: tuple[str, str] | None = None, form: Form = "sha256"
    ) -> Self:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        publisher = cls(reader, writer, f"rtsp://127.0.0.1:{port}/{camera}")
        publisher.login = (*login, form) if login else None
        _open.append((asyncio.get_running_loop(), writer))
        return publisher

    async def ask(
        self, method: str, url: str | None = None, headers: dict[str, str] | None = None, body: str = ""
    ) -> Answer:
        """The answer; where it is a first 401, that to the same with a login."""
        answer = await self.once(method, url, headers, body)
        if answer.status != 401 or self.login is None or self._count:
            return answer
        offers = challenges(answer.headers["www-authenticate"])
        algorithm = "SHA-256" if self.login[2] == "sha256" else "MD5"
        (offer,) = (offer for offer in offers if offer.algorithm == algorithm)
        self._challenge = Challenge(
            offer.realm, offer.nonce, offer.algorithm, has_qop=self.login[2] != "md5 without qop"
        )
        return await self.once(method, url, headers, body)

    def forget(self) -> None:
        """The login is asked for anew."""
        self._count, self._challenge = 0, None

    async def once(
        self, method: str, url: str | None = None, headers: dict[str, str] | None = None, body: str = ""
    ) -> Answer:
        self._cseq += 1
        url = url or self.url
        lines = [f"{method} {url} RTSP/1.0", f"CSeq: {self._cseq}"]
        if self._challenge is not None and self.login is not None:
            self._count += 1
            user, password, form = self.login
            shown = authorization(self._challenge, method, url, user, password, self._count)
            if form == "basic":
                shown = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
            lines.append(f"Authorization: {shown}")
        headers = headers or {}
        if self.session is not None and "Session" not in headers:
            lines.append(f"Session: {self.session}")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.writer.write("\r\n".join([*lines, "", body]).encode())
        answer = await self.answer()
        assert answer.cseq == str(self._cseq)
        return answer

    async def answer(self) -> Answer:
        """The next one; packets before it are kept."""
        async with asyncio.timeout(10):
            while (first := await self.reader.readexactly(1)) == b"$":
                await self._packet()
            head = (first + await self.reader.readuntil(b"\r\n\r\n")).decode()
        status, *lines = head.strip().split("\r\n")
        version, number, words = status.split(" ", 2)
        assert version == "RTSP/1.0"
        headers: dict[str, list[str]] = {}
        for line in lines:
            name, _, value = line.partition(": ")
            headers.setdefault(name.lower(), []).append(value)
        return Answer(int(number), words, headers.get("cseq", [None])[0], headers)

    async def packet(self) -> tuple[int, bytes]:
        async with asyncio.timeout(10):
            assert await self.reader.readexactly(1) == b"$"
            return await self._packet()

    async def _packet(self) -> tuple[int, bytes]:
        channel, high, low = await self.reader.readexactly(3)
        self.packets.append((channel, await self.reader.readexactly(high << 8 | low)))
        return self.packets[-1]

    async def announce(self, sdp: str = SDP) -> Answer:
        return await self.ask("ANNOUNCE", headers={"Content-Type": "application/sdp"}, body=sdp)

    async def set_up(self, control: str = "/streamid=0", transport: str = TCP) -> Answer:
        answer = await self.ask("SETUP", self.url + control, {"Transport": transport})
        if answer.status == 200:
            self.session = answer.one("session").partition(";")[0]
        return answer

    async def record(self) -> Answer:
        return await self.ask("RECORD", headers={"Range": "npt=0.000-"})

    async def publish(self, transport: str = TCP, sdp: str = SDP) -> Answer:
        """All that leads to packets; the answer to SETUP."""
        assert (await self.announce(sdp)).status == 200
        answer = await self.set_up(transport=transport)
        assert answer.status == 200
        assert (await self.record()).status == 200
        return answer

    def send(self, data: bytes, channel: int = 0) -> None:
        self.writer.write(b"$" + bytes((channel,)) + len(data).to_bytes(2, "big") + data)

    async def closed(self) -> bytes:
        """What came until it was closed."""
        async with asyncio.timeout(10):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    def close(self) -> None:
        self.writer.close()
