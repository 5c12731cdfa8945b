"""Tokens, and who is not let in; the family is streamer/errors.py's.

StreamerError
├── TokenError
│   ├── TokenNameInvalid          token_name_invalid
│   ├── TokenNameTaken            token_name_taken
│   ├── TokenUnknown              token_unknown
│   ├── TokensUnreadable          tokens_unreadable
│   ├── TokensUnwritable          tokens_unwritable
│   └── SessionsUnwritable        sessions_unwritable
└── AccessRefused
    ├── TokenMissing              token_missing
    ├── TokenInvalid              token_invalid
    ├── SessionOver               session_over
    ├── CsrfRefused               csrf_refused
    ├── RoleTooLow                role_too_low
    ├── TooManyAttempts           too_many_attempts      (retryable)
    ├── TooManyRequests           too_many_requests      (retryable)
    └── ProxyBypassed             proxy_bypassed
"""

from collections.abc import Mapping

from streamer.errors import StreamerError


class TokenError(StreamerError):
    code = "token_error"


class TokenNameInvalid(TokenError):
    code = "token_name_invalid"


class TokenNameTaken(TokenError):
    code = "token_name_taken"


class TokenUnknown(TokenError):
    code = "token_unknown"


class TokensUnreadable(TokenError):
    """The file of tokens: damaged, or not ours to read. Nobody gets in."""

    code = "tokens_unreadable"


class TokensUnwritable(TokenError):
    code = "tokens_unwritable"


class SessionsUnwritable(TokenError):
    """Never raised: told in the log; after a restart browsers sign in again."""

    code = "sessions_unwritable"


class AccessRefused(StreamerError):
    """A request that is not let in; `headers` belong into the answer."""

    code = "access_refused"

    def __init__(self, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.headers = dict(headers or {})


class TokenMissing(AccessRefused):
    code = "token_missing"


class TokenInvalid(AccessRefused):
    code = "token_invalid"


class SessionOver(AccessRefused):
    """The cookie of a session that there is not, or not any more."""

    code = "session_over"


class CsrfRefused(AccessRefused):
    """With a session's cookie, and not asked by a page of this service: another's page, or no X-CSRF-Token."""

    code = "csrf_refused"


class RoleTooLow(AccessRefused):
    code = "role_too_low"


class TooManyAttempts(AccessRefused):
    code = "too_many_attempts"
    retryable = True


class TooManyRequests(AccessRefused):
    """More requests of one token, or of one address without any, than http.rate_limit lets through."""

    code = "too_many_requests"
    retryable = True


class ProxyBypassed(AccessRefused):
    """Where trusted proxies are named, nobody else may ask directly."""

    code = "proxy_bypassed"
