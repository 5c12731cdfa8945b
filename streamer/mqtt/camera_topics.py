"""What the broker retains of cameras: state, who is before it, whether it is enabled; erased when a camera is removed.

States go in, messages leave through Retained. On the loop.
"""

from collections.abc import Callable
from functools import partial

import orjson

from streamer.mqtt.frigate.messages import COUNTED
from streamer.mqtt.presence import Presence
from streamer.mqtt.retained import Retained
from streamer.settings import MqttSettings

ENABLED = {True: b"ON", False: b"OFF"}  # what Home Assistant's switches send and expect


class CameraTopics:
    """then(act) acts as soon as topics of what is gone may be emptied. tell_enabled: whether cameras are commanded over
    MQTT, and so have a topic that says what became of it."""

    def __init__(
        self,
        mqtt: MqttSettings,
        retained: Retained,
        presence: Presence,
        now: Callable[[], float],
        then: Callable[[Callable[[], None]], None] = lambda act: act(),
        *,
        tell_enabled: bool,
    ) -> None:
        self._prefix = mqtt.topic_prefix
        self._counts = mqtt.frigate.prefix if mqtt.frigate.enabled else None
        self._retained = retained
        self._presence = presence
        self._now = now
        self._then = then
        self._tell_enabled = tell_enabled
        self._leaves = ("status", "present", *(("enabled/state",) if tell_enabled else ()))
        self._statuses: dict[str, dict[str, object]] = {}
        self._gone: set[str] = set()
        self.names: set[str] = set()

    def add(self, camera: str) -> None:
        """A camera that is configured: there at the start, or added since."""
        self.names.add(camera)
        self._gone.discard(camera)
        for leaf in self._leaves:
            self._retained.resume(self._topic(camera, leaf))
        self.present_changed(camera)

    def remove(self, camera: str) -> None:
        """It is configured no more; events of it that are under way bring none of its topics back."""
        self.names.discard(camera)
        self._gone.add(camera)
        self._statuses.pop(camera, None)
        self._presence.forget_camera(camera)
        for leaf in self._leaves:
            self._retained.pause(self._topic(camera, leaf))
            self._then(partial(self._erase, camera, leaf))
        for topic in self._count_topics(camera):
            self._retained.erase(topic)

    def set_status(self, camera: str, state: str, reason: str = "") -> None:
        """`since` is when the state was first set."""
        before = self._statuses.get(camera, {})
        since = before["since"] if before.get("state") == state else round(self._now(), 3)
        self._set(camera, {"state": state, "since": since, "reason": reason or None})

    def set_enabled(self, camera: str, enabled: bool) -> None:
        if self._tell_enabled:
            self._retained.put(self._topic(camera, "enabled/state"), lambda: ENABLED[enabled])

    def present_changed(self, camera: str) -> None:
        """Somebody has come or left."""
        if camera not in self._gone:
            self._retained.put(self._topic(camera, "present"), partial(self._present, camera))
            for topic in self._count_topics(camera):
                self._retained.put(topic, partial(self._count, camera))

    def names_changed(self) -> None:
        """What is said of people has to be said anew."""
        for camera in self.names:
            self._retained.touch(self._topic(camera, "present"))

    def clock_stepped(self, step_s: float) -> None:
        for camera, status in list(self._statuses.items()):
            if isinstance(since := status["since"], float):
                self._set(camera, status | {"since": round(since + step_s, 3)})
        self.names_changed()

    def _set(self, camera: str, status: dict[str, object]) -> None:
        if self._statuses.get(camera) != status:
            self._statuses[camera] = status
            self._retained.put(self._topic(camera, "status"), lambda: orjson.dumps(self._statuses[camera]))

    def _erase(self, camera: str, leaf: str) -> None:
        """Not where it is configured again by now."""
        if camera in self._gone:
            self._retained.erase(self._topic(camera, leaf))

    def _topic(self, camera: str, leaf: str) -> str:
        return f"{self._prefix}/cameras/{camera}/{leaf}"

    def _count_topics(self, camera: str) -> list[str]:
        return [f"{self._counts}/{camera}/{what}" for what in COUNTED] if self._counts else []

    def _count(self, camera: str) -> bytes:
        return str(self._presence.count(camera)).encode()

    def _present(self, camera: str) -> bytes:
        return orjson.dumps(self._presence.camera(camera))
