"""One connection to the RTSP server: requests in, answers out (RFC 2326), from its first byte to its last.

A Protocol of the event loop; whatever a publisher sends ends in an answer, never in an exception.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import cast

from streamer.addresses import is_of_this_machine
from streamer.errors import CameraError, PublisherPresent, StreamInvalid, StreamLost, StreamStalled
from streamer.ingest.publish.point import PublishPoint
from streamer.ingest.rtsp.addressing import path_of
from streamer.ingest.rtsp.front_desk import Caller, FrontDesk, Refusal
from streamer.ingest.rtsp.login_guard import LoginGuard, Verdict, user_of
from streamer.ingest.rtsp.messages import Headers, Interleaved, Refused, Request, answer
from streamer.ingest.rtsp.parser import MessageParser
from streamer.ingest.rtsp.session import Session, Wire

log = logging.getLogger(__name__)

METHODS = ("OPTIONS", "ANNOUNCE", "SETUP", "RECORD", "TEARDOWN", "GET_PARAMETER", "SET_PARAMETER")
_NOT_OFFERED = frozenset({"DESCRIBE", "PLAY", "PAUSE", "REDIRECT"})
SAY_WITHIN_S = 10.0  # from one request to the next, until it publishes
MOST_REQUESTS = 32  # before it publishes
MOST_WRONG_LOGINS = 3
WRONG_LOGIN_S = 1.0  # so much later is a wrong one answered
LINGER_S = 1.0  # a last answer's time to arrive: closed at once, what still comes would take it back
_TIMEOUT_S = 60  # told in Session; gst asks for nothing more often than every 58 s then


class Connection(asyncio.Protocol):
    def __init__(self, desk: FrontDesk) -> None:
        self._desk = desk
        self._parser = MessageParser()
        self._session: Session | None = None
        self._asked = 0
        self._wrong_logins = 0
        self._whom = ""  # who it is, once it has shown a login; for the log
        self._is_over = False  # what comes is read and dropped
        self._held: bytes | None = None  # an answer that waits, and all that came after it
        self._until_s = desk.clock() + SAY_WITHIN_S
        self._handlers: dict[str, Callable[[Request], Headers]] = {
            "OPTIONS": self._options,
            "ANNOUNCE": self._announce,
            "SETUP": self._set_up,
            "RECORD": self._record,
            "TEARDOWN": self._teardown,
            "GET_PARAMETER": self._parameters,
            "SET_PARAMETER": self._parameters,
        }

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername") or ("",)
        self._caller = Caller(str(peer[0]), self.tick, self.hang_up)
        self._guard = LoginGuard(takes_basic=is_of_this_machine(self._caller.address))
        self._desk.come(self._caller)

    def connection_lost(self, exc: Exception | None) -> None:
        self._desk.gone(self._caller)
        self._is_over = True
        self._end("the connection was closed")

    def pause_writing(self) -> None:
        self._transport.pause_reading()  # who doesn't read its answers asks for no more of them

    def resume_writing(self) -> None:
        if self._held is None and not self._transport.is_closing():
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._is_over:
            return
        self._parser.feed(data)
        self._read_on()

    def tick(self, now_s: float) -> None:
        """Called every so often."""
        if self._transport.is_closing():
            return
        if self._held is not None and now_s >= self._until_s:
            held, self._held = self._held, None
            self._transport.write(held)
            self._transport.resume_reading()
            self._until_s = now_s + SAY_WITHIN_S
            if self._wrong_logins >= MOST_WRONG_LOGINS:
                self._say_goodbye("its login was wrong too often")
            else:
                self._read_on()
        elif self._session is not None and self._session.is_recording:
            try:
                self._session.tick(now_s)
            except StreamStalled as error:
                self._session.end(error)
                self._transport.abort()
        elif now_s >= self._until_s:
            if not self._is_over:
                self._refused("publisher_silent")
            self._transport.abort()

    def hang_up(self, why: str = "it was closed here") -> None:
        """At once, with whatever it was doing."""
        self._is_over = True
        self._end(why)
        self._transport.abort()

    # Reading and answering.

    def _read_on(self) -> None:
        try:
            while not self._is_over and self._held is None:
                if self._session is None and self._parser.is_at_packet:
                    self._refuse_bare_packets()
                    return
                message = self._parser.next()
                if message is None:
                    return
                if isinstance(message, Interleaved):
                    if self._session is not None:
                        self._session.packet(message.channel, message.data)
                else:
                    self._request(message)
        except Refused as refused:
            self._refused("request_malformed")
            self._transport.write(answer(refused.status, refused.cseq, words=refused.words))
            self._say_goodbye("what it sent was no RTSP")

    def _refuse_bare_packets(self) -> None:
        """GStreamer, whose session was closed, comes back so: 454 ends it, anything else brings it again and again."""
        self._refused("session_unknown")
        if self._desk.is_flood(self._caller.address):
            self._is_over = True
            self._transport.pause_reading()  # it blocks, until it is too late
            return
        self._transport.write(answer(454, None))
        self._say_goodbye("it had no session")

    def _request(self, request: Request) -> None:
        if not self._is_recording:
            self._asked += 1
            self._until_s = self._desk.clock() + SAY_WITHIN_S
        if self._asked > MOST_REQUESTS:
            raise Refused(400, "too many requests", cseq=request.cseq)
        try:
            headers = self._handler(request)(request)
        except _WrongLogin as refused:
            self._held = answer(refused.status, request.cseq, refused.headers)
            self._until_s = self._desk.clock() + WRONG_LOGIN_S
            self._transport.pause_reading()
        except Refused as refused:
            self._transport.write(answer(refused.status, request.cseq, refused.headers, words=refused.words))
        except CameraError as error:
            status, code = _refusal_of(error)
            self._refused(code)
            self._transport.write(answer(status, request.cseq, words=str(error)))
        else:
            self._transport.write(answer(200, request.cseq, headers))

    def _handler(self, request: Request) -> Callable[[Request], Headers]:
        if "require" in request.headers:
            raise Refused(551, headers=[("Unsupported", request.headers["require"])])
        handler = self._handlers.get(request.method)
        if handler is None:
            raise Refused(405 if request.method in _NOT_OFFERED else 501, headers=[("Allow", ", ".join(METHODS))])
        return handler

    # The methods.

    def _options(self, request: Request) -> Headers:
        return [("Public", ", ".join(METHODS))]

    def _announce(self, request: Request) -> Headers:
        path = path_of(request.url)
        point = self._logged_in(request, "/".join(path))
        if self._session is not None:
            raise Refused(455)
        if request.headers.get("content-type", "application/sdp").partition(";")[0].strip() != "application/sdp":
            raise Refused(415)
        wire = Wire(self._caller.address, self._local_host, self._transport.write, self.hang_up)
        self._session = Session(point, request.body, wire, self._desk.metrics, self._desk.clock)
        return ()

    def _set_up(self, request: Request) -> Headers:
        session = self._own_session(request)
        if session.is_recording:
            raise Refused(455)
        transport = session.set_up(request.url, request.headers.get("transport", ""))
        return [("Transport", transport), ("Session", f"{session.id};timeout={_TIMEOUT_S}")]

    def _record(self, request: Request) -> Headers:
        session = self._own_session(request)
        session.record()
        self._caller.is_waiting = False
        log.info("camera %s: %s publishes (%s)", session.point.name, self._caller.address, session.kind)
        return [("Session", session.id)]

    def _teardown(self, request: Request) -> Headers:
        self._check_session(request)
        if self._session is None:
            raise Refused(454)
        self._end("it was ended by its publisher")
        self._caller.is_waiting = True
        self._until_s = self._desk.clock() + SAY_WITHIN_S
        return ()

    def _parameters(self, request: Request) -> Headers:
        """Without a body it says that somebody is there (RFC 2326, 10.8); there are no parameters."""
        self._check_session(request)
        if request.body:
            raise Refused(451)
        return () if self._session is None else [("Session", self._session.id)]

    # Who asks, and for what.

    def _own_session(self, request: Request) -> Session:
        """That of this connection, where the login and the camera are still the same."""
        path = path_of(request.url)
        point = self._logged_in(request, path[0] if path else "")
        self._check_session(request)
        if self._session is None:
            raise Refused(455, "nothing was announced")
        if self._session.point is not point:
            raise Refused(404, "another camera was announced")
        return self._session

    def _check_session(self, request: Request) -> None:
        """A session that is named must be this connection's; publishers do without, too."""
        named = request.headers.get("session", "").partition(";")[0].strip()
        if named and (self._session is None or named != self._session.id):
            raise Refused(454)

    def _logged_in(self, request: Request, camera: str) -> PublishPoint:
        """The camera, where the login is its own.

        Without the login of some camera 401 is all that anybody gets, whether there is such a camera or not; with that
        of another one, 404 is.
        """
        now_s = self._desk.clock()
        shown = request.headers.get("authorization")
        if not shown:
            raise Refused(401, headers=self._guard.challenges(now_s))
        logins = self._desk.logins()
        self._whom = self._desk.whom(camera, user_of(shown), logins)
        verdict = self._guard.look(shown, request.method, logins, now_s)
        if self._desk.is_guessing(self._caller.address, camera):
            verdict = Verdict("wrong")
        if verdict.kind == "right":
            point = self._desk.points.get(camera)
            if point is None or camera not in verdict.cameras:
                self._refused("camera_unknown")
                raise Refused(404, "no such camera of this login")
            if not point.camera.enabled:
                self._refused("camera_disabled")
                raise Refused(404, "the camera is disabled")
            return point
        if verdict.kind == "stale":
            raise Refused(401, headers=self._guard.challenges(now_s, is_stale=True))
        self._wrong_logins += 1
        self._desk.wrong_login(self._caller.address, camera, self._whom)
        raise _WrongLogin(401, headers=self._guard.challenges(now_s))

    def _refused(self, code: Refusal) -> None:
        self._desk.refused(code, self._caller.address, self._whom)

    @property
    def _is_recording(self) -> bool:
        return self._session is not None and self._session.is_recording

    @property
    def _local_host(self) -> str:
        return str((self._transport.get_extra_info("sockname") or ("127.0.0.1",))[0])

    def _say_goodbye(self, why: str) -> None:
        """The answer was the last."""
        self._is_over = True
        self._end(why)
        self._until_s = self._desk.clock() + LINGER_S
        if not self._transport.is_closing():
            self._transport.write_eof()

    def _end(self, why: str) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.end(StreamLost(f"camera {session.point.name}: its publisher is gone ({why})"))


class _WrongLogin(Refused):
    """Answered late: whoever guesses has to wait."""


def _refusal_of(error: CameraError) -> tuple[int, Refusal]:
    if isinstance(error, PublisherPresent):
        return 409, "publisher_present"
    return 400 if isinstance(error, StreamInvalid) else 415, "stream_refused"
