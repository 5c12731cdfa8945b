"""Where the publishers of one camera come to: who may, one at a time, and the camera that waits for them.

On the loop; every protocol that takes streams in joins here.
"""

import asyncio

from streamer.errors import PublisherPresent
from streamer.ingest.publish.publication import Publication
from streamer.settings import CameraSettings
from streamer.variables import expand_secret


class PublishPoint:
    """Of one camera with the url `publish://`."""

    def __init__(self, name: str, camera: CameraSettings) -> None:
        self.name = name
        self._camera = camera
        self._publication: Publication | None = None
        self._arrived = asyncio.Event()

    def login(self) -> tuple[str, str]:
        """(user, password) that a publisher needs, secrets in place. Raises CameraVariableUnset."""
        return expand_secret(self._camera.user or ""), expand_secret(self._camera.password or "")

    @property
    def has_publisher(self) -> bool:
        return self._publication is not None and not self._publication.is_over

    def admit(self, publication: Publication) -> None:
        """This publisher's pictures are the camera's from now on. Raises PublisherPresent."""
        if self.has_publisher:
            raise PublisherPresent(
                f"camera {self.name}: somebody publishes to it already; end that publisher, or use another camera"
            )
        self._publication = publication
        self._arrived.set()

    async def next(self) -> Publication:
        """The publisher of now, or the next one to come, however long that takes."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            if self._publication is not None and not self._publication.is_over:
                return self._publication


PublishPoints = dict[str, PublishPoint]
