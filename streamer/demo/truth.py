"""Who is really there: an identity event of the sample scene in, whom the scene shows in its box out.

Used on the loop; reads the scene's clock off the camera that plays it.
"""

from dataclasses import dataclass

from streamer.demo import scene
from streamer.events.event import IdentityEvent
from streamer.pipeline.camera import Camera


@dataclass(slots=True)
class SceneTruth:
    """`camera`: the one that plays the sample scene, once it is there. Means nothing for another clip."""

    camera: Camera | None = None
    _clip_started_at: float | None = None

    def shown(self, event: IdentityEvent) -> str | None:
        """The name of whom the scene shows there; None: a stranger, or nobody."""
        started_at = None if self.camera is None else self.camera.clip_started_at
        if started_at is not None:
            self._clip_started_at = started_at  # kept for the last words, said when the camera is closed
        if self._clip_started_at is None:
            return None
        return scene.who_is_at(event.captured_at - self._clip_started_at, event.box)
