"""What systemd is told of a service of Type=notify: that it is ready, that its loop turns, that it stops; sd_notify(3).

Datagrams to the socket that NOTIFY_SOCKET names; nothing where there is none. Runs on the loop and never waits.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from streamer.variables import environment


@asynccontextmanager
async def told_systemd(status: str, environ: Mapping[str, str] | None = None) -> AsyncIterator[None]:
    """Ready from now on; at the end it stops. With WATCHDOG_USEC it says so twice within that while the loop turns."""
    environ = environment() if environ is None else environ
    address, watchdog_us = environ.get("NOTIFY_SOCKET", ""), environ.get("WATCHDOG_USEC", "")
    if not address:
        yield
        return
    _send(address, f"READY=1\nSTATUS={status}")
    turning = asyncio.create_task(_keep_on(address, int(watchdog_us) / 2e6), name="watchdog") if watchdog_us else None
    try:
        yield
    finally:
        _send(address, "STOPPING=1\nSTATUS=stopping")
        if turning is not None:
            turning.cancel()


async def _keep_on(address: str, every_s: float) -> None:
    while True:
        _send(address, "WATCHDOG=1")
        await asyncio.sleep(every_s)


def _send(address: str, text: str) -> None:
    """A systemd that is restarted, or whose socket is full, is told the next time."""
    to = f"\0{address[1:]}" if address.startswith("@") else address
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.setblocking(False)
        channel.sendto(text.encode(), to)
