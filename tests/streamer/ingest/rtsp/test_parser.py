"""Requests and packets out of bytes, whole, in pieces, and out of bounds."""

import random
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.ingest.rtsp.messages import Interleaved, Refused, Request, packet
from streamer.ingest.rtsp.parser import MOST_BODY, MOST_HEAD, MOST_HEADERS, MOST_LINE, MessageParser
from tests.streamer.ingest.rtsp.fuzz import MOST_KEPT, SEEDS, kept, one_stream, read

Message = Request | Interleaved


def request(method: str = "OPTIONS", url: str = "rtsp://h/door", headers: str = "", body: bytes = b"") -> bytes:
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{method} {url} RTSP/1.0\r\nCSeq: 1\r\n{headers}{length}\r\n".encode() + body


def refusal(data: bytes) -> tuple[int, str | None]:
    """(status, CSeq) of what this ends in."""
    messages, refused = read([data])
    assert messages == []
    assert refused is not None
    return refused.status, refused.cseq


def bytewise(data: bytes) -> Iterator[bytes]:
    return (data[n : n + 1] for n in range(len(data)))


@pytest.mark.parametrize("split", [lambda data: [data], bytewise], ids=["at once", "byte by byte"])
def test_requests_and_packets_in_their_order(split):
    first = request(
        "ANNOUNCE", headers="Content-Type: application/sdp\r\nX-Long: one\r\n two\r\n", body=b"v=0\r\n\r\n$\n"
    )
    data = first + packet(3, b"\r\n$$") + b"\r\n" + request("RECORD") + packet(0, b"") + request()

    messages, refused = read(split(data))

    assert refused is None
    headers = {"cseq": "1", "content-type": "application/sdp", "x-long": "one two", "content-length": "9"}
    assert messages == [
        Request("ANNOUNCE", "rtsp://h/door", "1", headers, b"v=0\r\n\r\n$\n"),
        Interleaved(3, b"\r\n$$"),
        Request("RECORD", "rtsp://h/door", "1", {"cseq": "1"}),
        Interleaved(0, b""),
        Request("OPTIONS", "rtsp://h/door", "1", {"cseq": "1"}),
    ]


def test_lines_may_end_in_lf_alone_and_headers_come_twice():
    parser = MessageParser()
    parser.feed(b"\n\r\nSETUP * RTSP/1.0\ncseq : 7\nAccept: a\nACCEPT:b\n\n")
    assert parser.next() == Request("SETUP", "*", "7", {"cseq": "7", "accept": "a, b"})
    assert parser.next() is None


