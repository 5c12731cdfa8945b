"""Digest logins: the examples of the RFCs, and challenges as cameras write them."""

import re

import pytest

from streamer.ingest.logins.digest import Challenge, authorization, best, challenges

# RFC 7616, 3.9.1
NONCE, OPAQUE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"


def field(header: str, name: str) -> str | None:
    found = re.search(rf'\b{name}="?([^",]*)', header)
    return found and found[1]


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_example_of_rfc_7616(algorithm, response):
    challenge = Challenge("http-auth@example.org", NONCE, algorithm, OPAQUE, True)
    header = authorization(challenge, "GET", "/dir/index.html", "Mufasa", "Circle of Life", 1, CNONCE)
    assert field(header, "response") == response
    assert (field(header, "nc"), field(header, "algorithm"), field(header, "opaque")) == ("00000001", algorithm, OPAQUE)


def test_without_qop_as_rfc_2069_has_it():
    """Cameras of old firmware offer none; the errata's value."""
    challenge = Challenge("testrealm@host.com", "dcd98b7102dd2f0e8b11d0f600bfb0c093")
    header = authorization(challenge, "GET", "/dir/index.html", "Mufasa", "CircleOfLife")
    assert field(header, "response") == "1949323746fe6a43ef61f9606e7febea"
    assert field(header, "nc") is None


def test_a_session_is_bound_to_its_first_nonces():
    plain = Challenge("r", "n", "SHA-256", None, True)
    session = Challenge("r", "n", "SHA-256-SESS", None, True)
    headers = [authorization(each, "DESCRIBE", "rtsp://c/a", "ada", "x", 1, "c") for each in (plain, session)]
    assert field(headers[0], "response") != field(headers[1], "response")
    assert field(headers[1], "algorithm") == "SHA-256-sess"


@pytest.mark.parametrize(
    ("offered", "algorithms", "chosen"),
    [
        (['Digest realm="cam", nonce="a"'], ["MD5"], "MD5"),
        (['digest realm="cam",nonce="a",algorithm=SHA-256,qop="auth"'], ["SHA-256"], "SHA-256"),
        (['Digest realm="c", nonce="a", algorithm="MD5"', 'Digest realm="c", nonce="b", algorithm="SHA-256"'],
         ["MD5", "SHA-256"], "SHA-256"),
        (['Digest realm="c", nonce="a", algorithm=SHA-256, Digest realm="c", nonce="b", algorithm=MD5, Basic x="c"'],
         ["SHA-256", "MD5"], "SHA-256"),
        (['Basic realm="a, Digest b"', 'Digest realm="c", nonce="n", algorithm=SHA-512-256'],
         ["SHA-512-256"], "SHA-512-256"),
        (['Digest realm="c", nonce="n", algorithm=SHA-3', 'Digest realm="c", nonce="n"'], ["SHA-3", "MD5"], "MD5"),
        (['Basic realm="c"'], [], None),
        (["Digest"], [], None),
        (['Digest realm="cam", nonce="abc", opaque='], ["MD5"], "MD5"),
        (['Digest realm="cam, nonce=abc'], [], None),
        (["Digest nonce=n, =, ,,algorithm=sha-256"], ["SHA-256"], "SHA-256"),
        ([""], [], None),
    ],
)  # fmt: skip
def test_challenges_as_they_come(offered, algorithms, chosen):
    found = challenges(offered)
    assert [offer.algorithm for offer in found] == algorithms
    choice = best(found)
    assert (choice and choice.algorithm) == chosen


def test_quotes_in_a_name_are_escaped():
    header = authorization(Challenge('a "b"', "n"), "GET", "/", 'x"y', "z")
    assert 'username="x\\"y"' in header
