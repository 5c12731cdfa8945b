"""ICE servers as they are written, asked, and told."""

import pytest
from aiortc.rtcicetransport import connection_kwargs

from streamer.errors import ConfigInvalid
from streamer.webrtc.ice import read_servers
from streamer.webrtc.sessions import configuration

ENVIRON = {"PW": 'p%40 "w\\', "TURN": "turns:ada:s%2Fcret@192.0.2.7:5349?transport=tcp"}


@pytest.mark.parametrize(
    ("template", "url", "login", "link"),
    [
        ("stun:stun.example.net", "stun:stun.example.net", ("", ""), '<stun:stun.example.net>; rel="ice-server"'),
        (
            "turn:u%40x:${PW}@turn.example.net:3478",
            "turn:turn.example.net:3478",
            ("u@x", 'p%40 "w\\'),
            '<turn:turn.example.net:3478>; rel="ice-server"; username="u@x"; credential="p%40 \\"w\\\\"; '
            'credential-type="password"',
        ),
        (
            "${TURN}",
            "turns:192.0.2.7:5349?transport=tcp",
            ("ada", "s/cret"),
            '<turns:192.0.2.7:5349?transport=tcp>; rel="ice-server"; username="ada"; credential="s/cret"; '
            'credential-type="password"',
        ),
    ],
)
def test_a_server_as_it_is_written(template, url, login, link):
    [server] = read_servers([template], ENVIRON)
    assert (server.url, (server.username, server.credential), server.link()) == (url, login, link)
    assert connection_kwargs(configuration([server]).iceServers), "or aiortc would ask nobody"
    [asked] = configuration([server]).iceServers
    assert (asked.urls, asked.username or "", asked.credential or "") == (url, *login)
    assert "cret" not in repr(server)


def test_no_server_is_asked_where_none_is_set():
    assert configuration(()).iceServers == []


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("turn:turn.example.net", "needs a login"),
        ("turn:u:${UNSET}@turn.example.net", "variable UNSET is not set"),
        ("stun:u:p@stun.example.net", "want stun:HOST:PORT"),
        ("stun:stun.example.net?transport=udp", "want stun:HOST:PORT"),
        ("http://turn.example.net", "want stun:HOST:PORT"),
        ("turn:u:p@turn.example.net/x", "want stun:HOST:PORT"),
        ("turn:u:p@[2001:db8::7]:3478", "a name or an IPv4 address"),
        ("turn:u:p@turn.example.net:65536", "a port is 1 to 65535"),
        ("stun:turn.example.net:0", "a port is 1 to 65535"),
    ],
)
def test_what_is_no_server_is_refused_without_its_secret(template, says):
    with pytest.raises(ConfigInvalid, match=r"ingest\.webrtc\.ice_servers\[1\]: ") as refused:
        read_servers(["stun:a", template], ENVIRON)
    assert says in str(refused.value)
    assert "u:p" not in str(refused.value)
