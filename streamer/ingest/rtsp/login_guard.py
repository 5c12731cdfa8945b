"""Who publishes: the logins that one connection is asked for, and whose the one is that it shows. Pure.

Digest by RFC 7616 with SHA-256 or MD5, with qop or without, as GStreamer has it; Basic where nobody can listen in.
"""

import base64
import binascii
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from streamer.ingest.logins.digest import Challenge, fields, response

REALM = "whosthere"
NONCE_S = 300.0
# ffmpeg takes the last Digest line and knows MD5 alone: the best first.
_ALGORITHMS = ("SHA-256", "MD5")

Logins = Mapping[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """cameras: whose login it is; none unless it is `right`. `stale`: right, by a nonce that counts no more."""

    kind: Literal["wrong", "stale", "right"]
    cameras: frozenset[str] = frozenset()


class LoginGuard:
    """Of one connection: a nonce that somebody saw on another one is of no use."""

    def __init__(self, *, takes_basic: bool) -> None:
        self._takes_basic = takes_basic
        self._nonce = ""
        self._until_s = 0.0
        self._count = 0

    def challenges(self, now_s: float, *, is_stale: bool = False) -> list[tuple[str, str]]:
        """The headers of a 401, with a nonce that counts from now on."""
        self._nonce, self._until_s, self._count = secrets.token_hex(16), now_s + NONCE_S, 0
        stale = ", stale=true" if is_stale else ""
        offers = [
            f'Digest realm="{REALM}", nonce="{self._nonce}", algorithm={algorithm}, qop="auth"{stale}'
            for algorithm in _ALGORITHMS
        ]
        if self._takes_basic:
            offers.append(f'Basic realm="{REALM}", charset="UTF-8"')
        return [("WWW-Authenticate", offer) for offer in offers]

    def look(self, authorization: str, method: str, logins: Logins, now_s: float) -> Verdict:
        """Every login is compared, whatever the first ones give, so that time tells nothing."""
        scheme, _, shown = authorization.partition(" ")
        if scheme.lower() == "digest":
            return self._digest(fields(shown), method, logins, now_s)
        if scheme.lower() == "basic" and self._takes_basic:
            pair = _decoded(shown)
            return _verdict({name for name, login in logins.items() if _same(pair, ":".join(login).encode())})
        return Verdict("wrong")

    def _digest(self, shown: dict[str, str], method: str, logins: Logins, now_s: float) -> Verdict:
        algorithm = shown.get("algorithm", "MD5").upper()
        if algorithm not in _ALGORITHMS or shown.get("realm") != REALM or not shown.get("nonce"):
            return Verdict("wrong")
        has_qop = "qop" in shown
        if has_qop and shown["qop"].lower() != "auth":
            return Verdict("wrong")
        challenge = Challenge(REALM, shown["nonce"], algorithm, has_qop=has_qop)
        nc, cnonce, uri = (shown.get(key, "") for key in ("nc", "cnonce", "uri"))
        given = shown.get("response", "").lower().encode()
        verdict = _verdict(
            {
                name
                for name, (user, password) in logins.items()
                if _same(given, response(challenge, method, uri, user, password, nc, cnonce).encode())
            }
        )
        if verdict.kind == "right" and not self._counts(shown["nonce"], nc if has_qop else None, now_s):
            return Verdict("stale")
        return verdict

    def _counts(self, nonce: str, nc: str | None, now_s: float) -> bool:
        """Whether this nonce is the one that was given, and no answer to it comes twice."""
        if not _same(nonce.encode(), self._nonce.encode()) or now_s >= self._until_s:
            return False
        if nc is None:
            return True
        try:
            count = int(nc, 16)
        except ValueError:
            return False
        is_new, self._count = count > self._count, max(count, self._count)
        return is_new


def user_of(authorization: str) -> str:
    """The user that a login names, right or wrong; empty where it names none."""
    scheme, _, shown = authorization.partition(" ")
    if scheme.lower() == "digest":
        return fields(shown).get("username", "")
    return _decoded(shown).partition(b":")[0].decode(errors="replace") if scheme.lower() == "basic" else ""


def _decoded(shown: str) -> bytes:
    """USER:PASSWORD of Basic; nothing, which is no login, where that is not what it is."""
    try:
        return base64.b64decode(shown.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _verdict(cameras: set[str]) -> Verdict:
    return Verdict("right", frozenset(cameras)) if cameras else Verdict("wrong")


def _same(one: bytes, other: bytes) -> bool:
    """In a time that tells nothing, of their lengths neither."""
    return hmac.compare_digest(sha256(one).digest(), sha256(other).digest())
