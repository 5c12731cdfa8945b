"""`<prefix>/cameras/<camera>/enabled/set`: cameras that are opened and closed over MQTT, where mqtt.commands lists it.

The broker's messages go in, what is to be done comes out by obey(camera, enabled), which must not block. On the loop.
"""

import logging
import re
from collections.abc import Callable, Collection

from aiomqtt import Client, Message

from streamer.mqtt.leftovers import SUBSCRIPTION_REFUSED, reason_value
from streamer.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

_WORDS = {b"on": True, b"true": True, b"off": False, b"false": False}
_MOST_TOLD = 50  # whoever may publish can make up names without end
_CODES = {"retained": "command_retained", "unknown_camera": "camera_unknown", "bad_payload": "command_invalid"}


class CameraCommands:
    """cameras() are those that may be commanded now."""

    def __init__(
        self, prefix: str, cameras: Callable[[], Collection[str]], obey: Callable[[str, bool], None], metrics: Metrics
    ) -> None:
        self._filter = f"{prefix}/cameras/+/enabled/set"
        self._topic = re.compile(rf"{re.escape(prefix)}/cameras/([^/]+)/enabled/set")
        self._cameras = cameras
        self._obey = obey
        self._metrics = metrics
        self._told: set[tuple[str, str]] = set()

    async def subscribe(self, client: Client) -> None:
        """Hear commands from now on, as long as this connection lasts: at QoS 0, since the broker keeps others for our
        session while we are away, and hands them over late. Raises MqttError."""
        granted = await client.subscribe(self._filter, qos=0)
        if any(reason_value(code) >= SUBSCRIPTION_REFUSED for code in granted):
            self._tell("refused", "", "the broker does not let us read %s: no command is heard", self._filter)

    def heard(self, message: Message) -> bool:
        """Whether it is a command, obeyed or not.

        What the broker has retained is of some time before this connection, and others may have commanded since: it is
        not obeyed.
        """
        topic = self._topic.fullmatch(message.topic.value)
        if topic is None:
            return False
        camera = topic[1]
        payload = message.payload if isinstance(message.payload, bytes) else b""
        if not payload:
            return True  # a retained command is erased so, and that says nothing
        enabled = _WORDS.get(payload.strip().lower())
        if message.retain:
            self._ignore("retained", camera, "a retained one may be old: publish it without retain")
        elif camera not in self._cameras():
            self._ignore("unknown_camera", camera, "no such camera is configured")
        elif enabled is None:
            self._ignore("bad_payload", camera, "want ON or OFF")
        else:
            self._metrics.broker_commands.labels(outcome="heard").inc()
            self._obey(camera, enabled)
        return True

    def _ignore(self, outcome: str, camera: str, why: str) -> None:
        self._metrics.broker_commands.labels(outcome=outcome).inc()
        shown = "".join(char if char.isprintable() else "?" for char in camera)[:64]
        self._tell(outcome, shown, "camera %s: a command over MQTT is ignored: %s", shown, why)

    def _tell(self, outcome: str, camera: str, message: str, *args: object) -> None:
        if (outcome, camera) not in self._told and len(self._told) < _MOST_TOLD:
            self._told.add((outcome, camera))
            log.warning(message, *args, extra={"code": _CODES.get(outcome, "broker_topic_refused")})
