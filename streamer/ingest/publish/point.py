"""Where the publishers of one camera come to: who may, one at a time, and the camera that waits for them.

On the loop; every protocol that takes streams in joins here.
"""

import asyncio
import time
from collections.abc import Callable

from streamer.errors import CameraDisabled, CameraUnknown, CameraVariableUnset, PublisherPresent, StreamLost
from streamer.ingest.publish.publication import Publication
from streamer.settings import CameraSettings
from streamer.variables import expand_secret

SILENT_AFTER_S = 3.0  # where no cameras.<name>.stalled_after_s is set: then another publisher may take its place


class PublishPoint:
    """Of one camera with the url `publish://`."""

    def __init__(self, name: str, camera: CameraSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.camera = camera
        self._clock = clock
        self._publication: Publication | None = None
        self._arrived = asyncio.Event()
        self._is_retired = False

    def retire(self) -> None:
        """Its camera is another one now, or none: whoever publishes is sent away, nobody comes any more."""
        self._is_retired = True
        if self._publication is not None and not self._publication.is_over:
            self._publication.end(StreamLost(f"camera {self.name}: its configuration was changed"))
            self._publication.close()

    def login(self) -> tuple[str, str]:
        """(user, password) that a publisher needs, secrets in place. Raises CameraVariableUnset."""
        user, password = expand_secret(self.camera.user or self.name), expand_secret(self.camera.password or "")
        if not password:
            raise CameraVariableUnset("its password is empty; give the variable in it a value")
        return user, password

    @property
    def is_taken(self) -> bool:
        """Whether somebody publishes now."""
        return self._publication is not None and not self._publication.is_over

    def admit(self, publication: Publication) -> None:
        """This publisher's pictures are the camera's from now on, in place of one that has fallen silent.

        Raises PublisherPresent where another one sends, CameraUnknown where the camera was changed meanwhile.
        """
        if not self.camera.enabled:
            raise CameraDisabled(f"camera {self.name} is disabled; enable it, then publish again")
        if self._is_retired:
            raise CameraUnknown(f"camera {self.name} was changed or removed meanwhile; publish again")
        before = self._publication if self.is_taken else None
        silent_after_s = self.camera.stalled_after_s or SILENT_AFTER_S
        if before is not None and self._clock() - before.last_s < silent_after_s:
            raise PublisherPresent(
                f"camera {self.name}: somebody publishes to it already; end that publisher, or use another camera"
            )
        self._publication = publication
        if before is not None:
            before.end(StreamLost(f"camera {self.name}: its publisher fell silent, and another one took its place"))
            before.close()
        self._arrived.set()

    async def next(self) -> Publication:
        """The publisher of now, or the next one to come, however long that takes. Raises CameraVariableUnset."""
        self.login()
        while self._publication is None or self._publication.is_over:
            self._arrived.clear()
            await self._arrived.wait()
        return self._publication


PublishPoints = dict[str, PublishPoint]
