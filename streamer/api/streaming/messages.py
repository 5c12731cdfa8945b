"""Messages for listeners: each encoded once for all of them, and a bounded mailbox for each. On the loop."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

_LARGEST_BATCH = 64


@dataclass(frozen=True, slots=True)
class Message:
    """`text`: one line, as a rule a JSON document; id: what a listener comes back with (Last-Event-ID), if anything.

    kind: for listeners to Server-Sent Events, who hear what has none as `message`. sse: the same as such an event.
    data: what belongs to it and is no text, like a picture; a binary message behind it over a WebSocket.
    """

    text: str
    id: str = ""
    kind: str = ""
    data: bytes = field(default=b"", repr=False)
    sse: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        of_id = f"id: {self.id}\n" if self.id else ""
        of_kind = f"event: {self.kind}\n" if self.kind else ""
        object.__setattr__(self, "sse", f"{of_id}{of_kind}data: {self.text}\n\n".encode())


class Mailbox:
    """What waits for one listener, `most` messages. Full: the oldest goes where the newest counts, else it is over.

    put() never waits and is never refused; `overflowed` says that messages are missing, and that no more are taken.
    `over`: why nothing comes any more, a code and a line, where whoever fills it says so.
    """

    def __init__(self, most: int, *, newest_counts: bool = False) -> None:
        self._waiting: deque[Message] = deque()
        self._most = most
        self._newest_counts = newest_counts
        self._news = asyncio.Event()
        self.overflowed = False
        self.over: tuple[str, str] | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, message: Message) -> None:
        if self.overflowed:
            return
        if len(self._waiting) == self._most:
            if not self._newest_counts:
                self.overflowed = True
                self._waiting.clear()
                self._news.set()
                return
            self._waiting.popleft()
        self._waiting.append(message)
        self._news.set()

    def end(self, code: str, detail: str) -> None:
        """Nothing comes any more; what waits is not sent."""
        self.over = (code, detail)
        self._news.set()

    def wake(self) -> None:
        """End a take(), with nothing."""
        self._news.set()

    async def take(self) -> list[Message]:
        """The next ones in order, as soon as there are any; none after wake()."""
        await self._news.wait()
        taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), _LARGEST_BATCH))]
        if not self._waiting:
            self._news.clear()
        return taken


class LatestMailbox(Mailbox):
    """Of each kind of message the newest alone waits: who is slow misses what went before it."""

    def __init__(self) -> None:
        super().__init__(_LARGEST_BATCH)  # more kinds than there are

    def put(self, message: Message) -> None:
        for waiting in self._waiting:
            if waiting.kind == message.kind:
                self._waiting.remove(waiting)
                break
        super().put(message)
