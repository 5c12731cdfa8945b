"""`events` of the broker: each as it comes, over outages of the broker, until it is told to stop.

The settings of the broker go in, events come out by a callback, on the loop that is run here.
"""

import asyncio
from collections.abc import Callable

import uvloop

from recognition.errors import CodedError
from streamer.cli.options import note
from streamer.events.event import IdentityEvent
from streamer.mqtt.subscriber import Follower
from streamer.process import stop_signals
from streamer.sections.mqtt import MqttSettings
from streamer.supervise import supervise


def follow(
    mqtt: MqttSettings,
    show: Callable[[IdentityEvent], None],
    *,
    camera: str | None = None,
    person: str | None = None,
    count: int | None = None,
) -> None:
    """Blocks until there were `count`, or somebody ends it. Raises BrokerLost and its kin where none ever answered."""
    waiting = f"waiting for events at {mqtt.host}:{mqtt.port}; Ctrl-C ends it"
    uvloop.run(_follow(Follower(mqtt, show, camera=camera, person=person, count=count), waiting))


async def _follow(follower: Follower, waiting: str) -> None:
    following = asyncio.create_task(again_and_again(follower, waiting), name="follow events")
    for number in stop_signals():
        asyncio.get_running_loop().add_signal_handler(number, following.cancel)
    try:
        await following
    except asyncio.CancelledError:
        return


async def again_and_again(follower: Follower, waiting: str) -> None:
    """A broker that never answered ends it; one that goes away is waited for. waiting: said once it has answered."""
    away = False
    heard = asyncio.Event()

    def listening() -> None:
        nonlocal away
        if away:
            note("the broker is back")
        elif not heard.is_set():
            note(waiting)
        away = False
        heard.set()

    def lost(_name: str, error: CodedError) -> None:
        nonlocal away
        if not heard.is_set():
            raise error
        if not away:
            note(f"{error}; waiting for it")
        away = True

    await supervise("events", lambda: follower.listen(listening), lost, longest_delay_s=5.0, hopeless_delay_s=5.0)
