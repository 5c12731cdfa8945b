"""Two UDP ports, an even one for RTP and the next for RTCP, which hear one publisher alone (RFC 3550, 11).

On the loop; what comes is handed on as it comes. Not a DatagramProtocol: that costs five times as much a packet.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable

_TRIES = 32
_RECEIVE_BUFFER = 4 * 2**20  # a publisher that was stopped comes back with a burst; the system's default lost it
_MOST_AT_ONCE = 512  # packets, before others have their turn
_buffer = bytearray(65536)


class UdpPair:
    def __init__(self, local_host: str, peer_host: str, peer_ports: tuple[int, int]) -> None:
        """Binds. Raises OSError where there are no ports."""
        self._peer = peer_host
        self._peer_ports = peer_ports
        self._rtp, self._rtcp = _bound_pair(local_host)
        self.ports: tuple[int, int] = (self._rtp.getsockname()[1], self._rtcp.getsockname()[1])
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, take: Callable[[bytes, bool], None]) -> None:
        """take(packet, whether it is RTCP): each one from now on, and those that wait."""
        self._loop = asyncio.get_running_loop()
        for each, is_rtcp in ((self._rtp, False), (self._rtcp, True)):
            self._loop.add_reader(each.fileno(), self._read, each, take, is_rtcp)

    def drain(self, take: Callable[[bytes, bool], None]) -> None:
        """What has come and was not read yet."""
        self._read(self._rtp, take, False)

    def send_rtcp(self, packet: bytes) -> None:
        """Or not, where the network takes nothing now."""
        with contextlib.suppress(OSError):
            self._rtcp.sendto(packet, (self._peer, self._peer_ports[1]))

    def close(self) -> None:
        for each in (self._rtp, self._rtcp):
            if self._loop is not None and each.fileno() >= 0:
                self._loop.remove_reader(each.fileno())
            each.close()

    def _read(self, of: socket.socket, take: Callable[[bytes, bool], None], is_rtcp: bool) -> None:
        for _ in range(_MOST_AT_ONCE):
            if of.fileno() < 0:  # closed by what the last packet led to
                return
            try:
                size, address = of.recvfrom_into(_buffer)
            except OSError:
                return
            if address[0] == self._peer:
                take(bytes(_buffer[:size]), is_rtcp)


def _bound_pair(host: str) -> tuple[socket.socket, socket.socket]:
    """An even port and the next."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(_TRIES):
        first = _bound(family, host, 0)
        port = first.getsockname()[1]
        try:
            second = _bound(family, host, port ^ 1)
        except OSError:
            first.close()
            continue
        return (first, second) if port % 2 == 0 else (second, first)
    raise OSError(f"no pair of ports is free on {host}")


def _bound(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        made.bind((host, port))
    except OSError:
        made.close()
        raise
    return made
