"""Which cookies are looked at, and whose page asks; each line a request as browsers, proxies and others send them."""

import pytest
from starlette.requests import HTTPConnection

from streamer.access.cookies import CSRF_HEADER, cookies_of, csrf_of, refuse_forged, refuse_other_origins
from streamer.access.errors import CsrfRefused

SECRET = b"0" * 43
CSRF = (CSRF_HEADER, csrf_of(SECRET))
HOST = ("Host", "cameras.example:8443")
OURS = ("Origin", "https://cameras.example:8443")


def request(*headers: tuple[str, str], method: str = "GET", kind: str = "http") -> HTTPConnection:
    sent = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    return HTTPConnection({"type": kind, "method": method, "path": "/", "headers": sent})


def is_refused(*headers: tuple[str, str], method: str = "POST", kind: str = "http") -> bool:
    try:
        refuse_forged(request(*headers, method=method, kind=kind), SECRET)
    except CsrfRefused:
        return True
    return False


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("whosthere_session=abc", [b"abc"]),
        ("a=1; whosthere_session=abc; b=2", [b"abc"]),
        ("a=1;whosthere_session=abc;b", [b"abc"]),
        ("whosthere_session=a=b=", [b"a=b="]),
        ("whosthere_session=; x=whosthere_session", []),
        ("WHOSTHERE_SESSION=abc; whosthere_session2=abc", []),
        ("whosthere_session=\xe4\xff", [b"\xe4\xff"]),
        ("whosthere_session=old; whosthere_session=abc", [b"old", b"abc"]),
        ("; ".join(f"whosthere_session={n}" for n in range(100)), [b"0", b"1", b"2", b"3"]),
        ("", []),
        (";;;===;", []),
    ],
)
def test_the_cookies_of_a_session_are_read(header, found):
    assert cookies_of(request(("Cookie", header))) == found


def test_what_a_page_has_to_say_tells_nothing_of_the_cookie_and_differs_by_it():
    assert SECRET.decode() not in csrf_of(SECRET)
    assert csrf_of(SECRET) != csrf_of(b"1" + SECRET[1:])


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "PROPFIND", "post", "get"])
def test_a_change_needs_what_our_page_alone_knows(method):
    assert is_refused(HOST, OURS, method=method)
    assert is_refused(HOST, OURS, (CSRF_HEADER, csrf_of(SECRET)[:-1]), method=method)
    assert is_refused(HOST, OURS, (CSRF_HEADER, "ä"), method=method)
    assert is_refused(HOST, OURS, (CSRF_HEADER, csrf_of(b"another's")), method=method)
    assert not is_refused(HOST, OURS, CSRF, method=method)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_to_look_needs_nothing_more(method):
    assert not is_refused(HOST, method=method)
    assert not is_refused(HOST, ("Sec-Fetch-Site", "none"), method=method), "an address that was typed in"


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ([], False),
        ([OURS], False),
        ([("Origin", "HTTPS://Cameras.Example:8443")], False),
        ([("Origin", "https://cameras.example")], True),
        ([("Origin", "https://cameras.example:8444")], True),
        ([("Origin", "https://evil.example")], True),
        ([("Origin", "https://cameras.example.evil.example:8443")], True),
        ([("Origin", "null")], True),
        ([("Origin", "")], True),
        ([("Origin", "file://cameras.example:8443")], True),
        ([OURS, OURS], True),
        ([("Sec-Fetch-Site", "same-origin")], False),
        ([("Sec-Fetch-Site", "same-origin"), ("Origin", "https://behind.a.proxy")], False),
        ([("Sec-Fetch-Site", "same-site"), OURS], True),
        ([("Sec-Fetch-Site", "cross-site"), OURS], True),
        ([("Sec-Fetch-Site", "none"), OURS], True),
        ([("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")], True),
    ],
)
def test_a_change_is_asked_by_a_page_of_this_origin(headers, refused):
    assert is_refused(HOST, *headers, CSRF) is refused


@pytest.mark.parametrize(
    ("host", "origin", "refused"),
    [
        ("cameras.example", "https://cameras.example", False),
        ("cameras.example:443", "https://cameras.example", False),
        ("cameras.example:80", "https://cameras.example", True),
        ("127.0.0.1:8080", "http://127.0.0.1:8080", False),
        ("127.0.0.1:8080", "http://localhost:8080", True),
        ("[::1]:8080", "http://[::1]:8080", False),
        ("[::1]", "http://[::1]", False),
        ("", "http://", True),
    ],
)
def test_the_host_is_that_of_the_origin(host, origin, refused):
    assert is_refused(("Host", host), ("Origin", origin), CSRF) is refused


def test_a_websocket_says_whose_page_opens_it():
    """It is opened across origins as one likes, and a page can't add a header."""
    for headers, refused in (
        ([], True),
        ([OURS], False),
        ([("Origin", "https://evil.example")], True),
        ([("Origin", "https://evil.example"), CSRF], True),
        ([("Sec-Fetch-Site", "same-origin"), OURS], False),
    ):
        assert is_refused(HOST, *headers, method="", kind="websocket") is refused, headers


def test_who_says_nothing_is_no_browsers_page():
    refuse_other_origins(request(HOST))
    with pytest.raises(CsrfRefused):
        refuse_other_origins(request(HOST), must_say=True)
