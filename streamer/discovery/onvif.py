"""Asks one ONVIF device (Media service, version 1) for its profiles and the URLs of their streams. On the loop.

The login goes to the address that answered and nowhere else, as a digest (WS-UsernameToken, or HTTP Digest where it is
asked for), once: cameras lock out who guesses. What comes back has limits in bytes, in number and in time.
"""

import asyncio
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urljoin, urlsplit, urlunsplit
from xml.etree.ElementTree import Element
from xml.sax.saxutils import quoteattr

import httpx

from streamer.discovery.device import DeviceLogin, NotAnswered, Stream
from streamer.discovery.soap import MOST_BYTES, NotSoap, envelope, parse, shown, text_of, username_token
from streamer.ingest.logins.login import CameraAuth, login_of

LIMIT_S = 10.0
_MOST_PROFILES = 16
_MOST_PX = 100_000
_ONVIF = "http://www.onvif.org/ver10"
_PATH_CHARACTERS = "/%=&?:;,+@!*()~"


async def streams_of(url: str, login: DeviceLogin, now: Callable[[], float] = time.time) -> list[Stream]:
    """Of the device whose service is at `url`, the largest first. Raises NotAnswered."""
    async with httpx.AsyncClient(
        headers={"User-Agent": "whosthere", "Accept-Encoding": "identity"},
        verify=False,  # cameras sign their own certificates
        trust_env=False,
        timeout=LIMIT_S,
    ) as client:
        try:
            async with asyncio.timeout(LIMIT_S):
                return await _Device(client, url, login, now).streams()
        except (TimeoutError, httpx.TimeoutException):
            raise NotAnswered(f"it didn't answer within {LIMIT_S:g} s; ask again") from None
        except NotSoap as fault:
            raise NotAnswered(f"its answer can't be read ({fault}); look up its URL in its manual") from None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            # Its text may hold the URL.
            raise NotAnswered(f"it can't be asked ({type(error).__name__}); look up its URL in its manual") from None


