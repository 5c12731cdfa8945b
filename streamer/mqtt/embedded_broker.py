"""A small MQTT broker inside this process (amqtt), so that the demo needs nothing else installed.

Anybody may connect, on loopback. Runs on the loop; about 2000 messages a second, nothing is kept.
"""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from amqtt.broker import Broker

from streamer.errors import PortInUse

LISTENER = "default"
# The listening socket is ours, which tells the port before anybody connects; amqtt gets the connections.
_CONFIG = {
    "listeners": {LISTENER: {"type": "external"}},
    "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
}


@asynccontextmanager
async def embedded_broker(port: int = 0, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """A broker on `port`, or any free one (0), while the context lasts; yields the port. Raises PortInUse."""
    listening = _listen(host, port)
    broker = Broker(_CONFIG)
    await broker.start()
    server = await asyncio.start_server(partial(broker.stream_connected, listener_name=LISTENER), sock=listening)
    try:
        yield int(listening.getsockname()[1])
    finally:
        server.close()
        await broker.shutdown()


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise PortInUse(f"port {port} on {host} is in use; choose another, or 0 for any free one") from None
