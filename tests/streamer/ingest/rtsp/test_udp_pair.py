"""Pairs of ports: even and next, for one publisher, with room for a burst, given back at the end."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from streamer.ingest.rtsp import udp_pair
from streamer.ingest.rtsp.udp_pair import UdpPair
from tests.recognition.fakes import until


@pytest.fixture
def sender() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        yield made


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.3", "0.0.0.0"])
async def test_an_even_port_and_the_next(host: str):
    pairs = [UdpPair(host, host, (5000, 5001)) for _ in range(20)]
    assert all(rtp % 2 == 0 and rtcp == rtp + 1 for rtp, rtcp in (pair.ports for pair in pairs))
    assert len({pair.ports for pair in pairs}) == 20
    for pair in pairs:
        pair.close()
        pair.close()
    for pair in pairs:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind((host, pair.ports[0]))


def test_a_neighbour_that_is_taken_is_gone_round(monkeypatch):
    """Every other port is somebody else's for the first tries."""
    bound, taken = udp_pair._bound, [True, True, True]

    def busy(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
        if port and taken:
            taken.pop()
            raise OSError(98, "Address already in use")
        return bound(family, host, port)

    monkeypatch.setattr(udp_pair, "_bound", busy)
    pair = UdpPair("127.0.0.1", "127.0.0.1", (5000, 5001))
    assert (taken, pair.ports[0] % 2) == ([], 0)
    pair.close()
    taken += [True] * 100
    with pytest.raises(OSError, match="no pair of ports is free"):
        UdpPair("127.0.0.1", "127.0.0.1", (5000, 5001))


def test_an_address_that_is_not_ours():
    with pytest.raises(OSError, match="assign"):
        UdpPair("192.0.2.1", "127.0.0.1", (5000, 5001))


async def test_there_is_room_for_a_burst(sender: socket.socket):
    pair = UdpPair("127.0.0.1", "127.0.0.1", (5000, 5001))
    for number in range(250):  # more than the default of the system holds
        sender.sendto(number.to_bytes(2, "big") + b"x" * 700, ("127.0.0.1", pair.ports[0]))
    got: list[bytes] = []
    pair.start(lambda packet, is_rtcp: got.append(packet))
    await until(lambda: len(got) == 250)
    assert [int.from_bytes(packet[:2], "big") for packet in got] == list(range(250))
    pair.close()


async def test_what_comes_and_what_waits_at_the_end(sender: socket.socket):
    pair = UdpPair("127.0.0.1", "127.0.0.1", (5000, 5001))
    got: list[tuple[bytes, bool]] = []

    def take(packet: bytes, is_rtcp: bool) -> None:
        got.append((packet, is_rtcp))

    pair.start(take)
    sender.sendto(b"rtcp", ("127.0.0.1", pair.ports[1]))
    await until(lambda: bool(got))
    sender.sendto(b"", ("127.0.0.1", pair.ports[0]))
    sender.sendto(b"last", ("127.0.0.1", pair.ports[0]))
    pair.drain(take)
    pair.close()
    pair.drain(take)
    assert got == [(b"rtcp", True), (b"", False), (b"last", False)]


async def test_reports_go_to_the_second_port(sender: socket.socket):
    port = sender.getsockname()[1]
    pair = UdpPair("127.0.0.1", "127.0.0.1", (port + 1, port))
    sender.setblocking(False)
    pair.send_rtcp(b"report")
    async with asyncio.timeout(10):
        assert await asyncio.get_running_loop().sock_recv(sender, 100) == b"report"
    pair.close()
    pair.send_rtcp(b"after the end")
