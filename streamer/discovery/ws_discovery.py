"""WS-Discovery (April 2005, as ONVIF has it): a question to the whole network, and who answers within some seconds.

On the loop. Answers are read as they come, up to a limit of bytes; what is no answer is left out without a word.
"""

import asyncio
import socket
import struct
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from streamer.discovery.soap import NotSoap, envelope, parse, shown, text_of
from streamer.errors import DiscoveryFailed

GROUP, PORT = "239.255.255.250", 3702
# The same message once more, as the standard has it: datagrams get lost.
_AGAIN_S = (0.4, 1.2)
_MOST_NETWORKS = 64
_MOST_BYTES = 16 * 2**20
_MOST_DEVICES = 1000
_MOST_URLS = 8
_ADDRESSING = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
_DISCOVERY = "http://schemas.xmlsoap.org/ws/2005/04/discovery"
_CAMERA = "NetworkVideoTransmitter"
_SCOPES = "onvif://www.onvif.org/"


@dataclass(frozen=True, slots=True)
class Announcement:
    """What one device says of itself. address: where its answer came from; urls: of its device service, as it says."""

    endpoint: str
    address: str
    urls: tuple[str, ...]
    name: str = ""
    hardware: str = ""

    @property
    def url(self) -> str:
        """Its device service at the address that answered: others may be of other networks, or somebody else's."""
        mine = [url for url in self.urls if urlsplit(url).hostname == self.address]
        parts = urlsplit((mine or list(self.urls))[0])
        port = f":{parts.port}" if parts.port else ""
        return urlunsplit((parts.scheme, f"{self.address}{port}", parts.path, parts.query, ""))


def question(message: uuid.UUID) -> bytes:
    return envelope(
        f'<d:Probe xmlns:d="{_DISCOVERY}" xmlns:dn="http://www.onvif.org/ver10/network/wsdl">'
        f"<d:Types>dn:{_CAMERA}</d:Types></d:Probe>",
        f'<w:MessageID xmlns:w="{_ADDRESSING}">uuid:{message}</w:MessageID>'
        f'<w:To xmlns:w="{_ADDRESSING}" s:mustUnderstand="true">urn:schemas-xmlsoap-org:ws:2005:04:discovery</w:To>'
        f'<w:Action xmlns:w="{_ADDRESSING}" s:mustUnderstand="true">{_DISCOVERY}/Probe</w:Action>',
    )


def announcements(data: bytes, address: str) -> list[Announcement]:
    """Of one answer, which may tell of several devices. Raises NotSoap."""
    found = []
    for match in parse(data).iter("ProbeMatch"):
        scopes = text_of(match, "Scopes").split()
        urls = tuple(_urls(text_of(match, "XAddrs"), address))
        is_camera = _CAMERA in text_of(match, "Types") or any(scope.startswith(_SCOPES) for scope in scopes)
        if is_camera and urls:
            endpoint = text_of(match, "Address") or urls[0]
            found.append(Announcement(endpoint, address, urls, _told(scopes, "name"), _told(scopes, "hardware")))
    return found


def _told(scopes: list[str], what: str) -> str:
    start = f"{_SCOPES}{what}/"
    return shown(unquote(next((scope.removeprefix(start) for scope in scopes if scope.startswith(start)), "")))


def _urls(listed: str, address: str) -> Iterator[str]:
    for text in dict.fromkeys(listed.split()[:_MOST_URLS]):
        with suppress(ValueError):  # what is no URL
            url = urljoin(f"http://{address}/", text)
            parts = urlsplit(url)
            if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and url.isprintable():
                yield url


class _Answers(asyncio.DatagramProtocol):
    def __init__(self, found: dict[str, Announcement]) -> None:
        self._found = found
        self._left = _MOST_BYTES

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._left -= len(data)
        if self._left < 0:
            return
        with suppress(NotSoap):
            for each in announcements(data, addr[0]):
                if len(self._found) < _MOST_DEVICES:
                    self._found.setdefault(each.endpoint, each)

    def error_received(self, exc: Exception) -> None:
        """Nobody listens at some address: the others go on."""


async def search(seconds: float, interface: str | None = None, port: int = PORT) -> list[Announcement]:
    """Who answers within so long, each once. interface: this machine's address in the network to ask; None: all.

    Raises DiscoveryFailed where nobody can be asked.
    """
    found: dict[str, Announcement] = {}
    data = question(uuid.uuid4())
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    with ExitStack() as stack:
        transports: list[asyncio.DatagramTransport] = []
        for asked in _asked(data, interface, port):
            transport, _ = await loop.create_datagram_endpoint(lambda: _Answers(found), sock=asked)
            stack.callback(transport.close)
            transports.append(transport)
        for again_s in _AGAIN_S:
            if again_s < seconds:
                await asyncio.sleep(began_s + again_s - loop.time())
                for transport in transports:
                    transport.sendto(data, (GROUP, port))
        await asyncio.sleep(began_s + seconds - loop.time())
    return sorted(found.values(), key=lambda each: (IPv4Address(each.address), each.endpoint))


def _asked(data: bytes, interface: str | None, port: int) -> list[socket.socket]:
    """A socket for each network, from which the question has been sent. Raises DiscoveryFailed where there is none."""
    asked, why = [], "this machine has no network"
    for outgoing in _outgoing(interface):
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sender.setblocking(False)
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, outgoing)
            sender.bind((interface or "", 0))
            sender.sendto(data, (GROUP, port))
        except OSError as error:
            sender.close()
            why = (error.strerror or type(error).__name__).lower()
        else:
            asked.append(sender)
    if not asked:
        raise DiscoveryFailed(
            f"no camera can be asked for ({why}); name this machine's address in the cameras' network by --interface"
        )
    return asked


def _outgoing(interface: str | None) -> Iterator[bytes]:
    """By which network multicast leaves: by its address here (RFC 1112), or by its number (ip(7), ip_mreqn)."""
    if interface is not None:
        with suppress(OSError):
            yield socket.inet_aton(interface)
        return
    for number, name in socket.if_nameindex()[:_MOST_NETWORKS]:
        if not name.startswith("lo"):
            yield struct.pack("4s4si", socket.inet_aton(GROUP), bytes(4), number)
