"""The last face at each camera as a JPEG of its own, published as soon as it is known whose it is; never retained.

Frames with what was told of them go in, pictures leave; encoded on the CPU pool, the rest on the loop.
What can't be sent at once is kept until the next one takes its place: one picture a camera.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from concurrent.futures import Executor
from functools import cache

import cv2
import numpy as np

from recognition.arrays import U8
from recognition.image import Image
from streamer.events.event import Due, IdentityEvent
from streamer.sections.mqtt import MqttSettings, Pictures

MARGIN = 0.6  # of the face's box, on each side: head and shoulders
LONGEST_PX, QUALITY = 640, 85


class LastFaces:
    """None where mqtt.home_assistant wants none. hold() waits as long as messages that are not retained have to."""

    def __init__(self, mqtt: MqttSettings, pool: Executor | None, hold: Callable[[], Awaitable[None]]) -> None:
        """pool: None takes the loop's own."""
        self._prefix = mqtt.topic_prefix
        self._which: Pictures = mqtt.home_assistant.pictures if mqtt.home_assistant.enabled else "none"
        self._pool = pool
        self._hold = hold
        self._unsent: dict[str, bytes] = {}
        self._cameras: set[str] = set()
        self._forgotten: set[str] = set()
        self._forgettings = 0
        self._news = asyncio.Event()

    def add_camera(self, camera: str) -> None:
        if self._which != "none":
            self._cameras.add(camera)

    def remove_camera(self, camera: str) -> None:
        self._cameras.discard(camera)
        self._unsent.pop(camera, None)

    async def told(self, camera: str, image: Image, due: Sequence[Due]) -> None:
        """What was decided in this frame: the picture is on its way before the event is."""
        events = [one.event for one in due if one.event.type != "end" and self._is_wanted(one.event)]
        if not events or camera not in self._cameras:
            return
        loop, forgettings = asyncio.get_running_loop(), self._forgettings
        jpeg = await loop.run_in_executor(self._pool, _cut_out, image, events[-1].box)
        people = frozenset(person.id for person in events[-1].people)
        if jpeg and people.isdisjoint(self._forgotten) and forgettings == self._forgettings and camera in self._cameras:
            self._put(camera, jpeg)

    def forget(self, person_ids: Collection[str]) -> None:
        """Nothing shows these people any more: any picture may, as of somebody who was not known then, beside somebody
        else, or from before this run."""
        self._forgotten.update(person_ids)
        self._forgettings += bool(person_ids)
        for camera in self._cameras if person_ids else ():
            self._put(camera, _nobody())

    async def run(self, send: Callable[[str, bytes], Awaitable[bool]]) -> None:
        """Send them, by topic, while this connection lasts. Raises what send() raises."""
        while True:
            await self._news.wait()
            self._news.clear()
            await self._hold()
            while self._unsent:
                camera, jpeg = self._unsent.popitem()
                await send(f"{self._prefix}/cameras/{camera}/last_face", jpeg)

    def _put(self, camera: str, jpeg: bytes) -> None:
        self._unsent[camera] = jpeg
        self._news.set()

    def _is_wanted(self, event: IdentityEvent) -> bool:
        return self._which == "all" or (self._which == "known" and event.person is not None)


def _cut_out(image: Image, box: tuple[int, int, int, int]) -> bytes:
    """A face with what is around it; nothing where it is out of the picture."""
    left, top, right, bottom = box
    aside, above = round(MARGIN * (right - left)), round(MARGIN * (bottom - top))
    pixels = image.bgr()[max(top - above, 0) : bottom + above, max(left - aside, 0) : right + aside]
    if min(pixels.shape[:2]) < 1 or right <= left or bottom <= top:
        return b""
    share = min(LONGEST_PX / max(pixels.shape[:2]), 1.0)
    size = max(round(pixels.shape[1] * share), 1), max(round(pixels.shape[0] * share), 1)
    return _jpeg(np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8))


@cache
def _nobody() -> bytes:
    return _jpeg(np.full((64, 64, 3), 128, np.uint8))


def _jpeg(pixels: U8) -> bytes:
    done, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return data.tobytes() if done else b""
