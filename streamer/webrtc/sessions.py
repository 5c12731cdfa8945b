"""Offers in, answers out; between them and the end a session: its connection, its peer, one task.

On the loop. RFC 9725's rules for sessions are here, without its HTTP; WHEP's draft has the same.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc.exceptions import OperationError

from streamer.webrtc.errors import (
    EntityTagMissing,
    IceRestartUnsupported,
    OfferInvalid,
    OfferUnsupported,
    SessionChanged,
    SessionUnknown,
    TooManySessions,
)
from streamer.webrtc.fragment import read_fragment
from streamer.webrtc.ice import IceServer
from streamer.webrtc.offer import MOST_CANDIDATES, SDP_FAULTS, Offer, read_offer
from streamer.webrtc.peer import Peer

log = logging.getLogger(__name__)

CLOSE_S = 1.0  # aioice looks every 20 ms whether it is over
HOLDS_S = 1.0  # how often it is asked who may still be here
CONNECT_S = 10.0  # from the answer to the first packet that is understood


def configuration(servers: Sequence[IceServer]) -> RTCConfiguration:
    """Never None for aiortc: without a list of servers it asks a public one."""
    return RTCConfiguration(
        iceServers=[
            RTCIceServer(urls=server.url, username=server.username or None, credential=server.credential or None)
            for server in servers
        ]
    )


async def close_connection(connection: RTCPeerConnection) -> None:
    """Nothing of it is left, whatever it was about to do.

    What aiortc had just begun when it was closed goes on: checks that succeed ask for consent from then on, a receiver
    that starts reports for ever. So all is ended twice.
    """
    transports = {transceiver.receiver.transport.transport for transceiver in connection.getTransceivers()}
    if connection.sctp is not None:
        transports.add(connection.sctp.transport.transport)
    checking = [transport for transport in transports if transport.state == "checking"]
    await connection.close()
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_S):
            # A closed transport tells nobody what becomes of it.
            while any(transport.state == "closed" for transport in checking):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    for transport in checking:
        await transport.stop()
    for transceiver in connection.getTransceivers():
        await transceiver.stop()


class Session:
    """One peer: what is known of it. Sessions alone makes them."""

    def __init__(
        self, name: str, offer: Offer, connection: RTCPeerConnection, peer: Peer, holds: Callable[[], bool]
    ) -> None:
        self.id = secrets.token_urlsafe(24)  # it is the session's URL: nobody may guess it
        self.etag = f'"{secrets.token_urlsafe(9)}"'
        self.name = name
        self.answer = ""
        self.closed = asyncio.Event()
        self.holds = holds
        self._offer = offer
        self._candidates = offer.candidates
        self._connection = connection
        self._peer = peer
        self._connected = False
        self._why: str | None = None
        self._limit: asyncio.Timeout | None = None
        connection.on("connectionstatechange", self._changed)

    async def negotiate(self) -> None:
        """Offer applied, candidates gathered, answer made. Raises as Sessions.open(); then nothing is left open."""
        try:
            self._peer.set_up(self._connection, self._offer)
            try:
                self.answer = self._peer.amended(await self._answered())
            except BaseException:
                self._peer.ended("its offer was not answered")
                raise
        except BaseException:
            await close_connection(self._connection)
            raise

    async def drop(self, why: str) -> None:
        """In place of live(), where nobody wants the answer any more."""
        await close_connection(self._connection)
        self._peer.ended(why)

    async def live(self, connect_s: float) -> None:
        """Runs the peer until it is over, or the connection is; closes all."""
        why = "the service stops"
        try:
            async with asyncio.timeout(connect_s) as self._limit:
                self._schedule()
                why = await self._peer.run()
        except TimeoutError:
            why = self._why or f"no connection came about within {connect_s:g} s"
        finally:
            self._limit = None
            await close_connection(self._connection)
            self._peer.ended(why)
            self.closed.set()
            log.info("%s: a WebRTC session is over: %s", self.name, why)

    def end(self, why: str) -> None:
        """Asks for the end; await `closed` for it. The first reason counts."""
        self._why = self._why or why
        self._schedule()

    async def trickle(self, text: str, if_match: str | None) -> None:
        """More candidates of the peer's (RFC 9725, 4.3.1). Raises what Sessions.trickle() says."""
        if if_match is None:
            raise EntityTagMissing("PATCH needs If-Match with the ETag that the answer came with")
        if if_match.strip() != "*" and self.etag not in (tag.strip() for tag in if_match.split(",")):
            raise SessionChanged("If-Match is not this session's ETag; begin a new session with a new offer")
        fragment = read_fragment(text, self._offer.media[0].rtp.muxId)
        if fragment.ufrag not in (None, self._offer.ufrag):
            # RFC 9725, 4.3.1: 422 where one of trickle and restart is supported and the other is asked for; 4.3.3: an
            # unknown ufrag asks for a restart, and one that can't be had leaves the session as it is.
            raise IceRestartUnsupported("ICE can't be restarted here; DELETE this session and POST a new offer")
        for candidate in fragment.candidates:
            if self._candidates < MOST_CANDIDATES:
                self._candidates += 1
                await self._connection.addIceCandidate(candidate)

    async def _answered(self) -> str:
        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(self._offer.sdp, "offer"))
            await self._connection.setLocalDescription(await self._connection.createAnswer())
        except SDP_FAULTS as fault:
            if isinstance(fault, OperationError):  # no codec that both have
                raise OfferUnsupported("the offer has a track without a codec that is known here") from None
            raise OfferInvalid("the offer can't be answered: a part of it is missing or contradicts another") from None
        return str(self._connection.localDescription.sdp)

    def _changed(self) -> None:
        state = self._connection.connectionState
        if state == "connected":
            self._connected = True
            self._schedule()
        elif state in ("failed", "closed"):
            self.end("the peer left" if self._connected else "the connection failed")

    def _schedule(self) -> None:
        """How long live() may go on: until it is connected, then for ever, until there is a reason to end."""
        if self._limit is None or self._limit.expired():  # not yet, or already
            return
        if self._why is not None:
            self._limit.reschedule(0.0)
        elif self._connected:
            self._limit.reschedule(None)