class _Device:
    def __init__(self, client: httpx.AsyncClient, url: str, login: DeviceLogin, now: Callable[[], float]) -> None:
        self._client = client
        self._url = url
        self._login = login
        self._now = now
        self._ahead_s = 0.0  # the device's clock, of ours
        parts = urlsplit(url)
        user, password = quote(login.user, safe=""), quote(login.password, safe="")
        http = login_of(urlunsplit((parts.scheme, f"{user}:{password}@{parts.netloc}", parts.path, parts.query, "")))
        self._auth = None if http is None else CameraAuth(http, may_be_basic=False)

    async def streams(self) -> list[Stream]:
        await self._set_clock()
        capabilities = await self._ask(
            self._url, f'<GetCapabilities xmlns="{_ONVIF}/device/wsdl"><Category>Media</Category></GetCapabilities>'
        )
        media = next(capabilities.iter("Media"), None)
        # Its path alone: what stands before it may be another network's, or somebody else's.
        service = self._here(text_of(media, "XAddr")) if media is not None else self._url
        profiles = await self._ask(service, f'<GetProfiles xmlns="{_ONVIF}/media/wsdl"/>')
        found = []
        for profile in list(profiles.iter("Profiles"))[:_MOST_PROFILES]:
            url = await self._stream_url(service, profile.get("token", ""))
            if url is not None:
                found.append(_stream(profile, url))
        if not found:
            raise NotAnswered("it tells of no stream by RTSP; look up its URL in its manual")
        return sorted({stream.url: stream for stream in reversed(found)}.values(), key=_pixels, reverse=True)

    async def _set_clock(self) -> None:
        """Its clock counts in what is signed, and nobody needs a login to ask for it."""
        try:
            answer = await self._ask(
                self._url, f'<GetSystemDateAndTime xmlns="{_ONVIF}/device/wsdl"/>', is_signed=False
            )
            told = next(answer.iter("UTCDateTime"))
            names = ("Year", "Month", "Day", "Hour", "Minute", "Second")
            year, month, day, hour, minute, second = (int(text_of(told, name)) for name in names)
            its = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
            self._ahead_s = its.timestamp() - self._now()
        except (NotAnswered, NotSoap, StopIteration, ValueError, OverflowError):
            self._ahead_s = 0.0

    async def _stream_url(self, service: str, token: str) -> str | None:
        """None where this profile has none that is played here."""
        body = (
            f'<GetStreamUri xmlns="{_ONVIF}/media/wsdl"><StreamSetup>'
            f'<Stream xmlns="{_ONVIF}/schema">RTP-Unicast</Stream>'
            f'<Transport xmlns="{_ONVIF}/schema"><Protocol>RTSP</Protocol></Transport></StreamSetup>'
            f"<ProfileToken>{_escaped(token)}</ProfileToken></GetStreamUri>"
        )
        told = text_of(await self._ask(service, body), "Uri")
        try:
            parts = urlsplit(told if "://" in told else urljoin(f"rtsp://{self._host}/", told))
            port = f":{parts.port}" if parts.port else ""
        except ValueError:
            return None
        if parts.scheme not in ("rtsp", "rtsps", "http", "https"):
            return None
        return urlunsplit((parts.scheme, self._host + port, _plain(parts.path), _plain(parts.query), ""))

    @property
    def _host(self) -> str:
        return urlsplit(self._url).hostname or ""

    def _here(self, url: str) -> str:
        """The same path at the device that answered."""
        told, own = urlsplit(urljoin(self._url, url)), urlsplit(self._url)
        return urlunsplit((own.scheme, own.netloc, told.path, told.query, ""))

    async def _ask(self, url: str, body: str, *, is_signed: bool = True) -> Element:
        """The answer's body. Raises NotAnswered, NotSoap, httpx's errors."""
        header = ""
        if is_signed:
            its_time = datetime.fromtimestamp(self._now(), UTC) + timedelta(seconds=self._ahead_s)
            header = username_token(self._login.user, self._login.password, its_time, secrets.token_bytes(16))
        async with self._client.stream(
            "POST",
            url,
            content=envelope(body, header),
            headers={"Content-Type": "application/soap+xml; charset=utf-8"},
            auth=self._auth if is_signed else None,
        ) as answer:
            data = bytearray()
            async for piece in answer.aiter_raw():
                data += piece
                if len(data) > MOST_BYTES:
                    raise NotSoap("it is too large")
        if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise _refused()
        if answer.is_redirect or (answer.is_error and not data):
            raise NotAnswered(f"it answers {answer.status_code}; look up its URL in its manual")
        found = parse(bytes(data))
        fault = next(found.iter("Fault"), None)
        if fault is not None:
            told = " ".join(text.strip() for text in fault.itertext() if text.strip())
            if "NotAuthorized" in told or "FailedAuthentication" in told:
                raise _refused()
            raise NotAnswered(f"it refuses ({shown(told)}); see that ONVIF is on, and its user's rights")
        return found


def _refused() -> NotAnswered:
    return NotAnswered("it refuses the login; check user and password (ONVIF often has users of its own)")


def _escaped(text: str) -> str:
    return quoteattr(text)[1:-1]


def _stream(profile: Element, url: str) -> Stream:
    encoder = next(profile.iter("VideoEncoderConfiguration"), None)
    name = shown(text_of(profile, "Name") or profile.get("token", ""))
    if encoder is None:
        return Stream(name, url)
    return Stream(name, url, shown(text_of(encoder, "Encoding")), _px(encoder, "Width"), _px(encoder, "Height"))


def _px(encoder: Element, name: str) -> int:
    digits = text_of(encoder, name)
    return min(int(digits), _MOST_PX) if digits.isascii() and digits.isdigit() and len(digits) < 8 else 0


def _pixels(stream: Stream) -> int:
    return stream.width * stream.height


def _plain(text: str) -> str:
    """Whatever could end a quoted text, or be expanded in it (`${VAR}`), is percent-encoded."""
    return quote(text, safe=_PATH_CHARACTERS, errors="replace")
