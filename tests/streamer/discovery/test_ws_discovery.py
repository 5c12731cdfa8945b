"""Who answers on the network: answers as devices write them, and as they should not; a search on loopback."""

import random
import socket

import pytest

from streamer.discovery.soap import NotSoap
from streamer.discovery.ws_discovery import announcements, search
from streamer.errors import DiscoveryFailed
from tests.streamer.discovery.onvif_device import Responder, probe_matches, soap

HERE = "127.0.0.1"


@pytest.fixture
def port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("xaddrs", "url"),
    [
        ("http://192.0.2.9/onvif/device_service", "http://192.0.2.9/onvif/device_service"),
        ("http://192.0.2.9:8080/onvif/device_service", "http://192.0.2.9:8080/onvif/device_service"),
        (
            "http://[fe80::1%25eth0]/onvif/device_service http://169.254.3.4/x http://192.0.2.9:81/onvif/device_service",
            "http://192.0.2.9:81/onvif/device_service",
        ),
        ("https://192.0.2.9/onvif/device_service", "https://192.0.2.9/onvif/device_service"),
        ("http://10.0.0.7:8000/onvif/device_service", "http://192.0.2.9:8000/onvif/device_service"),
        ("http://camera.local/onvif/device_service", "http://192.0.2.9/onvif/device_service"),
        ("http://[2001:db8::9]:8000/dev", "http://192.0.2.9:8000/dev"),
        ("/onvif/device_service", "http://192.0.2.9/onvif/device_service"),
        ("\n   http://192.0.2.9/a\n  http://192.0.2.9/a \t http://192.0.2.9/b ", "http://192.0.2.9/a"),
        ("http://192.0.2.9:99999/x http://[::bad/ http://192.0.2.9/y", "http://192.0.2.9/y"),
        ("http://ada:hunter2@192.0.2.9/x", "http://192.0.2.9/x"),
    ],
)
def test_the_device_is_asked_where_it_answered(xaddrs, url):
    (found,) = announcements(probe_matches(xaddrs), "192.0.2.9")
    assert found.url == url


@pytest.mark.parametrize(
    ("scopes", "name", "hardware"),
    [
        (
            ["onvif://www.onvif.org/name/Front%20Door", "onvif://www.onvif.org/hardware/XY-1/v2"],
            "Front Door",
            "XY-1/v2",
        ),
        (["onvif://www.onvif.org/type/video_encoder", "onvif://www.onvif.org/name/T%C3%BCr"], "Tür", ""),
        (
            ["onvif://www.onvif.org/name/%1b%5b2J%0aX", "onvif://www.onvif.org/hardware/%ff%fe"],
            "?[2J X",
            "\ufffd\ufffd",
        ),
        (["onvif://www.onvif.org/name/" + "x" * 500], "x" * 79 + "…", ""),
        ([], "", ""),
    ],
)
def test_names_are_percent_encoded(scopes, name, hardware):
    (found,) = announcements(probe_matches("http://192.0.2.9/", scopes=scopes), "192.0.2.9")
    assert (found.name, found.hardware) == (name, hardware)


@pytest.mark.parametrize(
    "data",
    [
        probe_matches("http://192.0.2.9/", types="wprt:PrintDeviceType", scopes=[]),
        probe_matches(""),
        probe_matches("ftp://192.0.2.9/ gopher://x"),
        probe_matches("http://192.0.2.9:0/"),
        soap(""),
        soap("<d:ResolveMatches/>"),
    ],
)
def test_what_is_no_camera(data):
    assert announcements(data, "192.0.2.9") == []


def test_one_answer_may_tell_of_several_devices():
    one, other = (probe_matches(f"http://192.0.2.9:{port}/", endpoint=f"u:{port}") for port in (81, 82))
    inner = other[other.index(b"<d:ProbeMatch>") : other.index(b"</d:ProbeMatches>")]
    data = one.replace(b"</d:ProbeMatches>", inner + b"</d:ProbeMatches>")
    assert [found.url for found in announcements(data, "192.0.2.9")] == ["http://192.0.2.9:81/", "http://192.0.2.9:82/"]


def test_hostile_answers_are_cameras_or_nothing():
    good = probe_matches("http://192.0.2.9/onvif/device_service http://[fe80::1]/x")
    chance = random.Random(11)
    read = 0
    for _ in range(4000):
        data = bytearray(good)
        for _ in range(chance.randint(1, 6)):
            place = chance.randrange(len(data))
            data[place : place + chance.randrange(3)] = chance.choice(
                [bytes([chance.randrange(256)]), b"", b"%", b"://", b"[", b"]", b":99999", b"\r\n", b"@", b"&#0;"]
            )
        try:
            found = announcements(bytes(data), "192.0.2.9")
        except NotSoap:
            continue
        read += 1
        for each in found:
            assert each.url.partition("://")[2].partition("/")[0].partition(":")[0] == "192.0.2.9"
            assert each.name.isprintable()
    assert read > 500


async def test_a_search_finds_each_device_once(port):
    answers = [
        b"no xml",
        probe_matches("http://127.0.0.1:81/x", endpoint="urn:uuid:b"),
        probe_matches("http://127.0.0.1:80/x", endpoint="urn:uuid:a"),
        probe_matches("http://127.0.0.1:80/x", endpoint="urn:uuid:a"),
        b"\xff" * 60_000,
    ]
    with Responder(port, answers) as responder:
        found = await search(0.7, HERE, port)
        assert len(responder.questions) == 2, "asked twice: datagrams get lost"
        assert len(set(responder.questions)) == 1, "by one message, so that nobody has to answer twice"
        assert b"NetworkVideoTransmitter" in responder.questions[0]
    assert [(each.endpoint, each.address) for each in found] == [("urn:uuid:a", HERE), ("urn:uuid:b", HERE)]


async def test_who_answers_late_is_found_while_there_is_time(port):
    with Responder(port, [probe_matches("http://127.0.0.1/x")], late_s=0.5):
        assert await search(0.2, HERE, port) == []
        assert len(await search(1.5, HERE, port)) == 1


async def test_a_flood_ends_by_itself(port):
    """Sixteen megabytes are read, a thousand devices are kept."""
    flood = [probe_matches("http://127.0.0.1/x", endpoint=f"urn:uuid:{n}") for n in range(1500)]
    with Responder(port, flood):
        found = await search(1.0, HERE, port)
    assert 0 < len(found) <= 1000


async def test_nobody_answers(port):
    assert await search(0.2, HERE, port) == []


@pytest.mark.parametrize("interface", ["203.0.113.1", "999.1.1.1", "no address"])
async def test_a_network_that_is_not_here(interface, port):
    with pytest.raises(DiscoveryFailed, match="by --interface") as failed:
        await search(0.2, interface, port)
    assert "\n" not in str(failed.value)
