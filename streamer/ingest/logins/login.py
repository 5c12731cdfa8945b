"""Logins that libav can't do, done here: what a camera asks for is asked, and answered by Digest or Basic.

On the camera's thread; blocks up to the limits that it is given.
"""

import contextlib
import http.client
import io
import socket
import ssl
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import httpx

from streamer.ingest.logins.digest import Challenge, authorization, best, challenges

_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
_MOST_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Login:
    """Whose it is, at which server, and for what."""

    scheme: str
    host: str
    port: int
    path: str
    user: str = field(repr=False)
    password: str = field(repr=False)

    @property
    def server(self) -> str:
        """The URL up to its path, without the login."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == _PORTS[self.scheme] else f":{self.port}")

    @property
    def tls(self) -> ssl.SSLContext | None:
        return unverified() if self.scheme in ("rtsps", "https") else None


def login_of(url: str) -> Login | None:
    """The login in a camera's URL; None where there is none, or it is no URL."""
    try:
        parts = urlsplit(url)
        scheme, port = parts.scheme.lower(), parts.port
    except ValueError:  # its text may hold the password
        return None
    if scheme not in _PORTS or parts.username is None or parts.hostname is None:
        return None
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    user, password = unquote(parts.username), unquote(parts.password or "")
    return Login(scheme, parts.hostname, port or _PORTS[scheme], path, user, password)


def unverified() -> ssl.SSLContext:
    """As libav has it by default: cameras sign their own certificates."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class CameraAuth(httpx.Auth):
    """For a client's requests, by what the camera asks for: Digest, the best it offers, else Basic, if that may be."""

    def __init__(self, login: Login, *, may_be_basic: bool = True) -> None:
        self._login = login
        self._may_be_basic = may_be_basic
        self._basic = httpx.BasicAuth(login.user, login.password)
        self._challenge: Challenge | None = None
        self._is_basic = False
        self._answered = 0

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        self._sign(request)
        answer = yield request
        if answer.status_code != httpx.codes.UNAUTHORIZED:
            return
        self._challenge, self._answered = best(challenges(answer.headers.get_list("WWW-Authenticate"))), 0
        self._is_basic = self._challenge is None and self._may_be_basic
        if self._sign(request):
            yield request

    def _sign(self, request: httpx.Request) -> bool:
        """Whether there is something to sign it by."""
        if self._challenge is not None:
            self._answered += 1
            uri, login = request.url.raw_path.decode(), self._login
            request.headers["Authorization"] = authorization(
                self._challenge, request.method, uri, login.user, login.password, self._answered
            )
        elif self._is_basic:
            next(self._basic.auth_flow(request))
        return self._challenge is not None or self._is_basic


def http_client(limit_s: float) -> httpx.Client:
    """For one camera's pictures: no proxy between, its own certificate taken. limit_s: for each read."""
    return httpx.Client(headers={"User-Agent": "whosthere"}, verify=False, trust_env=False, timeout=limit_s)


def challenge_beyond_libav(login: Login, limit_s: float) -> Challenge | None:
    """The best offer of a camera that offers one which libav does not know; None where it can, or nobody can tell."""
    offers: list[Challenge] = []
    with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
        offers = challenges(_offers(login, limit_s))
    return best(offers) if any(not offer.is_for_libav for offer in offers) else None


def _offers(login: Login, limit_s: float) -> list[str]:
    """What an answer without any login asks for; up to limit_s for all of it."""
    if login.scheme.startswith("rtsp"):
        request = f"DESCRIBE {login.server}{login.path} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n\r\n"
    else:
        host = login.server.partition("://")[2]
        request = f"GET {login.path or '/'} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    until_s = time.monotonic() + limit_s
    head = b""
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(socket.create_connection((login.host, login.port), limit_s))
        if login.tls is not None:
            connection = stack.enter_context(login.tls.wrap_socket(connection, server_hostname=login.host))
        connection.sendall(request.encode())
        while b"\r\n\r\n" not in head and len(head) < _MOST_BYTES:
            connection.settimeout(max(until_s - time.monotonic(), 0.001))
            data = connection.recv(4096)
            if not data:
                break
            head += data
    return http.client.parse_headers(io.BytesIO(head.partition(b"\r\n")[2])).get_all("WWW-Authenticate", [])
