"""Sessions with real peers of aiortc's, over the machine's own addresses: they begin, they end, nothing stays."""

import asyncio

import pytest

from streamer.errors import PublisherPresent
from streamer.webrtc.errors import (
    CandidatesInvalid,
    EntityTagMissing,
    IceRestartUnsupported,
    OfferInvalid,
    OfferUnsupported,
    SessionChanged,
    SessionUnknown,
    TooManySessions,
)
from streamer.webrtc.sessions import open_sessions
from tests.streamer.webrtc.mutations import CHROMIUM
from tests.streamer.webrtc.peers import Keeper, Publisher, nothing_left


async def begin(sessions, peer, publisher, name="door"):
    session = await sessions.open(name, await publisher.offer(), peer)
    await publisher.accept(session.answer)
    return session


async def test_pictures_come_until_the_peer_ends_its_session_and_nothing_is_left():
    async with nothing_left():
        publisher, peer = Publisher(), Keeper()
        async with open_sessions((), 2) as sessions, asyncio.timeout(20):
            session = await begin(sessions, peer, publisher)
            picture = await peer.pictures.get()
            await sessions.close("door", session.id)
            assert (picture.width, picture.height) == (640, 480)
            assert (peer.ends, len(sessions)) == (["the peer ended it"], 0)
            with pytest.raises(SessionUnknown):
                await sessions.close("door", session.id)
            await publisher.close()


async def test_a_browser_has_to_turn_its_pictures_itself():
    """It offers to tell how it is held instead (CVO), of which nothing here would know."""
    async with nothing_left(), open_sessions((), 2) as sessions, asyncio.timeout(20):
        session = await sessions.open("door", CHROMIUM, Keeper())
        assert "urn:3gpp:video-orientation" in CHROMIUM
        assert "a=extmap:" in session.answer
        assert "urn:3gpp:video-orientation" not in session.answer


async def test_a_peer_that_leaves_ends_its_session():
    async with nothing_left(), open_sessions((), 2) as sessions, asyncio.timeout(20):
        publisher, peer = Publisher(), Keeper()
        session = await begin(sessions, peer, publisher)
        await peer.pictures.get()
        await publisher.close()
        await session.closed.wait()
        assert peer.ends in (["the peer left"], ["the track ended"])


async def test_the_end_of_the_service_ends_every_session():
    async with nothing_left():
        peers, publishers = [Keeper(), Keeper()], [Publisher(), Publisher()]
        async with open_sessions((), 2) as sessions, asyncio.timeout(20):
            for peer, publisher in zip(peers, publishers, strict=True):
                await begin(sessions, peer, publisher)
            await peers[0].pictures.get()
        assert [peer.ends for peer in peers] == [["the service stops"]] * 2
        for publisher in publishers:
            await publisher.close()


async def test_what_goes_wrong_beside_it_is_told_as_it_is():
    async def published_and_over():
        async with open_sessions((), 2) as sessions:
            await begin(sessions, peer, publisher)
            await peer.pictures.get()
            raise PublisherPresent("something else")

    async with nothing_left(), asyncio.timeout(20):
        publisher, peer = Publisher(), Keeper()
        with pytest.raises(PublisherPresent):
            await published_and_over()
        assert peer.ends == ["the service stops"]
        await publisher.close()


async def test_a_fault_of_ours_in_a_peer_stops_all():
    class Broken(Keeper):
        async def run(self):
            raise ZeroDivisionError

    async def published():
        async with open_sessions((), 2) as sessions:
            await begin(sessions, Broken(), publisher)
            await asyncio.Event().wait()

    async with nothing_left(), asyncio.timeout(20):
        publisher = Publisher()
        with pytest.raises(ExceptionGroup) as group:
            await published()
        assert group.group_contains(ZeroDivisionError)
        await publisher.close()


async def test_a_peer_that_never_connects_is_given_up():
    async with nothing_left(), open_sessions((), 2, connect_s=0.2) as sessions, asyncio.timeout(20):
        publisher, peer = Publisher(), Keeper()
        session = await sessions.open("door", await publisher.offer(), peer)
        await session.closed.wait()
        assert peer.ends == ["no connection came about within 0.2 s"]
        await publisher.close()


