"""A token: a secret that is shown once, and what is kept of it, which opens nothing. Pure, apart from chance."""

import hashlib
import re
import secrets
import unicodedata
from dataclasses import dataclass

from streamer.access.errors import TokenNameInvalid
from streamer.access.roles import Role

PREFIX = "wt_"
SECRET_BYTES = 32
LONGEST_NAME = 64

# Anything that can be printed, with single blanks between words alone.
_NAME = re.compile(r"\S+( \S+)*")


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept. digest: SHA-256 of the secret, 64 hexadecimal digits; created_at: Unix seconds."""

    name: str
    role: Role
    created_at: float
    digest: str


def make_secret() -> str:
    """`wt_` and 256 random bits as 43 letters of A-Z, a-z, 0-9, - and _."""
    return PREFIX + secrets.token_urlsafe(SECRET_BYTES)


def digest_of(secret: bytes) -> str:
    """What is kept of a secret. Nobody can try all secrets, so that one round of SHA-256 is enough."""
    return hashlib.sha256(secret).hexdigest()


def checked_name(name: str) -> str:
    """A name as it is kept. Raises TokenNameInvalid."""
    name = unicodedata.normalize("NFC", name)
    if not (0 < len(name) <= LONGEST_NAME and name.isprintable() and _NAME.fullmatch(name)):
        raise TokenNameInvalid(
            f"a token's name has 1 to {LONGEST_NAME} printable letters and no blank at its ends; choose another"
        )
    return name


def same_name(one: str, other: str) -> bool:
    """Whether two names are too alike to be told apart in a list."""
    return one.casefold() == other.casefold()
