"""What all connections of the RTSP server share: the cameras, their logins, how many may wait, what was refused.

On the loop. Who does not publish yet may always be sent away in favour of somebody who has just come.
"""

import ipaddress
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from streamer.errors import CameraVariableUnset
from streamer.ingest.publish.point import PublishPoints
from streamer.telemetry.metrics import Metrics
from streamer.telemetry.once_log import OnceLog

log = logging.getLogger(__name__)

MOST_WAITING = 128  # connections that do not publish (yet)
MOST_WAITING_OF_ONE = 32  # of one address
MOST_BARE = 10  # connections of one address in TELL_S that begin with a packet; then nothing is read of them
MOST_WRONG = 20  # logins of one address for one camera in TELL_S; then none is looked at
TELL_S = 60.0
_MOST_GUESSERS = 4096


Refusal = Literal[
    "login_refused",
    "publisher_present",
    "session_unknown",
    "request_malformed",
    "stream_refused",
    "too_many_connections",
    "publisher_silent",
]
_WORDS: dict[Refusal, str] = {
    "login_refused": "its user or password is wrong; see cameras.<name>.user and password",
    "publisher_present": "another one publishes to that camera already",
    "session_unknown": "it sends packets without a session; start that publisher again",
    "request_malformed": "what it sends is no RTSP, or too much of it",
    "stream_refused": "it announces a stream that can't be taken",
    "too_many_connections": "too many connections wait without publishing; the oldest was closed",
    "publisher_silent": "it asked for nothing, or did not publish, in time",
}


@dataclass(eq=False, slots=True)
class Caller:
    """One connection. tick(monotonic time): every so often; hang_up: at once."""

    address: str
    tick: Callable[[float], None]
    hang_up: Callable[[], None]
    is_waiting: bool = True

    @property
    def is_local(self) -> bool:
        """On this machine: nobody listens in."""
        try:
            found = ipaddress.ip_address(self.address.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(found, "ipv4_mapped", None)
        return (mapped or found).is_loopback


class FrontDesk:
    def __init__(self, points: PublishPoints, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self.points = points
        self.metrics = metrics
        self.clock = clock
        self._callers: dict[Caller, None] = {}  # the oldest first
        self._once = OnceLog(log)
        self._bare: dict[str, int] = {}
        self._wrong: dict[tuple[str, str], int] = {}
        self._again: dict[tuple[Refusal, str], int] = {}
        self._told_s = clock()

    def come(self, caller: Caller) -> None:
        """Lets one in; where too many wait, the oldest of them goes."""
        waiting = [other for other in self._callers if other.is_waiting]
        of_one = [other for other in waiting if other.address == caller.address]
        self._callers[caller] = None
        for others, most in ((of_one, MOST_WAITING_OF_ONE), (waiting, MOST_WAITING)):
            if len(others) >= most:
                self.refused("too_many_connections", caller.address)
                others[0].hang_up()
                return

    def gone(self, caller: Caller) -> None:
        self._callers.pop(caller, None)

    def callers(self) -> list[Caller]:
        return list(self._callers)

    def logins(self) -> tuple[dict[str, tuple[str, str]], set[str]]:
        """(user, password) of every camera; the cameras whose variables are not set."""
        found, unset = {}, set()
        for name, point in self.points.items():
            try:
                found[name] = point.login()
                self._once.over(name)
            except CameraVariableUnset as error:
                unset.add(name)
                self._once.warn(name, error, f"camera {name}: nobody can publish to it: %s")
        return found, unset

    def refused(self, code: Refusal, address: str) -> None:
        """Counted; the log has the first of a minute, and then how many more there were."""
        self.metrics.ingest_refused.labels(code=code).inc()
        key = (code, address)
        if key in self._again:
            self._again[key] += 1
        elif len(self._again) < MOST_WAITING:
            self._again[key] = 0
            log.warning("rtsp ingest: %s is refused: %s", address, _WORDS[code], extra={"code": code})

    def wrong_login(self, address: str, camera: str) -> None:
        self.refused("login_refused", address)
        if len(self._wrong) >= _MOST_GUESSERS:
            self._wrong.clear()
        key = self._guess(address, camera)
        self._wrong[key] = self._wrong.get(key, 0) + 1

    def is_guessing(self, address: str, camera: str) -> bool:
        """Whether so many logins were wrong that no more are looked at; one camera's publisher harms no other one."""
        return self._wrong.get(self._guess(address, camera), 0) >= MOST_WRONG

    def _guess(self, address: str, camera: str) -> tuple[str, str]:
        return address, camera if camera in self.points else ""

    def is_flood(self, address: str) -> bool:
        """Whether this address, which came with a bare packet again, has done so too often."""
        if address in self._bare or len(self._bare) < MOST_WAITING:
            self._bare[address] = self._bare.get(address, 0) + 1
        return self._bare.get(address, 0) > MOST_BARE

    def tick(self, now_s: float) -> None:
        """Called every so often: what was refused is told, and counted anew."""
        if now_s - self._told_s < TELL_S:
            return
        for (code, address), times in self._again.items():
            if times:
                log.warning(
                    "rtsp ingest: %s was refused %d times more: %s", address, times, _WORDS[code], extra={"code": code}
                )
        self._told_s = now_s
        self._again.clear()
        self._bare.clear()
        self._wrong.clear()
