"""Whom an erasure is about and where it works. Plain data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gallery.people import Profile
from gallery.storage.store import PersonStore
from streamer.process import service_runs, store_of
from streamer.settings import Settings


@dataclass(frozen=True, slots=True)
class Task:
    """`actor`: who is told to the audit log; `in_service`: the service itself does it, and has its files open.

    `why`, by id: of whom the time is over, asked once more by `is_over` when they are erased.
    `visits`: how many were kept of them when it began; a service that runs erases them as soon as it notices.
    """

    person_ids: frozenset[str]
    settings: Settings
    actor: str
    in_service: bool
    why: Mapping[str, str] = field(default_factory=dict)
    is_over: Callable[[Profile, float], bool] = lambda _profile, _newest: True
    visits: int = 0

    @property
    def data(self) -> Path:
        return self.settings.paths.data

    def store(self) -> PersonStore:
        """The gallery, opened for a step. Raises GalleryError."""
        return store_of(self.settings, actor=self.actor)

    def service_runs(self) -> bool:
        """Whether one does, here or elsewhere. Raises DataFolderUnwritable."""
        return self.in_service or service_runs(self.data)
