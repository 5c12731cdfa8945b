"""Where HTTP and RTSP listen: a port is one's own, unless all who listen there share it."""

import socket
from collections.abc import Callable

import pytest

from streamer.errors import HttpAddressInvalid, PortInUse
from streamer.listen import Place, listen, resolve


@pytest.fixture
async def place(free_port: int) -> Place:
    return await resolve("127.0.0.1", free_port, "http", HttpAddressInvalid)


@pytest.fixture
def listener(place: Place) -> Callable[[bool], socket.socket]:
    return lambda shared: listen(place, reuse_port=shared)


@pytest.mark.parametrize(
    ("first", "second"), [(False, False), (True, False), (False, True)], ids=["neither", "the first", "the second"]
)
def test_a_port_is_shared_by_those_who_both_want_that(listener, first, second):
    with listener(first), pytest.raises(PortInUse):
        listener(second)


def test_whoever_is_left_of_several_takes_all_connections(place, listener):
    with listener(True) as stays, listener(True) as goes, listener(True):
        goes.close()
        for _ in range(3):
            with socket.create_connection(place.address, timeout=5):
                pass
    stays.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(place.address, timeout=5)
