"""What a user hears who types `mosquitto_sub -t 'whosthere/#' -v`: that program, running, and its output taken apart.

Lines of text go in; messages come out, identity events held to their JSON Schema and gathered by visit.
"""

import json
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jsonschema

from streamer.schemas import IDENTITY
from tests.live.mosquitto import program
from tests.live.service import until

SCHEMA = jsonschema.Draft202012Validator(json.loads(IDENTITY.read_text()))
# Who sends a message again says so: when it was handed over and how long it took until then are new each time.
SENT_AGAIN_DIFFERS = ("published_at", "latency_ms")

ECHO = "whosthere/test"

Event = dict[str, Any]


@dataclass(frozen=True)
class Message:
    topic: str
    payload: str | None

    @property
    def camera(self) -> str:
        """Of .../cameras/<camera>/..."""
        return self.topic.split("/")[2]

    @property
    def document(self) -> Event:
        assert self.payload is not None
        return json.loads(self.payload)


class Subscriber:
    """mosquitto_sub on whosthere/# at QoS 1, with a session that the broker keeps while either is away."""

    def __init__(self, port: int, folder: Path) -> None:
        self._output = folder / "mosquitto_sub.txt"
        self._port = port

    def __enter__(self) -> Self:
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [program("mosquitto_sub"), *self._address, "-t", "whosthere/#", "-v", "-q", "1", "-c", "-i", "test"],
                stdout=output,
                stderr=subprocess.DEVNULL,  # "Connection refused", again and again, while the broker is away
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(10)

    @property
    def _address(self) -> list[str]:
        return ["-h", "127.0.0.1", "-p", str(self._port)]

    @classmethod
    async def awaited(cls, port: int, folder: Path) -> None:
        """From now on the broker keeps what a later Subscriber has missed, also what comes before it is there again."""
        with cls(port, folder) as early:
            await early.catch_up()

    async def catch_up(self) -> None:
        """Until it listens, and has heard all that the broker was given before."""
        count = len(self.on(ECHO))

        def heard() -> bool:
            subprocess.run([program("mosquitto_pub"), *self._address, "-t", ECHO, "-m", "heard", "-q", "1"], check=True)
            return len(self.on(ECHO)) > count

        await until(heard)

    def messages(self) -> list[Message]:
        """All so far, in the order of arrival."""
        lines = self._output.read_text().splitlines(keepends=True)
        split = [line[:-1].partition(" ") for line in lines if line.endswith("\n")]
        return [Message(topic, None if payload == "(null)" else payload) for topic, _, payload in split]

    def on(self, topic: str) -> list[Message]:
        return [message for message in self.messages() if message.topic == topic]

    def retained(self, topic: str) -> dict[str, str]:
        """What the broker keeps on these topics for those who come later."""
        done = subprocess.run(
            [program("mosquitto_sub"), *self._address, "-t", topic, "-v", "--retained-only", "-W", "1"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # "Timed out": that is how it ends
            text=True,
        )
        return dict(line.split(" ", 1) for line in done.stdout.splitlines())

    def events(self, camera: str | None = None) -> list[Event]:
        """Identity events in their order of arrival, sent again or not; each valid by the schema."""
        events = [
            message.document
            for message in self.messages()
            if "/identity/" in message.topic and camera in (None, message.camera)
        ]
        for event in events:
            SCHEMA.validate(event)
        return events

    def status(self, camera: str) -> Event:
        """A camera's newest state and its reason; empty before the first."""
        told = self.on(f"whosthere/cameras/{camera}/status")
        return {key: told[-1].document[key] for key in ("state", "reason")} if told else {}

    def has_been(self, camera: str, state: str, reason: str | None) -> bool:
        """Whether a camera was told of in this state, even if another one came at once behind it."""
        told = (message.document for message in self.on(f"whosthere/cameras/{camera}/status"))
        return any((status["state"], status["reason"]) == (state, reason) for status in told)

    def visits(self, camera: str | None = None) -> list[list[Event]]:
        """What was told of each visit, each (event_id, seq) once and in order."""
        return visits_of(self.events(camera))

    def misaddressed(self) -> list[Message]:
        """Identity events on a topic that is not theirs."""
        return [m for m in self.messages() if "/identity/" in m.topic and m.topic not in topics_of(m.document)]


def topics_of(event: Event) -> list[str]:
    """Where an event belongs: to its person's topic, and where it changes who that is, to the former's too."""
    now, before = (p["id"] if p else "unknown" for p in (event["person"], event["previous_person"]))
    return [f"whosthere/cameras/{event['camera']}/identity/{level}" for level in (now, before)]


def visits_of(events: Sequence[Event]) -> list[list[Event]]:
    """Raises AssertionError where two different messages have one (event_id, seq)."""
    visits: dict[str, dict[int, Event]] = defaultdict(dict)
    for event in events:
        first = visits[event["event_id"]].setdefault(event["seq"], event)
        assert content(first) == content(event)
    return [[told[seq] for seq in sorted(told)] for told in visits.values()]


def content(event: Event) -> Event:
    """What must be the same each time that a message is sent."""
    kept = {key: value for key, value in event.items() if key not in SENT_AGAIN_DIFFERS}
    return kept | {"latency_ms": {k: v for k, v in event["latency_ms"].items() if k != "total"}}


def assert_told_whole(visits: Sequence[Sequence[Event]]) -> None:
    """Each visit: one `new`, then only updates, one `end`; none missing between."""
    for told in visits:
        types = [event["type"] for event in told]
        assert [event["seq"] for event in told] == list(range(1, len(told) + 1)), types
        assert (types[0], types[-1]) == ("new", "end"), types
        assert set(types[1:-1]) <= {"update"}, types


def names_of(told: Sequence[Event]) -> list[str | None]:
    """The names that a visit was given, in order, each once; None for unknown."""
    return list(dict.fromkeys(event["person"]["name"] if event["person"] else None for event in told))
