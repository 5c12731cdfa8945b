"""One viewer of a camera: the encoded pictures that wait for it, and what it is told. On the loop.

Whoever is slow loses pictures up to the next keyframe, and messages; nobody else notices.
"""

import asyncio
from collections import deque
from typing import Protocol

from av.packet import Packet
from av.video.stream import VideoStream

MOST_PACKETS = 20
MOST_UNSENT_BYTES = 64 * 1024  # of messages, each of which has a newer one after it


class View(Protocol):
    """The camera's side of it."""

    def begin(self, viewer: "Viewer") -> None: ...

    def leave(self, viewer: "Viewer") -> None: ...

    def want_keyframe(self) -> None: ...


class Channel(Protocol):
    """aiortc's RTCDataChannel, as far as it is used."""

    @property
    def readyState(self) -> str: ...

    @property
    def bufferedAmount(self) -> int: ...

    def send(self, data: str) -> None: ...


class Viewer:
    """It begins with its first take(), when its connection stands, and is over with end()."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._packets: deque[Packet[VideoStream]] = deque()
        self._news = asyncio.Event()
        self._waits_for_keyframe = True
        self._begun = False
        self._channel: Channel | None = None
        self._state = ""
        self.over = asyncio.Event()
        self.why_over = ""

    async def take(self) -> "Packet[VideoStream] | None":
        """The next picture; the first is a keyframe. None: it is over."""
        if not self._begun and not self.over.is_set():
            self._begun = True
            self._view.begin(self)
        while not self._packets and not self.over.is_set():
            self._news.clear()
            await self._news.wait()
        return None if self.over.is_set() else self._packets.popleft()

    def put(self, packet: "Packet[VideoStream]") -> None:
        """A picture for it."""
        if self._waits_for_keyframe and not packet.is_keyframe:
            return
        self._waits_for_keyframe = False
        if len(self._packets) >= MOST_PACKETS:
            self._packets.clear()
            self._waits_for_keyframe = True
            self.want_keyframe()
            return
        self._packets.append(packet)
        self._news.set()

    def want_keyframe(self) -> None:
        """Its picture is damaged, or will be."""
        self._view.want_keyframe()

    def listen(self, channel: Channel) -> None:
        """Where to tell it things."""
        self._channel = channel
        if self._state:
            self._send(self._state)

    def tell(self, message: str) -> None:
        """Left out where what went before is not yet sent."""
        if self._channel is not None and self._channel.bufferedAmount < MOST_UNSENT_BYTES:
            self._send(message)

    def tell_state(self, message: str) -> None:
        """Never left out: the newest is told to whoever listens later, too."""
        self._state = message
        self._send(message)

    def end(self, why: str) -> None:
        """The first reason counts."""
        if not self.over.is_set():
            self.why_over = why
            self.over.set()
            self._news.set()
            self._packets.clear()
            self._channel = None
            self._view.leave(self)

    def _send(self, message: str) -> None:
        if self._channel is not None and self._channel.readyState == "open":
            self._channel.send(message)
