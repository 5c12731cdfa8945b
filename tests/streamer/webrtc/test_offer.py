"""Offers from anywhere: a browser's is read, and what was made of it by chance is read or refused, nothing else."""

import asyncio
import contextlib
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recognition.errors import CodedError
from streamer.webrtc.errors import CandidatesInvalid, OfferInvalid, OfferUnsupported
from streamer.webrtc.fragment import read_fragment
from streamer.webrtc.offer import MOST_CANDIDATES, read_offer
from streamer.webrtc.sessions import open_sessions
from tests.streamer.webrtc.mutations import CHROMIUM, mutated
from tests.streamer.webrtc.peers import Keeper, Publisher, nothing_left

SEEDS = range(400)
CONNECTED_SEEDS = range(60)


def test_a_browsers_offer():
    offer = read_offer(CHROMIUM)
    assert {"VP8", "H264", "VP9", "AV1"} < set(offer.codecs("video", "sendonly"))
    assert offer.codecs("video", "recvonly") == []
    assert ([media.kind for media in offer.media][-1], offer.candidates) == ("application", 6)
    assert offer.ufrag == CHROMIUM.partition("a=ice-ufrag:")[2].partition("\r\n")[0]
    assert " tcp " not in offer.sdp
    assert "end-of-candidates" not in read_offer(CHROMIUM + "a=end-of-candidates\r\n").sdp


def test_more_candidates_than_anybody_has_are_left_out():
    line = "a=candidate:1 1 udp 1 192.0.2.1 {} typ host\r\n"
    many = CHROMIUM + "".join(line.format(port) for port in range(1, 500))
    assert read_offer(many).candidates == MOST_CANDIDATES


@pytest.mark.parametrize(
    "change",
    [
        ("a=group:BUNDLE 0 1 2", "a=group:BUNDLE 7 0 1 2"),
        ("a=group:BUNDLE 0 1 2", "a=group:BUNDLE 0 1 2 x"),
        ("a=mid:1", "a=mid:0"),
        ("a=mid:2\r\n", ""),
    ],
)
def test_sections_that_are_not_told_apart(change):
    with pytest.raises(OfferInvalid):
        read_offer(CHROMIUM.replace(*change))


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=400), st.booleans())
def test_any_text_is_read_or_refused(text, follows):
    for read in (read_offer, lambda found: read_fragment(found, "0")):
        with contextlib.suppress(OfferInvalid, OfferUnsupported, CandidatesInvalid):
            read(CHROMIUM[:2000] + text if follows else text)


@contextlib.contextmanager
def no_task_fails():
    """What aiortc's own tasks raise, nobody sees but the loop."""
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    yield
    assert told == []


async def outcome(sessions, text):
    try:
        session = await sessions.open("door", text, Keeper())
    except CodedError as error:
        return error.code, None
    return "answered", session


async def test_offers_changed_by_chance_are_answered_or_refused_and_leave_nothing():
    outcomes = Counter()
    async with nothing_left(), open_sessions((), 1) as sessions:
        with no_task_fails():
            for seed in SEEDS:
                found, session = await outcome(sessions, mutated(CHROMIUM, seed))
                outcomes[found] += 1
                if session is not None:
                    await sessions.close("door", session.id)
    assert set(outcomes) <= {"answered", "offer_invalid", "offer_unsupported"}, outcomes
    assert min(outcomes["answered"], outcomes["offer_invalid"]) >= 50, "or the mutations try one thing alone"


@pytest.mark.timeout(300)
async def test_connections_that_begin_with_such_an_offer_go_on_or_end_and_leave_nothing():
    outcomes = Counter()
    async with nothing_left(), open_sessions((), 1, connect_s=0.3) as sessions:
        with no_task_fails():
            for seed in CONNECTED_SEEDS:
                publisher = Publisher()
                found, session = await outcome(sessions, mutated(await publisher.offer(), seed))
                if session is not None:
                    # A publisher, too, may find no sense in the answer to what it did not say.
                    with contextlib.suppress(Exception):
                        await publisher.accept(session.answer)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(0.3):
                            await session.closed.wait()
                    with contextlib.suppress(CodedError):
                        await sessions.close("door", session.id)
                outcomes[found] += 1
                await publisher.close()
    assert outcomes["answered"] >= 10
