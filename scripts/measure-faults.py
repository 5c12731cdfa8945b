"""What one camera's trouble does to itself and to the others; a Markdown table on stdout.

    python scripts/measure-faults.py --seconds 20

The real service with three steady cameras (a film of three people who come and go, round and round), one that is pushed
to by ffmpeg and suffers each fault by turns, and one more that is switched. Needs ffmpeg and mosquitto. Blocks for
minutes. Latency: from a frame to the broker, as the events of the steady cameras tell it.
"""

import argparse
import asyncio
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.faces import EVERYBODY, KNOWN, write_film
from tests.live.lossy_relay import LossyRelay, lossy_relay
from tests.live.mosquitto import Mosquitto, program
from tests.live.publishers import Publishing, Transport, by_ffmpeg
from tests.live.servers import unused_port
from tests.live.service import ServiceProcess, until
from tests.live.subscriber import Subscriber, assert_told_whole, visits_of
from tests.streamer.ingest.rtsp import publisher as by_hand

STEADY = ("steady0", "steady1", "steady2")
FPS = 5
PASSWORD, OTHER_PASSWORD = "secret", "another"
OUTCOMES = ("processed", "dropped", "shed", "skipped", "failed", "held_back")


@dataclass
class Rig:
    """The service, and its pushed camera's publisher."""

    service: ServiceProcess
    heard: Subscriber
    film: Path
    config: dict[str, Any]
    broker_port: int
    folder: Path
    relay: LossyRelay
    password: str = PASSWORD
    publisher: Publishing | None = None
    logs: int = 0

    def url(self, port: int, password: str) -> str:
        return f"rtsp://pushed:{password}@127.0.0.1:{port}/pushed"

    @property
    def port(self) -> int:
        port: int = self.config["ingest"]["rtsp"]["port"]
        return port

    def another(self, password: str, transport: Transport = "tcp") -> Publishing:
        """Over UDP: by way of the relay."""
        self.logs += 1
        log = self.folder / f"publisher-{self.logs}.log"
        port = self.relay.port if transport == "udp" else self.port
        return by_ffmpeg(self.film, self.url(port, password), log, transport=transport)

    async def publish(self, transport: Transport = "tcp") -> None:
        """In place of the one before; until its frames flow."""
        self.leave()
        self.publisher = self.another(self.password, transport)
        await self.flows()

    def leave(self) -> None:
        if self.publisher is not None:
            self.publisher.__exit__(None, None, None)
        self.publisher = None

    async def frames(self, outcome: str, *cameras: str) -> float:
        return sum([await self.service.metric("whosthere_frames_total", camera=c, outcome=outcome) for c in cameras])

    async def flows(self, camera: str = "pushed") -> None:
        before = await self.frames("processed", camera)

        async def more() -> bool:
            return await self.frames("processed", camera) > before

        await until(more)

    async def switch(self, word: str) -> None:
        topic = "whosthere/cameras/switched/enabled/set"
        command = [program("mosquitto_pub"), "-p", str(self.broker_port), "-t", topic, "-m", word, "-q", "1"]
        await (await asyncio.create_subprocess_exec(*command)).wait()

    def reload(self, password: str) -> None:
        self.password = password
        self.config["cameras"]["pushed"]["password"] = password
        path = self.folder / "whosthere-under-test.yaml"
        path.write_text(yaml.safe_dump({"http": {"port": 0}} | self.config))
        os.kill(self.service.pid, signal.SIGHUP)


Fault = Callable[[Rig, float], Awaitable[str]]


