"""/api/v1/session: a browser gives a token once, and has a cookie that no script can read from then on. On the loop."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from recognition.errors import Overloaded
from streamer.access.cookies import COOKIE, csrf_of
from streamer.access.errors import CsrfRefused, TokenInvalid, TooManyAttempts
from streamer.access.guard import Caller, Guard, open_to_all
from streamer.access.roles import Role
from streamer.access.sessions import Sessions
from streamer.access.tokens import Token
from streamer.addresses import neighbourhood_of
from streamer.api.body_limits import takes
from streamer.api.problem_answers import problem_answers
from streamer.api.uploads import JSON, body, described, json_of, media_type_of
from streamer.api.v1.person_views import Viewer, example, strict_example
from streamer.webrtc.errors import MediaTypeUnsupported

# Of bodies that whoever has no token may send: more would let strangers hold as many connections as they like.
MOST_AT_ONCE, MOST_OF_ONE = 64, 8
_LARGEST_BODY = 4 << 10
_SAME_SITE: Any = "Strict"  # as RFC 6265bis writes it; Starlette's type knows small letters alone


class SignIn(BaseModel):
    """A token, as `whosthere tokens make` has told it; blanks around it don't count."""

    model_config = strict_example({"token": "wt_JqkO0Yh0r1vXc2mF5b8nT3wZ6d9gK4pL7sQ1uE0xYaI"})

    token: Annotated[str, Field(min_length=1, max_length=200)]


class SessionView(BaseModel):
    """Whose token it is of. `csrf`: what the header X-CSRF-Token has to say with each change; `expires_at` (Unix s):
    when it is over if nothing more is asked. Both null where a bearer's header asks, which needs no session.
    """

    model_config = example(
        {
            "name": "Ada's phone",
            "role": "operator",
            "csrf": "5b2fa8bd0cb1ad0b5b2fa8bd0cb1ad0b5b2fa8bd0cb1ad0b5b2fa8bd0cb1ad0b",
            "expires_at": 1763760911.7,
        }
    )

    name: str
    role: Role
    csrf: str | None
    expires_at: float | None

    @classmethod
    def of(cls, token: Token, left_s: float | None = None, csrf: str | None = None) -> "SessionView":
        over = None if left_s is None else time.time() + left_s
        return cls(name=token.name, role=token.role, csrf=csrf, expires_at=over)


def routes(guard: Guard) -> APIRouter:
    """guard: one that takes sessions."""
    assert guard.sessions is not None
    sessions = guard.sessions
    session = APIRouter(prefix="/api/v1/session", tags=["session"])
    places = _Places()

    @session.post(
        "",
        status_code=201,
        response_model=SessionView,
        response_description="Signed in; the cookie is set.",
        dependencies=[Depends(open_to_all), Depends(takes(_LARGEST_BODY))],
        responses=problem_answers(TokenInvalid, TooManyAttempts, CsrfRefused, MediaTypeUnsupported, Overloaded),
        openapi_extra=body(json=described(SignIn)),
    )
    async def sign_in(request: Request) -> Response:
        """A session of a token: `Set-Cookie: whosthere_session=...`, taken from then on wherever the token is."""
        with places.one(request):
            media_type_of(request, JSON)
            given = await json_of(request, SignIn)
        begun, secret = guard.sign_in(request, given.token.strip().encode("utf-8", "replace"))
        view = SessionView.of(begun.token, sessions.left_s(begun), csrf_of(secret.encode()))
        answer = JSONResponse(view.model_dump(), 201)
        _set_cookie(answer, request, secret, round(sessions.longest_s))
        return answer

    @session.get("", response_model=SessionView)
    async def show_session(request: Request, caller: Viewer) -> Response:
        """Who is signed in, and what each change has to say in X-CSRF-Token."""
        return JSONResponse(_shown(guard, sessions, request, caller).model_dump())

    @session.delete("", status_code=204, response_class=Response, response_description="Signed out.")
    async def sign_out(request: Request, caller: Viewer) -> Response:
        """The session is over, and its streams with it; the token stays."""
        if caller.session is not None:
            sessions.end(caller.session)
        answer = Response(status_code=204)
        _set_cookie(answer, request, "", 0)
        return answer

    return session


def _shown(guard: Guard, sessions: Sessions, request: Request, caller: Caller) -> SessionView:
    assert caller.token is not None  # there is no other way in here
    found = None if caller.session is None else guard.session_of(request)
    if found is None:
        return SessionView.of(caller.token)
    return SessionView.of(caller.token, sessions.left_s(found[0]), csrf_of(found[1]))


def _set_cookie(answer: Response, request: Request, secret: str, for_s: int) -> None:
    """`Secure` where it came by TLS, here or at a proxy that is believed: by plain HTTP browsers would not take it."""
    is_secure = request.scope["scheme"] in ("https", "wss")
    answer.set_cookie(COOKIE, secret, max_age=for_s, path="/", secure=is_secure, httponly=True, samesite=_SAME_SITE)


class _Places:
    """Bodies that are waited for: few at once, and fewer of one address."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    @contextmanager
    def one(self, request: Request) -> Iterator[None]:
        """Raises Overloaded."""
        who = neighbourhood_of(request.client.host) if request.client else ""
        if self._taken.total() >= MOST_AT_ONCE or self._taken[who] >= MOST_OF_ONE:
            raise Overloaded("too many sign in at once; try again in a moment")
        self._taken[who] += 1
        try:
            yield
        finally:
            self._taken[who] -= 1
            if not self._taken[who]:
                del self._taken[who]