class Sessions:
    """Those of one kind (WHIP's, WHEP's) that are open; open_sessions() makes it and closes them all."""

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        servers: Sequence[IceServer],
        most: int,
        count: Callable[[int], object],
        connect_s: float,
    ) -> None:
        self.servers = tuple(servers)
        self._tasks = tasks
        self._most = most
        self._count = count
        self._connect_s = connect_s
        self._opening = 0
        self._open: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._open) + self._opening

    async def open(self, name: str, offer_text: str, peer: Peer, holds: Callable[[], bool] = lambda: True) -> Session:
        """`name`: the camera's. holds(): whether what the peer was let in by is good still. The session has the answer.

        Raises OfferInvalid, OfferUnsupported, TooManySessions, and what the peer's set_up() raises. Cancelled, it
        leaves at once; what it had begun is ended before the context of open_sessions() is left.
        """
        if len(self) >= self._most:
            raise TooManySessions(f"{self._most} WebRTC sessions are open, and no more may be; try again later")
        offer = read_offer(offer_text)
        session = Session(name, offer, RTCPeerConnection(configuration(self.servers)), peer, holds)
        self._opening += 1
        negotiating = asyncio.create_task(session.negotiate(), name=f"webrtc offer to {name}")
        negotiating.add_done_callback(self._negotiated)
        try:
            await asyncio.shield(negotiating)
        except asyncio.CancelledError:
            # It may not be cancelled: while aioice asks a STUN server, what it began would go on over closed sockets.
            self._tasks.create_task(_given_up(session, negotiating), name=f"webrtc offer to {name}, given up")
            raise
        self._open[session.id] = session
        self._count(len(self._open))
        self._tasks.create_task(self._live(session), name=f"webrtc session of {name}")
        return session

    async def trickle(self, name: str, session_id: str, fragment: str, if_match: str | None) -> None:
        """Raises SessionUnknown, EntityTagMissing, SessionChanged, CandidatesInvalid, IceRestartUnsupported."""
        await self._find(name, session_id).trickle(fragment, if_match)

    async def close(self, name: str, session_id: str) -> None:
        """As its peer asks; everything of it is closed when this returns. Raises SessionUnknown."""
        session = self._find(name, session_id)
        session.end("the peer ended it")
        await session.closed.wait()

    async def close_all(self, why: str) -> None:
        """All of now."""
        sessions = list(self._open.values())
        for session in sessions:
            session.end(why)
        for session in sessions:
            await session.closed.wait()

    async def watch(self) -> None:
        """Ends whoever may be here no more. Until it is cancelled."""
        while True:
            await asyncio.sleep(HOLDS_S)
            for session in self._open.values():
                if not session.holds():
                    session.end("its token was revoked, or its browser signed out")

    def _negotiated(self, _: asyncio.Task[None]) -> None:
        self._opening -= 1

    async def _live(self, session: Session) -> None:
        try:
            await session.live(self._connect_s)
        finally:
            del self._open[session.id]
            self._count(len(self._open))

    def _find(self, name: str, session_id: str) -> Session:
        session = self._open.get(session_id)
        if session is None or session.name != name:
            raise SessionUnknown("this session is over, or never was; begin a new one with POST")
        return session


async def _given_up(session: Session, negotiating: asyncio.Task[None]) -> None:
    await asyncio.wait([negotiating])
    if negotiating.exception() is None:
        await session.drop("nobody waits for its answer")


@asynccontextmanager
async def open_sessions(
    servers: Sequence[IceServer],
    most: int,
    count: Callable[[int], object] = lambda _: None,
    connect_s: float = CONNECT_S,
) -> AsyncIterator[Sessions]:
    """At most so many at once; count() is told how many. No session, task or connection is left after the context."""
    tasks = asyncio.TaskGroup()
    await tasks.__aenter__()
    sessions = Sessions(tasks, servers, most, count, connect_s)
    watch = tasks.create_task(sessions.watch(), name="webrtc tokens")
    try:
        yield sessions
    finally:
        watch.cancel()
        await sessions.close_all("the service stops")
        # Not by `async with`: what was raised in the context is no group's, it goes on as it is.
        await tasks.__aexit__(None, None, None)
