"""Fragments as browsers and others write them."""

import pytest

from streamer.webrtc.errors import CandidatesInvalid
from streamer.webrtc.fragment import read_fragment
from streamer.webrtc.offer import is_usable

HOST = "a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1"


@pytest.mark.parametrize(
    ("text", "ufrag", "mids"),
    [
        (
            f"a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:EsAw\r\n{HOST}\r\n"
            "a=end-of-candidates\r\n",
            "EsAw",
            ["0"],
        ),
        (f"a=ice-ufrag:EsAw\na=ice-pwd:x\nm=video 9 RTP/AVP 0\na=mid:v\n{HOST}\n{HOST}\n", "EsAw", ["v", "v"]),
        (HOST, None, ["first"]),
        ("a=end-of-candidates\r\n", None, []),
        (HOST.replace("192.0.2.1", "3f0c.local") + "\r\n" + HOST.replace(" udp ", " tcp "), None, []),
    ],
)
def test_what_it_says(text, ufrag, mids):
    fragment = read_fragment(text, "first")
    assert (fragment.ufrag, [candidate.sdpMid for candidate in fragment.candidates]) == (ufrag, mids)
    assert all((candidate.ip, candidate.port) == ("192.0.2.1", 61764) for candidate in fragment.candidates)


@pytest.mark.parametrize("text", ["", "\r\n", "{}", '{"candidate": ""}', "a", "=x", "a=ice-ufrag:a\r\na=ice-ufrag:b"])
def test_what_is_none(text):
    with pytest.raises(CandidatesInvalid):
        read_fragment(text, "first")


@pytest.mark.parametrize(
    ("candidate", "usable"),
    [
        ("1 1 udp 1 192.0.2.1 9 typ host", True),
        ("1 1 UDP 1 2001:db8::1 9 typ srflx raddr 0.0.0.0 rport 9", True),
        ("1 2 udp 1 192.0.2.1 9 typ host", False),
        ("1 1 tcp 1 192.0.2.1 9 typ host tcptype active", False),
        ("1 1 udp 1 224.0.0.1 9 typ host", False),
        ("1 1 udp 1 0.0.0.0 9 typ host", False),
        ("1 1 udp 1 192.0.2.1 0 typ host", False),
        ("1 1 udp 1 192.0.2.1 65536 typ host", False),
        ("1 1 udp 1 example.net 9 typ host", False),
        ("1 1 udp one 192.0.2.1 9 typ host", False),
        ("", False),
    ],
)
def test_which_candidates_can_be_sent_to(candidate, usable):
    assert is_usable(candidate) is usable
