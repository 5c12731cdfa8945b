"""Sessions of browsers: a token in; a cookie's secret out, and from then on whose it is.

Kept as digests (kept_sessions.py has them over a restart). On the loop. A session is its token's, and is over when that
is revoked.
"""

import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from streamer.access.live_tokens import LiveTokens
from streamer.access.tokens import Token, digest_of
from streamer.steady import steady_s

MOST, MOST_OF_ONE = 1000, 100  # of all tokens, of one; then the one that was used longest ago goes
SECRET_BYTES = 32


@dataclass(slots=True, eq=False)
class Session:
    """What is kept. digest: of the cookie's secret; times on the steady clock, in s."""

    token: Token
    digest: str
    began_s: float
    used_s: float


class KeptSession(NamedTuple):
    """What is kept over a restart. Digests: of the cookie's secret, of the token's; Unix seconds."""

    digest: str
    token_digest: str
    began_at: float
    used_at: float


class Sessions:
    """idle_s: after so long without use one is over; longest_s: and after so long in any case."""

    def __init__(
        self, tokens: LiveTokens, idle_s: float, longest_s: float, clock: Callable[[], float] = steady_s
    ) -> None:
        self.longest_s = longest_s
        self._tokens = tokens
        self._idle_s = idle_s
        self._clock = clock
        self._kept: OrderedDict[str, Session] = OrderedDict()  # the one that was used longest ago first

    def __len__(self) -> int:
        return len(self._kept)

    def begin(self, token: Token) -> tuple[Session, str]:
        """A new one and its secret, which is kept nowhere."""
        self._make_room(token)
        secret, now_s = secrets.token_urlsafe(SECRET_BYTES), self._clock()
        session = Session(token, digest_of(secret.encode()), now_s, now_s)
        self._kept[session.digest] = session
        return session, secret

    def find(self, secret: bytes) -> Session | None:
        """The one whose secret this is, if it goes on; it is used by that."""
        session = self._kept.get(digest_of(secret))
        return session if session is not None and self.holds(session) else None

    def holds(self, session: Session) -> bool:
        """Whether it goes on; it is used by that, so that whoever looks at a stream is not idle."""
        if session.digest not in self._kept:
            return False
        if self.left_s(session) <= 0:
            self.end(session)
            return False
        # Not ended here: where the file of tokens can't be read nobody has one, and that may pass.
        if not self._tokens.has(session.token):
            return False
        session.used_s = self._clock()
        self._kept.move_to_end(session.digest)
        return True

    def left_s(self, session: Session) -> float:
        """How long it goes on if it is not used again."""
        return min(session.began_s + self.longest_s, session.used_s + self._idle_s) - self._clock()

    def end(self, session: Session) -> None:
        self._kept.pop(session.digest, None)

    def kept(self, now: float) -> list[KeptSession]:
        """All, the one that was used longest ago first. now: Unix seconds."""
        ahead_s = now - self._clock()
        return [
            KeptSession(one.digest, one.token.digest, one.began_s + ahead_s, one.used_s + ahead_s)
            for one in self._kept.values()
        ]

    def take(self, kept: Iterable[KeptSession], now: float) -> None:
        """Those that kept() gave an earlier run, whose tokens there are still. now: Unix seconds."""
        now_s = self._clock()
        for one in kept:
            token = self._tokens.of_digest(one.token_digest)
            if token is not None:
                # A clock that is behind now, and will be set, makes nobody's session longer than a new one.
                began_s, used_s = (now_s - max(now - at, 0.0) for at in (one.began_at, one.used_at))
                self._kept[one.digest] = Session(token, one.digest, began_s, used_s)

    def _make_room(self, token: Token) -> None:
        for session in [one for one in self._kept.values() if self.left_s(one) <= 0]:
            self.end(session)
        of_this = [one for one in self._kept.values() if one.token == token]
        if len(of_this) >= MOST_OF_ONE:
            self.end(of_this[0])
        elif len(self._kept) >= MOST:
            self._kept.popitem(last=False)
