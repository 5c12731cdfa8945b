"""A request and what its route needs in; who asks, or the refusal, out. RFC 6750 as far as headers go.

A route says what it needs by `Depends(needs("operator"))`; one that says nothing is for admins alone
(streamer/api/closed.py asks before any route runs). On the loop, from memory. Where there is no bearer's header the
cookie of a session is looked at.
"""

import base64
import binascii
import hmac
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection
from starlette.types import Scope

from recognition.errors import CodedError
from streamer.access.attempts import FailedAttempts
from streamer.access.cookies import cookies_of, refuse_forged, refuse_other_origins
from streamer.access.errors import AccessRefused, RoleTooLow, SessionOver, TokenInvalid, TokenMissing, TooManyAttempts
from streamer.access.live_tokens import LiveTokens
from streamer.access.roles import Role, covers
from streamer.access.sessions import Session, Sessions
from streamer.access.tokens import Token, digest_of
from streamer.addresses import neighbourhood_of
from streamer.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

_CHALLENGE = 'Bearer realm="whosthere"'
_ADMITTED = "whosthere.admitted"

OwnSecret = Callable[[HTTPConnection], str | None]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the bearer of a token, or (None) of a route's own secret, or anybody where a route is open.

    session: the browser's, where its cookie was what let it in.
    """

    token: Token | None = None
    session: Session | None = None

    @property
    def role(self) -> Role | None:
        return None if self.token is None else self.token.role


class Needs:
    """What a route needs, as its dependency, which gives the Caller. role None: nothing, it is open to all.

    takes_basic: the token may come as the password of `Authorization: Basic`, too.
    """

    def __init__(self, role: Role | None, own_secret: OwnSecret | None = None, *, takes_basic: bool = False) -> None:
        self.role = role
        self.own_secret = own_secret
        self.takes_basic = takes_basic

    async def __call__(self, request: HTTPConnection) -> Caller:
        """Only looks at what mark() left: a route whose need was not asked about fails. (Not async: a thread each.)"""
        needed, caller = request.scope[_ADMITTED]
        if self not in needed:
            raise RuntimeError(f"{request.url.path}: the guard was not asked about what its route needs")
        assert isinstance(caller, Caller)
        return caller


class NeedsToken(Needs, SecurityBase):
    """The same, told of in /openapi.json."""

    scheme_name = "token"
    model = HTTPBearer(description="`whosthere tokens make NAME --role viewer|operator|admin`")


def needs(role: Role, own_secret: OwnSecret | None = None, *, takes_basic: bool = False) -> Needs:
    """For `Depends()`: a token of at least this role, or `own_secret(request)`, where that is not None or empty.

    own_secret: as WHIP's, where a camera's password opens its own paths alone; asked on the loop, before the route
    runs, with the path's parameters in `request.path_params`. takes_basic: for programs that know a camera's user and
    password alone.
    """
    return NeedsToken(role, own_secret, takes_basic=takes_basic)


open_to_all = Needs(None)
_FOR_ADMINS = NeedsToken("admin")
_ANY_TOKEN = NeedsToken("viewer")


class Guard:
    """Lets in or raises AccessRefused, whose `headers` belong into the answer. sessions: None: no cookie is taken."""

    def __init__(
        self,
        tokens: LiveTokens,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
        sessions: Sessions | None = None,
    ) -> None:
        self._tokens = tokens
        self._metrics = metrics
        self.sessions = sessions
        self._failed = FailedAttempts(clock)
        metrics.http_refused.labels(code=TooManyAttempts.code)

    def admit(self, request: HTTPConnection, needed: Sequence[Needs] | None) -> Caller:
        """Who asks for a route with these needs, of which the highest counts. Raises AccessRefused.

        needed: empty for a route that says nothing, None where there is no such route.
        """
        with self._counted():
            return self._caller(request, _highest(needed))

    def still_admits(self, caller: Caller) -> bool:
        """Whether what somebody was let in by holds still: for what goes on after the answer."""
        if caller.session is not None:
            return self.sessions is not None and self.sessions.holds(caller.session)
        return caller.token is None or self._tokens.has(caller.token)

    def sign_in(self, request: HTTPConnection, secret: bytes) -> tuple[Session, str]:
        """A session of the token whose secret this is, in place of the browser's last one; and the cookie's secret.

        Raises TokenInvalid, TooManyAttempts, and CsrfRefused where a page of another origin asks.
        """
        assert self.sessions is not None
        with self._counted():
            refuse_other_origins(request)
            token = self._tokens.find(secret)
            if token is None:
                self._try(request, secret, None)
            assert token is not None
        if (last := self.session_of(request)) is not None:
            self.sessions.end(last[0])
        return self.sessions.begin(token)

    def session_of(self, request: HTTPConnection) -> tuple[Session, bytes] | None:
        """The session of its cookie, and that one's secret; None where there is none, or none any more."""
        if self.sessions is None:
            return None
        found = ((self.sessions.find(secret), secret) for secret in cookies_of(request))
        return next(((session, secret) for session, secret in found if session is not None), None)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        try:
            yield
        except AccessRefused as refused:
            self._metrics.http_refused.labels(code=refused.code).inc()
            raise

    def _caller(self, request: HTTPConnection, needed: Needs) -> Caller:
        if needed.role is None:
            return Caller()
        secret = bearer_of(request)
        if secret is None and needed.takes_basic and self.session_of(request) is None:
            secret = password_of(request)  # with a session it is the login of a proxy in between
        if secret is None:
            return self._by_cookie(request, needed.role)
        token = self._tokens.find(secret)
        if token is not None:
            _hold_to(needed.role, token)
            return Caller(token)
        self._try(request, secret, _own_secret(needed, request))
        return Caller()

    def _by_cookie(self, request: HTTPConnection, role: Role) -> Caller:
        found = self.session_of(request)
        if found is not None:
            session, secret = found
            refuse_forged(request, secret)
            _hold_to(role, session.token)
            return Caller(session.token, session)
        if self.sessions is not None and cookies_of(request):
            raise SessionOver(
                "the session is over: signed out, too long unused, too old, or its token was revoked; sign in again",
                {"WWW-Authenticate": _CHALLENGE},
            )
        raise TokenMissing(
            "a token is needed: `Authorization: Bearer TOKEN`; `whosthere tokens make` makes one",
            {"WWW-Authenticate": _CHALLENGE},
        )

    def _try(self, request: HTTPConnection, secret: bytes, own: bytes | None) -> None:
        """Hold it to the route's own secret, which can be guessed; a token can't be, and holds whoever fails beside."""
        address = neighbourhood_of(request.client.host) if request.client else ""
        who = (address, None if own is None else digest_of(own))
        if wait_s := self._failed.wait_s(who):
            raise TooManyAttempts(
                "too many failed logins from this address; try again later", {"Retry-After": str(math.ceil(wait_s))}
            )
        if own is not None and hmac.compare_digest(own, secret):
            return
        if self._failed.add(who):
            log.warning(
                "too many failed logins from %s: a minute's wait", address, extra={"code": TooManyAttempts.code}
            )
        what = "this token" if own is None else "this is not the camera's password, and as a token it"
        raise TokenInvalid(
            f"{what} is not known here, or was revoked; `whosthere tokens list` shows which there are",
            {"WWW-Authenticate": f'{_CHALLENGE}, error="invalid_token"'},
        )


