"""The tokens as the running service knows them: what commands write is noticed within a second.

The file is looked at on a thread, questions are answered from memory on the loop.
"""

import asyncio
import hmac
import logging
from pathlib import Path

from streamer.access.errors import TokensUnreadable
from streamer.access.token_file import read_tokens
from streamer.access.tokens import Token, digest_of
from streamer.telemetry.once_log import OnceLog

log = logging.getLogger(__name__)

POLL_S = 0.25

_Identity = tuple[int, int, int, int]
_UNSEEN: _Identity = (-1, -1, -1, -1)


class LiveTokens:
    """Nobody has one until look() was called. Where the file can't be read nobody has one either."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: _Identity | None = _UNSEEN
        self._tokens: tuple[Token, ...] = ()
        self._once = OnceLog(log)
        self.trouble = ""

    def __len__(self) -> int:
        return len(self._tokens)

    def find(self, secret: bytes) -> Token | None:
        """Whose secret this is. Takes as long for any secret."""
        digest, found = digest_of(secret), None
        for token in self._tokens:
            if hmac.compare_digest(token.digest, digest):
                found = token
        return found

    def of_digest(self, digest: str) -> Token | None:
        """The one of which this is kept: of what was let in by it before."""
        return next((token for token in self._tokens if token.digest == digest), None)

    def has(self, token: Token) -> bool:
        """Whether a token that was found before is there still, with its role."""
        return token in self._tokens

    def look(self) -> None:
        """Read the file if it is another one than at the last look. Blocks for the disk."""
        identity = _identity_of(self._path)
        if identity == self._seen:
            return
        try:
            self._tokens, self.trouble = read_tokens(self._path), ""
        except TokensUnreadable as error:
            self._tokens, self.trouble = (), str(error)
            self._once.warn("file", error)
            self._seen = _UNSEEN  # what keeps it from being read may pass
            return
        self._once.over("file")
        if self._seen is not _UNSEEN:
            log.info("tokens: there are %d now", len(self._tokens))
        self._seen = identity

    async def follow(self) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(POLL_S)
            await asyncio.to_thread(self.look)


def _identity_of(path: Path) -> _Identity | None:
    """Which file this is, and as of when. A change of its mode counts: it may be readable now."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns
