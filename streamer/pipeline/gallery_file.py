"""The gallery's file as the running service holds it: full disks at the start, files that are deleted or replaced.

Blocks for disk I/O; on the gallery's thread.
"""

import logging
import time
from pathlib import Path

from gallery.errors import GalleryError, GalleryMissing, GalleryUnwritable
from gallery.file_copy import identity_of
from gallery.store import PersonStore

log = logging.getLogger(__name__)

RETRY_S = 1.0


class GalleryFile:
    """`store` is what to read; `trouble` why it is not the file at `path`, or None; `was_replaced`: the last time that
    `store` became another one, so had the file.
    """

    def __init__(self, path: Path) -> None:
        """Opens the gallery; in memory where it can't be written. Raises GalleryError."""
        self.path = path
        self.trouble: GalleryError | None = None
        self._retry_at_s = time.monotonic() + RETRY_S
        self.was_replaced = False
        try:
            self.store = PersonStore(path)
        except GalleryUnwritable as error:
            self.store = PersonStore(path, in_memory=True)
            self.trouble = error
        if self.trouble is not None:
            log.error(
                "%s; until then %d people are served from memory, and nobody can be enrolled",
                self.trouble,
                len(self.store.people()),
                extra={"code": self.trouble.code},
            )
        self._identity = identity_of(path)

    def close(self) -> None:
        self.store.close()

    def look(self) -> bool:
        """Notice what became of the file; whether `store` is another one now."""
        if self.store.in_memory:
            if time.monotonic() < self._retry_at_s:
                return False
            self._retry_at_s = time.monotonic() + RETRY_S
            return self._reopened()
        identity = identity_of(self.path)
        if identity is None:
            self.trouble = GalleryMissing(
                f"gallery {self.path} is gone; put it back, or restart the service to begin without anybody"
            )
            return False
        if identity == self._identity:
            self.trouble = None
            return False
        return self._reopened(same=self._identity is not None and identity[:2] == self._identity[:2])

    def settle(self) -> None:
        """Carry the log over into the file: who copies it, or copies another one over it, finds it whole."""
        if not self.store.in_memory and self.trouble is None and identity_of(self.path) == self._identity:
            self.store.checkpoint()
            self._identity = identity_of(self.path)

    def _reopened(self, *, same: bool = False) -> bool:
        identity = identity_of(self.path)
        try:
            store = PersonStore(self.path)
            try:
                store.check()
                if not same:
                    self._refuse_nobody(store)
            except GalleryError:
                store.close()
                raise
        except GalleryError as error:
            self.trouble = error
            return False
        self.was_replaced = not (same or self.store.in_memory)
        self.store.close()
        self.store, self.trouble, self._identity = store, None, identity
        return True

    def _refuse_nobody(self, store: PersonStore) -> None:
        """Any command makes an empty gallery where there is none, and that does not mean that all are forgotten."""
        if not store.people() and self.store.people():
            raise GalleryMissing(
                f"gallery {self.path} was replaced by an empty one; put it back, or restart the service to begin "
                "without anybody"
            )