async def _nothing(rig: Rig, seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "-"


async def _back(rig: Rig, began_s: float, camera: str = "pushed") -> str:
    await rig.flows(camera)
    return f"{time.monotonic() - began_s:.1f} s"


async def _killed(rig: Rig, seconds: float) -> str:
    assert rig.publisher is not None
    rig.publisher.send(signal.SIGKILL)
    await asyncio.sleep(seconds / 2)
    began_s = time.monotonic()
    await rig.publish()
    took = f"{time.monotonic() - began_s:.1f} s, ffmpeg's start in it"
    await asyncio.sleep(max(0.0, seconds / 2 - (time.monotonic() - began_s)))
    return took


async def _stopped(rig: Rig, seconds: float) -> str:
    assert rig.publisher is not None
    rig.publisher.send(signal.SIGSTOP)
    await asyncio.sleep(min(seconds / 2, 5.0))
    rig.publisher.send(signal.SIGCONT)
    took = await _back(rig, time.monotonic())
    await asyncio.sleep(seconds - min(seconds / 2, 5.0))
    return took


async def _again_and_again(count: int, seconds: float, once: Callable[[int], Awaitable[None]]) -> None:
    """`once`, by so many at a time, until the time is up."""

    async def caller(number: int) -> None:
        while True:
            with contextlib.suppress(OSError, EOFError, TimeoutError, AssertionError):
                await once(number)
            await asyncio.sleep(0.05)

    tasks = [asyncio.create_task(caller(number), name=f"caller {number}") for number in range(count)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await by_hand.close_all()


async def _wrong_logins(rig: Rig, seconds: float) -> str:
    async def once(_: int) -> None:
        caller = await by_hand.Publisher.connect(rig.port, "pushed", ("pushed", "wrong"))
        await caller.announce()
        caller.close()

    await _again_and_again(20, seconds, once)
    return "-"


async def _idle(rig: Rig, seconds: float) -> str:
    for _ in range(200):
        await by_hand.Publisher.connect(rig.port)
    await asyncio.sleep(seconds)
    await by_hand.close_all()
    return "-"


async def _noise(rig: Rig, seconds: float) -> str:
    dice = random.Random(1)

    async def once(_: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        try:
            writer.write(dice.choice((b"", b"$", b"ANNOUNCE ")) + dice.randbytes(4096))
            async with asyncio.timeout(5):
                await reader.read()
        finally:
            writer.close()

    await _again_and_again(8, seconds, once)
    return "-"


async def _lossy(rig: Rig, seconds: float) -> str:
    rig.relay.loss = 0.05
    await asyncio.sleep(seconds)
    rig.relay.loss = 0.0
    return await _back(rig, time.monotonic())


async def _second(rig: Rig, seconds: float) -> str:
    ends_s = time.monotonic() + seconds
    while time.monotonic() < ends_s:
        with rig.another(rig.password) as second:
            await until(lambda second=second: second.is_over)
            assert "somebody publishes to it already" in second.said
    return "-"


async def _password(rig: Rig, seconds: float) -> str:
    rig.reload(OTHER_PASSWORD)
    began_s = time.monotonic()
    assert rig.publisher is not None
    await until(lambda: rig.publisher is None or rig.publisher.is_over)
    with rig.another(PASSWORD) as old:
        await until(lambda: old.is_over)
        assert "401" in old.said
    await rig.publish()
    took = f"{time.monotonic() - began_s:.1f} s, a refused one and ffmpeg's start in it"
    await asyncio.sleep(max(0.0, seconds - (time.monotonic() - began_s)))
    return took


async def _switched(rig: Rig, seconds: float) -> str:
    await rig.switch("OFF")
    await until(lambda: rig.heard.status("switched").get("state") == "disabled")
    await asyncio.sleep(seconds / 2)
    began_s = time.monotonic()
    await rig.switch("ON")
    took = await _back(rig, began_s, "switched")
    await asyncio.sleep(seconds / 2)
    return took


async def _peer_killed(rig: Rig, seconds: float) -> str:
    """The one that follows is refused until the camera is seen to be silent."""
    rig.leave()
    await until(lambda: rig.heard.status("pushed").get("state") == "offline")
    command = [sys.executable, "-m", "tests.live.whip_peer", f"{rig.service.http}/whip/pushed", rig.password]
    with Publishing(command, rig.folder / "peer.log") as peer:
        await rig.flows()
        await asyncio.sleep(seconds / 2)
        began_s = time.monotonic()
        peer.send(signal.SIGKILL)
        peer.code()
    before = await rig.frames("processed", "pushed")
    with Publishing(command, rig.folder / "peer.log"):
        await until(lambda: rig.heard.status("pushed").get("state") != "online")

        async def is_back() -> bool:
            return await rig.frames("processed", "pushed") > before + FPS

        await until(is_back)
        took = f"{time.monotonic() - began_s:.1f} s after its end, the next one's start in it"
        await asyncio.sleep(seconds / 2)
    await until(lambda: rig.heard.status("pushed").get("state") == "offline")  # else the next one is refused
    return took


# what -> (the fault, how the publisher publishes, whose frames are counted)
FAULTS: dict[str, tuple[Fault, Transport, str]] = {
    "nothing, TCP": (_nothing, "tcp", "pushed"),
    "publisher killed, started again half a phase later": (_killed, "tcp", "pushed"),
    "publisher stopped (SIGSTOP) for 5 s": (_stopped, "tcp", "pushed"),
    "20 that try wrong passwords again and again": (_wrong_logins, "tcp", "pushed"),
    "200 connections that do nothing": (_idle, "tcp", "pushed"),
    "8 that send random bytes again and again": (_noise, "tcp", "pushed"),
    "a second publisher, again and again": (_second, "tcp", "pushed"),
    "5 % of the UDP packets lost": (_lossy, "udp", "pushed"),
    "a WHIP publisher killed, the next one started at once": (_peer_killed, "tcp", "pushed"),
    "a file camera disabled, enabled half a phase later": (_switched, "tcp", "switched"),
    "another password (SIGHUP)": (_password, "tcp", "pushed"),
}


@dataclass(frozen=True)
class Phase:
    took: str
    seconds: float
    frames: dict[str, float]  # of the camera that suffers
    steady_lost: float
    latencies_ms: list[float]
    events: range  # of all that were heard

    def percentiles(self) -> str:
        ranked = sorted(self.latencies_ms)
        return f"{ranked[len(ranked) // 2]:.0f}, {ranked[min(len(ranked) - 1, len(ranked) * 99 // 100)]:.0f}"


async def observe(rig: Rig, fault: Fault, camera: str, seconds: float) -> Phase:
    async def counts() -> tuple[dict[str, float], float]:
        of_one = {outcome: await rig.frames(outcome, camera) for outcome in OUTCOMES}
        return of_one, sum([await rig.frames(outcome, *STEADY) for outcome in OUTCOMES[1:]])

    before, began_s, heard = await counts(), time.monotonic(), len(rig.heard.events())
    took = await fault(rig, seconds)
    after, ended_s = await counts(), time.monotonic()
    events = rig.heard.events()
    latencies = [e["latency_ms"]["total"] for e in events[heard:] if e["camera"] in STEADY and e["type"] != "end"]
    frames = {outcome: after[0][outcome] - before[0][outcome] for outcome in OUTCOMES}
    return Phase(took, ended_s - began_s, frames, after[1] - before[1], latencies, range(heard, len(events)))


def not_whole(events: list[dict[str, Any]], begun: range) -> int:
    """Visits that began meanwhile and of which something is missing."""
    first = {event["event_id"]: number for number, event in reversed(list(enumerate(events)))}
    count = 0
    for told in visits_of(events):
        try:
            assert_told_whole([told])
        except AssertionError:
            count += first[told[0]["event_id"]] in begun
    return count


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def config_of(film: Path, broker_port: int) -> dict[str, Any]:
    looped = {"url": str(film), "loop": True, "fps": FPS}
    pushed = {"url": "publish://", "user": "pushed", "password": PASSWORD, "fps": FPS}
    return {
        "paths": {"data": "data"},
        "mqtt": {"port": broker_port, "commands": ["cameras/enabled"]},
        "ingest": {"rtsp": {"port": unused_port()}},
        "events": {"gone_after_s": 1.0},
        "cameras": dict.fromkeys(STEADY, looped) | {"pushed": pushed, "switched": looped},
    }


async def observe_all(rig: Rig, seconds: float, only: str) -> dict[str, tuple[Phase, Phase]]:
    """What -> (before, during)."""
    phases = {}
    for what, (fault, transport, camera) in FAULTS.items():
        if only not in what:
            continue
        if rig.publisher is None or transport == "udp":
            await rig.publish(transport)
        calm = await observe(rig, _nothing, camera, seconds)
        phases[what] = calm, await observe(rig, fault, camera, seconds)
        sys.stderr.write(f"{what}: done\n")
        if transport == "udp":
            await rig.publish()
    return phases


async def measure(folder: Path, seconds: float, only: str) -> None:
    film = write_film(folder / "film.mp4", (EVERYBODY[:3], 2), ([], 2))
    with Mosquitto(folder) as broker, Subscriber(broker.port, folder) as heard:
        await heard.catch_up()
        config = config_of(film, broker.port)
        service = ServiceProcess(folder, yaml.safe_load(yaml.safe_dump(config)))
        service.run("enrol", KNOWN.name, KNOWN.file)
        with service:
            async with lossy_relay(config["ingest"]["rtsp"]["port"]) as relay:
                rig = Rig(service, heard, film, config, broker.port, folder, relay)
                await service.until_ready("broker", "models", *(f"camera {name}" for name in STEADY))
                phases = await observe_all(rig, seconds, only)
                dropped = await service.metric("whosthere_outbox_dropped_total")
                began_s = time.monotonic()
                code = service.stop()
                stopped_s = time.monotonic() - began_s
                rig.leave()
        await heard.catch_up()
        tell(heard.events(), phases)
        ends = [told[-1].get("end_reason") for told in heard.visits()]
        say(f"\nSIGTERM: exit code {code} after {stopped_s:.1f} s; {ends.count('stopped')} visits ended by it")
        torn = not_whole(heard.events(), range(10**9))
        say(f"visits: {len(ends)}, not told whole: {torn}; events dropped: {dropped:.0f}")
        say(f"load: {os.getloadavg()[0]:.1f}")


def tell(events: list[dict[str, Any]], phases: dict[str, tuple[Phase, Phase]]) -> None:
    say("| fault | its frames: used, lost | visits not told whole | back after | others: p50, p99 before | during |")
    say("|---|---|---|---|---|---|")
    for what, (calm, phase) in phases.items():
        looked = phase.frames["processed"]
        lost = max(0.0, phase.seconds * FPS - looked)
        say(
            f"| {what} | {looked:.0f}, {lost:.0f} | {not_whole(events, phase.events)} | {phase.took} | "
            f"{calm.percentiles()} ms, {calm.steady_lost:.0f} lost | {phase.percentiles()} ms, "
            f"{phase.steady_lost:.0f} lost |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each phase")
    parser.add_argument("--only", default="", help="faults with this in their name")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(Path(folder), args.seconds, args.only))


if __name__ == "__main__":
    main()