def mark(scope: Scope, needed: Sequence[Needs] | None, caller: Caller) -> None:
    """Leave for the route who was let in, and that it was for these needs."""
    scope[_ADMITTED] = (tuple(needed or ()), caller)


def caller_of(scope: Scope) -> Caller:
    """Who was let in, for what runs between the guard and the route."""
    caller = scope[_ADMITTED][1]
    assert isinstance(caller, Caller)
    return caller


def bearer_of(connection: HTTPConnection) -> bytes | None:
    """The credentials of the one `Authorization: Bearer` header; None where there is none, or more than one."""
    secret = _credentials(connection, "bearer")
    return secret.encode("latin-1") if secret else None


def password_of(connection: HTTPConnection) -> bytes | None:
    """The password of the one `Authorization: Basic` header (RFC 7617), whoever the user is; None as bearer_of()."""
    try:
        login = base64.b64decode(_credentials(connection, "basic"), validate=True)
    except (ValueError, binascii.Error):
        return None
    return login.partition(b":")[2] or None


def _credentials(connection: HTTPConnection, wanted: str) -> str:
    """Of the one header of this scheme, which may be written as one likes; empty where there is none."""
    found = connection.headers.getlist("authorization")
    scheme, _, credentials = (found[0] if len(found) == 1 else "").partition(" ")
    return credentials.strip() if scheme.lower() == wanted else ""


def _hold_to(role: Role, token: Token) -> None:
    """Raises RoleTooLow."""
    if not covers(token.role, role):
        raise RoleTooLow(
            f"a token of role {role} is needed, this one's is {token.role}",
            {"WWW-Authenticate": f'{_CHALLENGE}, error="insufficient_scope", scope="{role}"'},
        )


def _own_secret(needed: Needs, request: HTTPConnection) -> bytes | None:
    """None where there is none, or where it can't be had: a variable that is not set opens nothing."""
    own: str | None = None
    with suppress(CodedError):
        own = needed.own_secret(request) if needed.own_secret else None
    return own.encode("utf-8", "surrogateescape") if own else None


def _highest(needed: Sequence[Needs] | None) -> Needs:
    """Where nothing is said it is closed; any token may learn that there is nothing."""
    if needed is None:
        return _ANY_TOKEN
    highest: Needs | None = None
    for one in needed:
        if highest is None or highest.role is None or (one.role is not None and covers(one.role, highest.role)):
            highest = one
    return highest or _FOR_ADMINS
