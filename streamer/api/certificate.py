"""The service's own certificate: two PEM files in, a TLS context out that follows them when they are replaced.

Files are read on a thread that may block; the context is changed on the loop.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from recognition.errors import CodedError
from streamer.errors import CertificateExpired, CertificateUnusable
from streamer.settings import TlsSettings
from streamer.telemetry.once_log import OnceLog

log = logging.getLogger(__name__)

POLL_S = 1.0
WARN_BEFORE_S = 14 * 86_400.0

_NO_CHECK_TIME = 0x200000  # OpenSSL's X509_V_FLAG_NO_CHECK_TIME: times are compared here, and said
_NO_MATCH = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
_FLIGHTS = 4  # of a handshake, with one to spare


class Certificate:
    """Opened at once. Raises CertificateUnusable and CertificateExpired. `context` is the same one for ever."""

    def __init__(self, tls: TlsSettings, now: Callable[[], float] = time.time) -> None:
        self._tls = tls
        self._now = now
        self._seen = _identities(tls)
        self._serving, self._from_s, self.until_s = _opened(tls)
        # A context keeps one certificate for each kind of key, the old one too: none in the one that stays.
        self.context = _server_context()
        self.context.sni_callback = self._hand_over
        if self.until_s <= now():
            raise _expired(tls, self.until_s)
        self._refused = ""
        self._once = OnceLog(log)

    @property
    def until(self) -> str:
        """The same for people."""
        return _day(self.until_s)

    @property
    def fault(self) -> bool:
        """Whether clients refuse it now."""
        return not self._from_s <= self._now() < self.until_s

    @property
    def trouble(self) -> str:
        """What is to be said of it, in one line; empty where nothing is."""
        cert = f"http.tls.cert {self._tls.cert}"
        if self.until_s <= self._now():
            return str(_expired(self._tls, self.until_s))
        if self._from_s > self._now():
            return f"{cert} is valid from {_day(self._from_s)} on; set the clock, or get another one"
        if self._refused:
            return f"{self._refused}; the one of before serves until {_day(self.until_s)}"
        return f"{cert} is valid until {_day(self.until_s)}; renew it" if self._ends_soon else ""

    @property
    def _ends_soon(self) -> bool:
        return self.until_s - self._now() < WARN_BEFORE_S

    def _hand_over(self, connection: ssl.SSLObject, _name: str | None, _: ssl.SSLContext) -> None:
        """At each client's hello, with or without a name in it."""
        connection.context = self._serving

    async def follow(self) -> None:
        """Take over what replaces the files, and say in the log what is wrong, for ever."""
        while True:
            if self.trouble:
                self._once.say("trouble", self.trouble, logging.WARNING, "%s", self.trouble)
            else:
                self._once.over("trouble")
            await asyncio.sleep(POLL_S)
            identities = await asyncio.to_thread(_identities, self._tls)
            if identities == self._seen:
                continue
            try:
                serving, from_s, until_s = await asyncio.to_thread(_opened, self._tls)
                if until_s <= self._now():
                    raise _expired(self._tls, until_s)
            except CodedError as error:  # half of a renewal: the other file comes
                self._refused = str(error)
                continue
            self._seen = identities
            self._serving, self._from_s, self.until_s, self._refused = serving, from_s, until_s, ""
            log.info("http.tls: another certificate serves, valid until %s", _day(until_s))


def _opened(tls: TlsSettings) -> tuple[ssl.SSLContext, float, float]:
    """A context, and from when until when (Unix seconds) its certificate is valid. Blocks for two small files."""
    _read(tls.cert, "http.tls.cert", "BEGIN CERTIFICATE", "a certificate")
    key = _read(tls.key, "http.tls.key", "PRIVATE KEY", "a private key")
    if "ENCRYPTED" in key:
        raise CertificateUnusable(f"http.tls.key {tls.key} is encrypted; store it without a password (openssl pkey)")
    context = _server_context()
    try:
        context.load_cert_chain(tls.cert, tls.key, password="")
        from_s, until_s = _validity(context, tls.cert)
    except OSError as error:  # ssl.SSLError among them; a file that is gone since
        reason = getattr(error, "reason", None) or error.strerror or "unreadable"
        if reason in _NO_MATCH:
            raise CertificateUnusable(
                f"http.tls: {tls.key} is not the key of the first certificate in {tls.cert}; give the two that match"
            ) from None
        why = getattr(error, "verify_message", None) or reason.replace("_", " ").lower()
        raise CertificateUnusable(f"http.tls: {tls.cert} with {tls.key} can't be used ({why}); get others") from None
    return context, from_s, until_s


def _server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _read(path: Path, setting: str, mark: str, what: str) -> str:
    try:
        text = path.read_text(encoding="latin-1")
    except OSError as error:
        raise CertificateUnusable(
            f"{setting} {path} can't be read ({error.strerror}); check the path, and that this user may read it"
        ) from None
    if mark not in text:
        raise CertificateUnusable(f"{setting} {path} holds no {what.removeprefix('a ')} in PEM; give {what} in PEM")
    return text


def _validity(server: ssl.SSLContext, cert: Path) -> tuple[float, float]:
    """By a handshake in memory with a client who trusts this certificate: Python has no other way to read one."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.load_verify_locations(cert)
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    asks = client.wrap_bio(to_client, to_server)
    answers = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(_FLIGHTS):
        for end in (asks, answers):
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    found = asks.getpeercert() or {}
    return ssl.cert_time_to_seconds(str(found["notBefore"])), ssl.cert_time_to_seconds(str(found["notAfter"]))


def _expired(tls: TlsSettings, until_s: float) -> CertificateExpired:
    return CertificateExpired(f"http.tls.cert {tls.cert} was valid until {_day(until_s)}; renew it")


def _identities(tls: TlsSettings) -> tuple[tuple[int, int, int] | None, ...]:
    """Which files these are, and as of when; links are followed, as those who renew certificates set them."""
    found: list[tuple[int, int, int] | None] = []
    for path in (tls.cert, tls.key):
        try:
            stat = path.stat()
        except OSError:
            found.append(None)
        else:
            found.append((stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns))
    return tuple(found)


def _day(unix_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(unix_s))
