"""What a browser sends of its session, and whether a page of ours has made it send that. Pure.

A browser adds a cookie to whatever any page asks of this host. So what changes something must say what our pages alone
know (X-CSRF-Token), and must not say that another origin's page asks (Sec-Fetch-Site; where it is missing, Origin).
"""

import hashlib
import hmac

from starlette.requests import HTTPConnection

from streamer.access.errors import CsrfRefused

COOKIE = "whosthere_session"
CSRF_HEADER = "X-CSRF-Token"
_CHANGE_NOTHING = ("GET", "HEAD", "OPTIONS")
_PORTS = {"http": ":80", "https": ":443"}
_MOST_LOOKED_AT = 4  # of one name: other programs on this host, whatever their port, may have set more


def cookies_of(request: HTTPConnection) -> list[bytes]:
    """What may be a session's secret."""
    parts = (part.strip() for header in request.headers.getlist("cookie") for part in header.split(";"))
    found = [value for name, _, value in (part.partition("=") for part in parts) if name == COOKIE and value]
    return [value.encode("latin-1") for value in found[:_MOST_LOOKED_AT]]


def csrf_of(secret: bytes) -> str:
    """What a page has to say beside the cookie, which no script can read: made of it, and not the way back."""
    return hmac.new(secret, b"csrf", hashlib.sha256).hexdigest()


def refuse_forged(request: HTTPConnection, secret: bytes) -> None:
    """Raises CsrfRefused for what changes something, or opens a WebSocket, and is not asked by a page of ours."""
    if request.scope["type"] == "websocket":  # a page can't add a header to it; any may open it, and read
        refuse_other_origins(request, must_say=True)
    elif request.scope["method"] not in _CHANGE_NOTHING:
        refuse_other_origins(request)
        said = request.headers.get(CSRF_HEADER, "")
        if not hmac.compare_digest(said.encode("latin-1"), csrf_of(secret).encode()):
            raise CsrfRefused(
                f"with a session, a change needs the header {CSRF_HEADER}; GET /api/v1/session says its value"
            )


def refuse_other_origins(request: HTTPConnection, *, must_say: bool = False) -> None:
    """Raises CsrfRefused where a page of another origin asks; must_say: also where it is not said whose."""
    sites, origins = request.headers.getlist("sec-fetch-site"), request.headers.getlist("origin")
    if sites:
        is_ours = sites == ["same-origin"]
    elif origins:
        is_ours = len(origins) == 1 and _is_of(origins[0], request.headers.get("host", ""))
    else:
        is_ours = not must_say
    if not is_ours:
        raise CsrfRefused(
            "a page of another origin asks, or a proxy changes Host (let it pass the one that it was asked by)"
        )


def _is_of(origin: str, host: str) -> bool:
    """By name and port. Not by scheme: a proxy may do TLS, and say so to nobody."""
    scheme, _, place = origin.lower().partition("://")
    port = _PORTS.get(scheme)
    return port is not None and place != "" and place.removesuffix(port) == host.lower().removesuffix(port)