@pytest.mark.parametrize(
    ("data", "status", "cseq"),
    [
        (b"\x16\x03\x01\x02", 400, None),  # TLS
        (b"RTSP/1.0 200 OK\r\n\r\n", 400, None),
        (b"GET / HTTP/1.1\r\n", 400, None),
        (b"OPTIONS  rtsp://h RTSP/1.0\r\n", 400, None),
        (b"OPTIONS rtsp://h RTSP/2.0\r\n", 505, None),
        (b"OPTIONS rtsp://h RTSP/1.0\r\nno header\r\n\r\n", 400, None),
        (b"OPTIONS rtsp://h RTSP/1.0\r\n folded\r\n\r\n", 400, None),
        (b"OPTIONS rtsp://h RTSP/1.0\r\nA: \xff\r\n\r\n", 400, None),
        (b"OPTIONS rtsp://h RTSP/1.0\r\nA: \x00\r\n\r\n", 400, None),
        (b"OPTIONS rtsp://h RTSP/1.0\r\n\r\n", 400, None),
        (b"OPTIONS rtsp://h RTSP/1.0\r\nCSeq: 1\r\nCSeq: 2\r\n\r\n", 400, None),
        (b"OPTIONS rtsp://h RTSP/1.0\r\nCSeq: 1; drop\r\n\r\n", 400, None),
        (request(headers="Content-Length: -1\r\n"), 400, "1"),
        (request(headers="Content-Length: 5, 5\r\n"), 400, "1"),
        (request(headers=f"Content-Length: {MOST_BODY + 1}\r\n"), 413, "1"),
        (request(url="rtsp://h/" + "a" * MOST_LINE), 414, None),
        (b"OPTIONS rtsp://h/" + b"a" * MOST_LINE, 414, None),  # and no end of it
        (request(headers="A: " + "a" * MOST_LINE), 400, None),
        (request(headers="A: b\r\n" * MOST_HEADERS), 400, None),
        (request(headers=("A: " + "a" * 4000 + "\r\n") * (MOST_HEAD // 4000 + 1)), 400, None),
    ],
)
def test_what_is_no_request_is_told_so(data, status, cseq):
    assert refusal(data) == (status, cseq)


def test_the_largest_that_is_let_in():
    url = "rtsp://h/" + "a" * (MOST_LINE - len("OPTIONS rtsp://h/ RTSP/1.0\r"))
    data = request(url=url, headers="A: b\r\n" * (MOST_HEADERS - 2), body=b"x" * MOST_BODY)
    (message,), refused = read([data])
    assert refused is None
    assert isinstance(message, Request)
    assert (message.url, len(message.body)) == (url, MOST_BODY)


def test_a_packet_is_seen_before_it_is_whole():
    parser = MessageParser()
    parser.feed(request() + b"$")
    assert not parser.is_at_packet
    assert parser.next() is not None
    assert parser.is_at_packet
    assert parser.next() is None
    parser.feed(b"\x00\x00\x01x")
    assert parser.next() == Interleaved(0, b"x")
    assert not parser.is_at_packet


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(1, 40), max_size=20))
def test_any_bytes_end_alike_however_they_are_cut(data: bytes, cuts: list[int]):
    assert ends_alike(data, cuts)


@settings(max_examples=300, deadline=None)
@given(
    lines=st.lists(st.text(st.characters(max_codepoint=0x17F), max_size=30), max_size=8),
    body=st.binary(max_size=50),
    cuts=st.lists(st.integers(1, 40), max_size=20),
)
def test_any_headers_end_alike_however_they_are_cut(lines: list[str], body: bytes, cuts: list[int]):
    head = "\r\n".join(["SETUP rtsp://h/door RTSP/1.0", "CSeq: 3", f"Content-Length: {len(body)}", *lines, "", ""])
    assert ends_alike(head.encode() + body + packet(1, body), cuts)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_broken_streams(seed: int):
    """The same streams as `python -m tests.streamer.ingest.rtsp.fuzz SECONDS` begins with."""
    rng = random.Random(seed)
    for _ in range(40):
        data = one_stream(rng)
        assert ends_alike(data, [rng.randrange(1, 2000) for _ in range(rng.randrange(6))])


def cut(data: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    for size in sizes:
        yield data[:size]
        data = data[size:]
    yield data


def ends_alike(data: bytes, cuts: list[int]) -> bool:
    whole, pieces = read([data]), read(cut(data, cuts))
    assert pieces[0] == whole[0]
    assert (pieces[1] is None) == (whole[1] is None)
    return True


def test_nothing_is_kept_beyond_the_limits():
    parser = MessageParser()
    for data in (request(body=b"x" * MOST_BODY), packet(1, b"x" * 65535)):
        for piece in cut(data * 20, [1000] * (len(data) // 50)):
            parser.feed(piece)
            while parser.next() is not None:
                pass
            assert kept(parser) <= MOST_KEPT + len(piece)


@pytest.mark.parametrize("blank", [b"\n", b"\r\n", b"\r"])
def test_empty_lines_between_messages_are_skipped_at_once_and_have_an_end(blank):
    parser = MessageParser()
    parser.feed(blank * 4 + b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n" + blank * 4)
    assert parser.next().cseq == "1"
    assert parser.next() is None
    parser.feed(blank * (MOST_HEAD + 1))
    with pytest.raises(Refused, match="empty lines"):
        parser.next()
