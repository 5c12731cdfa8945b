"""An address of the settings in, a listening TCP socket out."""

import asyncio
import errno
import os
import socket

from streamer.errors import PortInUse, StreamerError

BACKLOG = 128


async def listen(host: str, port: int, section: str, invalid: type[StreamerError]) -> socket.socket:
    """section: `http`, whose host and port they are. Raises PortInUse, or `invalid` where the address is none here."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise invalid(
            f"{section}.host {host}: {error.strerror}; 127.0.0.1 is for this machine alone, 0.0.0.0 for all"
        ) from None
    # "localhost" is ::1 and 127.0.0.1, and most who look there mean the latter.
    family, kind, protocol, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"{section}.port {port} on {host} is in use by another program; end it, or set another port"
            ) from None
        why = os.strerror(error.errno or 0)
        raise invalid(
            f"{section}: can't listen on {host} port {port} ({why}); set another {section}.host or {section}.port"
        ) from None
    return listener
