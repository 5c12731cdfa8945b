"""Logins by Digest as RFC 7616 has them, SHA-256 among them: challenges in, `Authorization` out. Pure.

libav knows MD5 alone, and takes the last challenge that it is given: cameras that offer SHA-256, too, refuse it.
"""

import hashlib
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.request import parse_http_list


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


# Best first.
_HASHES: dict[str, Callable[[bytes], str]] = {
    "SHA-256": lambda data: hashlib.sha256(data).hexdigest(),
    "SHA-512-256": lambda data: hashlib.new("sha512_256", data).hexdigest(),
    "MD5": _md5,
}
_SESSION = "-SESS"


@dataclass(frozen=True, slots=True)
class Challenge:
    """One offer of a server's. algorithm: in capitals, `MD5` where none is named."""

    realm: str
    nonce: str
    algorithm: str = "MD5"
    opaque: str | None = None
    has_qop: bool = False

    @property
    def is_known(self) -> bool:
        return self.algorithm.removesuffix(_SESSION) in _HASHES

    @property
    def is_for_libav(self) -> bool:
        return self.algorithm in ("MD5", "MD5-SESS")


def challenges(values: Iterable[str]) -> list[Challenge]:
    """The Digest ones among the values of WWW-Authenticate headers, as they stand; one header may hold several."""
    parts: list[list[str]] = []
    for value in values:
        is_digest = False
        for item in filter(None, parse_http_list(value)):
            scheme, _, rest = item.partition(" ")
            if "=" not in scheme:  # where an offer begins
                is_digest, item = scheme.lower() == "digest", rest
                if is_digest:
                    parts.append([])
            if is_digest and "=" in item:
                parts[-1].append(item)
    found = [dict(_field(item) for item in part) for part in parts]
    return [
        Challenge(
            each.get("realm", ""),
            each["nonce"],
            each.get("algorithm", "MD5").upper(),
            each.get("opaque"),
            "auth" in each.get("qop", "").replace(" ", "").split(","),
        )
        for each in found
        if "nonce" in each
    ]


def _field(item: str) -> tuple[str, str]:
    """`realm="cam"` -> ("realm", "cam")."""
    key, _, value = item.partition("=")
    value = value.strip()
    is_quoted = len(value) > 1 and value[0] == value[-1] == '"'
    return key.strip().lower(), value[1:-1].replace('\\"', '"') if is_quoted else value


def best(offers: Iterable[Challenge]) -> Challenge | None:
    """The strongest that is known here."""
    names = list(_HASHES)
    known = [offer for offer in offers if offer.is_known]
    return min(known, key=lambda offer: names.index(offer.algorithm.removesuffix(_SESSION)), default=None)


def authorization(
    challenge: Challenge, method: str, uri: str, user: str, password: str, count: int = 1, cnonce: str | None = None
) -> str:
    """The header's value for the count-th request that answers this challenge. RFC 7616, 3.4."""
    cnonce = cnonce or secrets.token_hex(8)
    quoted_fields = {
        "username": user,
        "realm": challenge.realm,
        "nonce": challenge.nonce,
        "uri": uri,
        "response": response(challenge, method, uri, user, password, f"{count:08x}", cnonce),
    }
    if challenge.opaque is not None:
        quoted_fields["opaque"] = challenge.opaque
    quoted = [f'{key}="{_escaped(value)}"' for key, value in quoted_fields.items()]
    plain = [f"algorithm={challenge.algorithm.replace(_SESSION, '-sess')}"]
    if challenge.has_qop:
        plain += ["qop=auth", f"nc={count:08x}", f'cnonce="{cnonce}"']
    elif challenge.algorithm.endswith(_SESSION):
        plain.append(f'cnonce="{cnonce}"')
    return "Digest " + ", ".join(quoted + plain)


def response(challenge: Challenge, method: str, uri: str, user: str, password: str, nc: str, cnonce: str) -> str:
    """What proves the password; nc and cnonce are in it where the challenge has qop. RFC 7616, 3.4.1; RFC 2069."""
    digest = _HASHES[challenge.algorithm.removesuffix(_SESSION)]
    secret = digest(f"{user}:{challenge.realm}:{password}".encode())
    if challenge.algorithm.endswith(_SESSION):
        secret = digest(f"{secret}:{challenge.nonce}:{cnonce}".encode())
    asked = digest(f"{method}:{uri}".encode())
    numbered = f":{nc}:{cnonce}:auth" if challenge.has_qop else ""
    return digest(f"{secret}:{challenge.nonce}{numbered}:{asked}".encode())


def fields(credentials: str) -> dict[str, str]:
    """The fields of an Authorization header's value, after `Digest `; names in lower case."""
    return dict(_field(item) for item in parse_http_list(credentials) if "=" in item)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
