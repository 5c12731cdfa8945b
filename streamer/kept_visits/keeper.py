"""Kept visits as the service has them: their writer's thread, and what each camera that keeps them is given.

On the loop.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from gallery.keys.master_key import KeySource
from streamer.events.event import IdentityEvent
from streamer.kept_visits.camera_visits import CameraVisits, Surroundings
from streamer.kept_visits.jobs import Ended, Forgotten, Stepped
from streamer.kept_visits.visit import limits_of
from streamer.kept_visits.writer import VisitsWriter
from streamer.settings import EventsSettings
from streamer.steady import boot_id, steady_s
from streamer.telemetry.metrics import Metrics


class VisitKeeper:
    """The file at `path`, open while the async context lasts. Nothing here waits but its end, which writes what waits.

    is_enrolled: whether a person is; signature_of: what an embedder's faces are made by. `now` is a clock in s that
    never jumps, of this `boot` of the machine; `unix_s` the wall clock.
    """

    def __init__(
        self,
        path: Path,
        keys: KeySource | None,
        events: EventsSettings,
        metrics: Metrics,
        *,
        encrypt: bool,
        is_enrolled: Callable[[str], bool],
        signature_of: Callable[[str], str],
        now: Callable[[], float] = steady_s,
        unix_s: Callable[[], float] = time.time,
        boot: str | None = None,
    ) -> None:
        boot = boot_id() if boot is None else boot
        self._writer = VisitsWriter(
            path, keys, encrypt=encrypt, limits=limits_of(events), metrics=metrics, boot=boot, now=now, unix_s=unix_s
        )
        self._around = Surroundings(
            self._writer,
            metrics,
            keeps_unknown=events.keep_unknown_h > 0,
            number=itertools.count(1).__next__,
            is_enrolled=is_enrolled,
            signature_of=signature_of,
            steady_s=lambda monotonic_s: now() - (time.monotonic() - monotonic_s),
            now=now,
            unix_s=unix_s,
        )
        self._cameras: dict[str, CameraVisits] = {}

    async def __aenter__(self) -> Self:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kept visits")
        self._writing = asyncio.get_running_loop().run_in_executor(self._thread, self._writer.run)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
        try:
            await self._writing
        finally:
            self._thread.shutdown(wait=False)

    async def run(self) -> None:
        """Until cancelled. Raises what ended the writer's thread: a bug of ours."""
        await asyncio.shield(self._writing)

    @property
    def is_wanted(self) -> bool:
        """Whether a camera keeps its visits."""
        return bool(self._cameras)

    @property
    def trouble(self) -> str:
        """Why none can be kept; empty where they can."""
        trouble = self._writer.held.trouble
        return "" if trouble is None else str(trouble)

    def camera(self, name: str, *, keeps: bool) -> CameraVisits | None:
        """For a camera that is about to run, if it keeps its visits."""
        self.removed(name)
        if not keeps:
            return None
        self._writer.want()
        return self._cameras.setdefault(name, CameraVisits(self._around))

    def removed(self, name: str) -> None:
        """A camera that keeps none any more; the visits that it kept stay as long as others."""
        self._cameras.pop(name, None)

    def ended(self, event: IdentityEvent) -> None:
        """How a visit ended that a run before left open."""
        self._writer.put(Ended(event))

    def forget(self, person_ids: Collection[str]) -> None:
        """These people were forgotten: whatever is kept of their visits is erased, also of those that go on."""
        if person_ids:
            for camera in self._cameras.values():
                camera.forget(person_ids)
            self._writer.put(Forgotten(frozenset(person_ids)))

    def clock_stepped(self) -> None:
        """The wall clock was set: visits of this boot of the machine are told by the new one."""
        self._writer.put(Stepped())