@pytest.mark.parametrize("after_s", [0.0, 0.01, 0.02, 0.03, 0.05, 0.1])
async def test_an_end_while_they_connect_leaves_nothing(after_s):
    async with nothing_left(), open_sessions((), 1) as sessions, asyncio.timeout(20):
        publisher, peer = Publisher(), Keeper()
        session = await begin(sessions, peer, publisher)
        await asyncio.sleep(after_s)  # nothing to wait for: any moment is what is tried
        await sessions.close("door", session.id)
        await publisher.close()


async def test_no_more_sessions_than_may_be():
    async with nothing_left(), open_sessions((), 1) as sessions, asyncio.timeout(20):
        first, second = Publisher(), Publisher()
        session = await begin(sessions, Keeper(), first)
        offer = await second.offer()
        with pytest.raises(TooManySessions):
            await sessions.open("door", offer, Keeper())
        await sessions.close("door", session.id)
        await second.accept((await sessions.open("door", offer, Keeper())).answer)
        await first.close()
        await second.close()


async def test_what_a_peer_refuses_leaves_nothing():
    class Refuser(Keeper):
        def set_up(self, connection, offer):
            raise PublisherPresent("camera door: somebody publishes")

    async with nothing_left(), open_sessions((), 1) as sessions:
        publisher, peer = Publisher(), Refuser()
        with pytest.raises(PublisherPresent):
            await begin(sessions, peer, publisher)
        assert (peer.ends, len(sessions)) == ([], 0)
        await publisher.close()


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("a=rtpmap:", "a=rtpmap:1", OfferInvalid),
        ("/90000", "/90001", OfferUnsupported),
        ("m=video", "m=text", OfferUnsupported),
        ("a=ice-pwd", "a=ice-pwt", OfferInvalid),
        ("a=fingerprint", "a=fingerprinz", OfferInvalid),
        ("a=setup:actpass", "a=setup:holdconn", OfferInvalid),
        ("a=mid:0", "a=mid:", OfferInvalid),
        ("m=video", "m=video video", OfferInvalid),
        ("v=0", "v=zero", OfferInvalid),
    ],
)
async def test_offers_that_are_refused_leave_nothing(old, new, error):
    async with nothing_left(), open_sessions((), 1) as sessions:
        publisher = Publisher()
        offer = (await publisher.offer()).replace(old, new)
        with pytest.raises(error):
            await sessions.open("door", offer, Keeper())
        await publisher.close()


async def test_candidates_are_taken_with_the_sessions_tag_alone_and_a_restart_is_refused():
    async with nothing_left(), open_sessions((), 1) as sessions, asyncio.timeout(20):
        publisher, peer = Publisher(), Keeper()
        offer = await publisher.offer()
        bare = "\r\n".join(line for line in offer.splitlines() if "candidate" not in line) + "\r\n"
        ufrag = next(line for line in offer.splitlines() if line.startswith("a=ice-ufrag:"))
        candidates = "\r\n".join(line for line in offer.splitlines() if line.startswith("a=candidate:"))
        session = await sessions.open("door", bare, peer)
        fragment = f"{ufrag}\r\nm=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n{candidates}\r\na=end-of-candidates\r\n"

        with pytest.raises(EntityTagMissing):
            await sessions.trickle("door", session.id, fragment, None)
        with pytest.raises(SessionChanged):
            await sessions.trickle("door", session.id, fragment, '"other"')
        with pytest.raises(IceRestartUnsupported):
            await sessions.trickle("door", session.id, "a=ice-ufrag:NewO\r\na=ice-pwd:" + "x" * 22, "*")
        with pytest.raises(CandidatesInvalid):
            await sessions.trickle("door", session.id, "{}", session.etag)
        with pytest.raises(SessionUnknown):
            await sessions.trickle("hall", session.id, fragment, session.etag)
        await publisher.accept(session.answer)
        await sessions.trickle("door", session.id, fragment, session.etag)
        assert (await peer.pictures.get()).width == 640
        await publisher.close()
