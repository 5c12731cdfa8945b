"""Sessions over a restart: digests and times, in a file of the data folder that is its owner's alone (0600).

Read and written on a thread, the latter soon after somebody has signed in or out. A file that can't be read is nobody's
session: they sign in again.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints, ValidationError

from recognition.whole_file import replacing
from streamer.access.errors import SessionsUnwritable
from streamer.access.sessions import MOST, KeptSession, Sessions
from streamer.telemetry.once_log import OnceLog

log = logging.getLogger(__name__)

POLL_S = 0.25
USED_S = 300.0  # that somebody goes on using a session is written that often; the idle limit is of hours
LARGEST_BYTES = 1 << 20

_Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_Time = Annotated[float, Field(ge=0, lt=253_402_300_800, allow_inf_nan=False)]


class _Entry(BaseModel):
    sha256: _Digest
    token_sha256: _Digest
    began_at: _Time
    used_at: _Time


class _Document(BaseModel):
    version: Literal[1]
    sessions: list[_Entry] = Field(max_length=MOST)


class SessionKeeper:
    """Those of one running service, which alone writes the file. `wall`: Unix seconds."""

    def __init__(self, sessions: Sessions, path: Path, wall: Callable[[], float] = time.time) -> None:
        self._sessions = sessions
        self._path = path
        self._wall = wall
        self._written: Sequence[KeptSession] = ()
        self._once = OnceLog(log)
        self._writing = Lock()  # follow() is cancelled, and what it has begun on its thread goes on

    def read(self) -> None:
        """Those of the run before go on, as far as they would have. Blocks for the disk."""
        try:
            with self._path.open("rb") as file:
                found = _Document.model_validate_json(file.read(LARGEST_BYTES + 1), strict=True).sessions
        except FileNotFoundError:
            return
        except (OSError, ValidationError):
            log.warning("the sessions in %s can't be read: browsers have to sign in again", self._path)
            return
        kept = [KeptSession(one.sha256, one.token_sha256, one.began_at, one.used_at) for one in found]
        self._sessions.take(kept, self._wall())
        self._written = self._sessions.kept(self._wall())

    async def follow(self) -> None:
        """Write what changes, for ever."""
        while True:
            await asyncio.sleep(POLL_S)
            kept = self._sessions.kept(self._wall())
            if self._is_news(kept):
                await self._write(kept)

    async def save(self) -> None:
        """As they are now: the service stops."""
        kept = self._sessions.kept(self._wall())
        if kept or self._written:
            await self._write(kept)

    def _is_news(self, kept: Sequence[KeptSession]) -> bool:
        before = {one.digest: one.used_at for one in self._written}
        return before.keys() != {one.digest for one in kept} or any(
            one.used_at - before[one.digest] > USED_S for one in kept
        )

    async def _write(self, kept: Sequence[KeptSession]) -> None:
        try:
            await asyncio.to_thread(self._replace, kept)
        except OSError as error:
            unwritable = SessionsUnwritable(
                f"sessions {self._path} can't be written ({error.strerror}): after a restart browsers have to sign in "
                "again; make paths.data writable, or make room there"
            )
            self._once.warn("file", unwritable)
        else:
            self._written = kept
            self._once.over("file")

    def _replace(self, kept: Sequence[KeptSession]) -> None:
        """On a thread. Raises OSError."""
        entries = [
            {"sha256": one.digest, "token_sha256": one.token_digest, "began_at": one.began_at, "used_at": one.used_at}
            for one in kept
        ]
        with self._writing, replacing(self._path) as file:
            file.write(json.dumps({"version": 1, "sessions": entries}).encode() + b"\n")
