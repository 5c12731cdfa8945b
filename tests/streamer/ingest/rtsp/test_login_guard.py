"""Whose login it is, by which form, and for how long."""

import base64

import pytest

from streamer.ingest.logins.digest import Challenge, authorization, challenges
from streamer.ingest.rtsp.login_guard import NONCE_S, LoginGuard

LOGINS = {"door": ("ada", "s3cret"), "hall": ("bob", "s3cret"), "gate": ("bob", "s3cret")}


def offers(guard: LoginGuard, now_s: float = 0.0) -> dict[str, Challenge]:
    return {offer.algorithm: offer for offer in challenges(value for _, value in guard.challenges(now_s))}


def basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


@pytest.mark.parametrize("algorithm", ["SHA-256", "MD5"])
@pytest.mark.parametrize("has_qop", [True, False])
@pytest.mark.parametrize(
    ("user", "password", "cameras"),
    [
        ("ada", "s3cret", {"door"}),
        ("bob", "s3cret", {"hall", "gate"}),
        ("ada", "wrong", set()),
        ("eve", "s3cret", set()),
    ],
)
def test_digest(algorithm: str, has_qop: bool, user: str, password: str, cameras: set[str]):
    guard = LoginGuard(takes_basic=True)
    offer = offers(guard)[algorithm]
    asked = Challenge(offer.realm, offer.nonce, algorithm, has_qop=has_qop)
    for count in (1, 2):
        shown = authorization(asked, "SETUP", "rtsp://h/door?t=x/streamid=0", user, password, count)
        verdict = guard.look(shown, "SETUP", LOGINS, 1.0)
        assert (verdict.kind, verdict.cameras) == ("right" if cameras else "wrong", cameras)
    assert guard.look(shown, "RECORD", LOGINS, 1.0).kind == "wrong"  # it was for another method


def test_the_old_form_without_an_algorithm_is_md5():
    """GStreamer's, which names neither algorithm nor qop (RFC 2069)."""
    guard = LoginGuard(takes_basic=False)
    offer = offers(guard)["MD5"]
    shown = authorization(Challenge(offer.realm, offer.nonce), "ANNOUNCE", "rtsp://h/door", "ada", "s3cret")
    assert guard.look(shown.replace(", algorithm=MD5", ""), "ANNOUNCE", LOGINS, 0.0).cameras == {"door"}


def test_nothing_comes_twice():
    guard = LoginGuard(takes_basic=True)
    offer = offers(guard)["SHA-256"]
    shown = [authorization(offer, "RECORD", "*", "ada", "s3cret", count) for count in (1, 2)]
    assert guard.look(shown[1], "RECORD", LOGINS, 0.0).kind == "right"
    assert guard.look(shown[1], "RECORD", LOGINS, 0.0).kind == "stale"
    assert guard.look(shown[0], "RECORD", LOGINS, 0.0).kind == "stale"


@pytest.mark.parametrize("algorithm", ["SHA-256", "MD5"])
def test_a_nonce_ends(algorithm: str):
    guard, other = LoginGuard(takes_basic=True), LoginGuard(takes_basic=True)
    offer = offers(guard, 100.0)[algorithm]
    right = authorization(offer, "RECORD", "*", "ada", "s3cret", 1)
    assert guard.look(right, "RECORD", LOGINS, 100.0 + NONCE_S).kind == "stale"
    assert guard.look(right, "RECORD", LOGINS, 99.0 + NONCE_S).kind == "right"
    assert other.look(right, "RECORD", LOGINS, 100.0).kind == "stale"  # seen on another connection
    wrong = authorization(offer, "RECORD", "*", "ada", "wrong", 2)
    assert guard.look(wrong, "RECORD", LOGINS, 100.0 + NONCE_S).kind == "wrong"
    assert all("stale=true" in value for name, value in guard.challenges(0.0, is_stale=True)[:2])


@pytest.mark.parametrize(
    ("shown", "kind"),
    [
        ("", "wrong"),
        ("Bearer x", "wrong"),
        ("Digest", "wrong"),
        ('Digest realm="whosthere"', "wrong"),
        ('Digest realm="other", nonce="x", response="y"', "wrong"),
        ('Digest realm="whosthere", nonce="x", response="é", algorithm=SHA-512-256', "wrong"),
        ('Digest realm="whosthere", nonce="x", response="é", qop="auth-int"', "wrong"),
        ('Digest realm="whosthere, nonce=x', "wrong"),
        ("Basic é", "wrong"),
        ("Basic ", "wrong"),
        (basic("ada:s3cret"), "right"),
        (basic("ada:s3cret").replace("Basic", "BASIC"), "right"),
        (basic("ada:s3cret "), "wrong"),
        (basic("ada"), "wrong"),
    ],
)
def test_what_else_is_shown(shown: str, kind: str):
    assert LoginGuard(takes_basic=True).look(shown, "ANNOUNCE", LOGINS, 0.0).kind == kind


def test_over_a_network_basic_is_neither_offered_nor_taken():
    guard = LoginGuard(takes_basic=False)
    assert not any(value.startswith("Basic") for _, value in guard.challenges(0.0))
    assert guard.look(basic("ada:s3cret"), "ANNOUNCE", LOGINS, 0.0).kind == "wrong"


def test_a_count_that_is_no_number():
    guard = LoginGuard(takes_basic=True)
    offer = offers(guard)["MD5"]
    shown = authorization(offer, "RECORD", "*", "ada", "s3cret", 1)
    assert guard.look(shown.replace("nc=00000001", "nc=x"), "RECORD", LOGINS, 0.0).kind == "wrong"
