"""An address of the settings in, a listening TCP socket out."""

import asyncio
import errno
import os
import socket
from dataclasses import dataclass
from typing import Any

from streamer.errors import PortInUse, StreamerError

BACKLOG = 128


@dataclass(frozen=True, slots=True)
class Place:
    """Where to listen, as the settings of `section` say; `invalid`: how it is refused where it is no place here."""

    section: str
    host: str
    port: int
    invalid: type[StreamerError]
    family: int
    protocol: int
    address: tuple[Any, ...]


async def resolve(host: str, port: int, section: str, invalid: type[StreamerError]) -> Place:
    """section: `http`, whose host and port they are. Raises `invalid` where there is no such host."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "no name of a host"
        raise invalid(f"{section}.host {host}: {why}; 127.0.0.1 is for this machine alone, 0.0.0.0 for all") from None
    # "localhost" is ::1 and 127.0.0.1, and most who look there mean the latter.
    family, _, protocol, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    return Place(section, host, port, invalid, family, protocol, address)


def listen(place: Place, *, reuse_port: bool = False) -> socket.socket:
    """reuse_port: beside others of this user who listen there so, too; each connection is one's of them.

    Raises PortInUse, or what the place says where it is none here.
    """
    section, host, port = place.section, place.host, place.port
    try:
        listener = socket.socket(place.family, socket.SOCK_STREAM, place.protocol)
    except OSError as error:
        raise place.invalid(f"{section}: no socket can be opened ({error.strerror}); see `ulimit -n`") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(place.address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"{section}.port {port} on {host} is in use by another program; end it, or set another port"
            ) from None
        why = os.strerror(error.errno or 0)
        raise place.invalid(
            f"{section}: can't listen on {host} port {port} ({why}); set another {section}.host or {section}.port"
        ) from None
    return listener
