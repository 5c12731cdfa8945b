"""What all connections of the RTSP server share: the cameras, their logins, how many may wait, what was refused.

On the loop. Who does not publish yet may always be sent away in favour of somebody who has just come.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from streamer.access.attempts import FailedAttempts
from streamer.addresses import neighbourhood_of, who_has_to_go
from streamer.errors import CameraVariableUnset
from streamer.ingest.publish.point import PublishPoints
from streamer.telemetry.metrics import Metrics
from streamer.telemetry.once_log import OnceLog

log = logging.getLogger(__name__)

MOST_WAITING = 128  # connections that do not publish (yet)
MOST_WAITING_OF_ONE = 32  # of one address, or IPv6 /64
MOST_BARE = 10  # connections of one address in TELL_S that begin with a packet; then nothing is read of them
MOST_WRONG = 20  # logins of one address for one camera in TELL_S; then none is looked at
TELL_S = 60.0


Refusal = Literal[
    "login_refused",
    "camera_unknown",
    "camera_disabled",
    "publisher_present",
    "session_unknown",
    "request_malformed",
    "stream_refused",
    "too_many_connections",
    "publisher_silent",
]
_WORDS: dict[Refusal, str] = {
    "login_refused": "its user or password is wrong; see cameras.<name>.user and password",
    "camera_unknown": "there is no camera of that name that its login is for",
    "camera_disabled": "the camera is disabled",
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
    neighbourhood: str = field(init=False)

    def __post_init__(self) -> None:
        self.neighbourhood = neighbourhood_of(self.address)


class FrontDesk:
    def __init__(self, points: PublishPoints, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self.points = points
        self.metrics = metrics
        self.clock = clock
        self._callers: dict[Caller, None] = {}  # the oldest first
        self._once = OnceLog(log)
        self._bare = FailedAttempts(clock, MOST_BARE, TELL_S)
        self._wrong = FailedAttempts(clock, MOST_WRONG, TELL_S)
        self._again: dict[tuple[Refusal, str, str], int] = {}
        self._told_s = clock()

    def come(self, caller: Caller) -> None:
        """Lets one in; where too many wait, the oldest of them goes."""
        waiting = [other for other in self._callers if other.is_waiting]
        self._callers[caller] = None
        gone = who_has_to_go(waiting, caller, most=MOST_WAITING, most_of_one=MOST_WAITING_OF_ONE)
        if gone is not None:
            self.refused("too_many_connections", caller.address)
            self.gone(gone)
            gone.hang_up()

    def gone(self, caller: Caller) -> None:
        self._callers.pop(caller, None)

    def callers(self) -> list[Caller]:
        return list(self._callers)

    def logins(self) -> dict[str, tuple[str, str]]:
        """(user, password) of every camera but those whose variables are not set, which is told."""
        found = {}
        for name, point in self.points.items():
            try:
                found[name] = point.login()
                self._once.over(name)
            except CameraVariableUnset as error:
                self._once.warn(name, error, f"camera {name}: nobody can publish to it: %s")
        return found

    def refused(self, code: Refusal, address: str, whom: str = "") -> None:
        """Counted; the log has the first of a minute, and then how many more there were. whom: as whom() says it."""
        self.metrics.ingest_refused.labels(code=code).inc()
        key = (code, neighbourhood_of(address), whom)
        if key in self._again:
            self._again[key] += 1
        elif len(self._again) < MOST_WAITING:
            self._again[key] = 0
            log.warning("rtsp ingest: %s%s is refused: %s", address, whom, _WORDS[code], extra={"code": code})

    def whom(self, camera: str, user: str, logins: Mapping[str, tuple[str, str]]) -> str:
        """Which camera and whose login somebody came with, for the log.

        What is not configured here is not repeated: where a user is wanted, people paste passwords.
        """
        named = f"camera {camera}" if camera in self.points else "no camera of that name"
        if not user:
            return f" ({named}, without a user)"
        is_known = any(user == known for known, _ in logins.values())
        return f" ({named}, user {user})" if is_known else f" ({named}, a user that no camera has)"

    def wrong_login(self, address: str, camera: str, whom: str = "") -> None:
        self.refused("login_refused", address, whom)
        self._wrong.add(self._guess(address, camera))

    def is_guessing(self, address: str, camera: str) -> bool:
        """Whether so many logins were wrong that no more are looked at; one camera's publisher harms no other one."""
        return self._wrong.wait_s(self._guess(address, camera)) > 0

    def _guess(self, address: str, camera: str) -> tuple[str, str]:
        return neighbourhood_of(address), camera if camera in self.points else ""

    def is_flood(self, address: str) -> bool:
        """Whether this address, which came with a bare packet again, has done so too often."""
        who = neighbourhood_of(address)
        is_too_often = self._bare.wait_s(who) > 0
        self._bare.add(who)
        return is_too_often

    def tick(self, now_s: float) -> None:
        """Called every so often: what was refused is told, and counted anew."""
        if now_s - self._told_s < TELL_S:
            return
        for (code, address, whom), times in self._again.items():
            if times:
                told = (address, whom, times, _WORDS[code])
                log.warning("rtsp ingest: %s%s was refused %d times more: %s", *told, extra={"code": code})
        self._told_s = now_s
        self._again.clear()
