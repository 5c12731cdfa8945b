"""Keys and sealed blobs: AES-256-GCM for what is kept, HKDF and HMAC for what is told apart. Pure; any thread.

A sealed blob is b"\\x01", a nonce of 12 bytes, and AES-GCM's ciphertext with its tag; a plain one (encryption off) is
b"\\x00" and the bytes themselves. Neither is taken for the other.
"""

import hmac
import os
from base64 import b64decode, b64encode

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
_NONCE_BYTES = 12
_PLAIN, _SEALED = b"\x00", b"\x01"


class SealBroken(Exception):
    """Bytes that this key did not seal at this place: changed, cut, moved from elsewhere, or under another key.

    str() of it is the place.
    """


class Cipher:
    """One key; Cipher(None) writes and reads plain blobs. `place`: what a blob is and whose; it opens there alone."""

    __slots__ = ("_aead",)

    def __init__(self, key: bytes | None) -> None:
        self._aead = None if key is None else AESGCM(key)

    def seal(self, plain: bytes, place: str) -> bytes:
        if self._aead is None:
            return _PLAIN + plain
        nonce = os.urandom(_NONCE_BYTES)
        return _SEALED + nonce + self._aead.encrypt(nonce, plain, place.encode())

    def open(self, sealed: object, place: str) -> bytes:
        """`sealed`: bytes, or what a damaged row gives in their place. Raises SealBroken."""
        if not isinstance(sealed, bytes) or sealed[:1] != (_PLAIN if self._aead is None else _SEALED):
            raise SealBroken(place)
        if self._aead is None:
            return sealed[1:]
        try:
            return self._aead.decrypt(sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :], place.encode())
        except (InvalidTag, ValueError):  # ValueError: too short for a nonce
            raise SealBroken(place) from None


class MasterKey:
    """32 bytes from which all other keys come; never shown. `id` (16 hex digits) tells keys apart and opens nothing."""

    __slots__ = ("_key", "_tag_keys", "id")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"master key: want {KEY_BYTES} bytes, got {len(key)}")
        self._key = key
        self._tag_keys: dict[str, bytes] = {}
        self.id = _derived(key, "id", 8).hex()

    def __repr__(self) -> str:
        return f"MasterKey({self.id})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MasterKey) and hmac.compare_digest(self._key, other._key)

    def __hash__(self) -> int:
        return hash(self.id)

    @classmethod
    def new(cls) -> "MasterKey":
        return cls(new_key())

    @classmethod
    def from_text(cls, text: str) -> "MasterKey":
        """As to_text() gives it; blanks around it don't count. Raises ValueError, which doesn't quote it."""
        try:
            key = b64decode("".join(text.split()), validate=True)
        except ValueError:
            raise ValueError(f"want base64 of {KEY_BYTES} bytes") from None
        return cls(key)

    def to_text(self) -> str:
        return b64encode(self._key).decode()

    def cipher(self, purpose: str) -> Cipher:
        """What wraps other keys: one cipher for each purpose."""
        return Cipher(_derived(self._key, f"cipher {purpose}", KEY_BYTES))

    def tag(self, purpose: str, text: str) -> bytes:
        """A blind index (32 bytes): equal texts have equal tags, and without the key a tag tells nothing."""
        key = self._tag_keys.get(purpose)
        if key is None:  # derived once: a large gallery has a hundred thousand names
            key = self._tag_keys[purpose] = _derived(self._key, f"tag {purpose}", KEY_BYTES)
        return hmac.digest(key, text.encode(), "sha256")


def new_key() -> bytes:
    return os.urandom(KEY_BYTES)


def _derived(key: bytes, purpose: str, length: int) -> bytes:
    return HKDF(SHA256(), length, None, f"whosthere {purpose}".encode()).derive(key)
