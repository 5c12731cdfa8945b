"""The service's own certificate: what is refused, what is told of, and one that is replaced while it serves."""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from streamer.api import certificate as module
from streamer.api.certificate import Certificate
from streamer.errors import CertificateExpired, CertificateUnusable
from streamer.settings import TlsSettings
from tests.certificates import NOW, Files, make_certificate
from tests.recognition.fakes import until

DAY_S = 86_400.0


@pytest.mark.parametrize("with_rsa", [False, True], ids=["ec", "rsa"])
def test_a_good_one_is_read(tmp_path, with_rsa):
    found = Certificate(make_certificate(tmp_path, with_rsa=with_rsa).settings)
    assert found.until_s == int((NOW + timedelta(days=90)).timestamp())
    assert (found.fault, found.trouble) == (False, "")
    assert found.context.minimum_version == ssl.TLSVersion.TLSv1_2


def garbage(files: Files) -> Files:
    body = "-----BEGIN CERTIFICATE-----\nbm90IG9uZQ==\n-----END CERTIFICATE-----\n"
    files.cert.write_text(body)
    return files


def swapped(files: Files) -> Files:
    return Files(files.key, files.cert, files.ca)


def cut(files: Files) -> Files:
    files.key.write_text(files.key.read_text()[:60])
    return files


def other(files: Files) -> Files:
    return Files(files.cert, make_certificate(files.cert.parent, "other").key, files.ca)


def other_kind(files: Files) -> Files:
    return Files(files.cert, make_certificate(files.cert.parent, "other", with_rsa=True).key, files.ca)


def behind_its_chain(files: Files) -> Files:
    files.cert.write_text(make_certificate(files.cert.parent, "root").cert.read_text() + files.cert.read_text())
    return files


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (
            lambda files: Files(files.cert.parent / "no.pem", files.key, files.ca),
            "http.tls.cert .*no.pem can't be read",
        ),
        (
            lambda files: Files(files.cert, files.cert.parent / "no.key", files.ca),
            "http.tls.key .*no.key can't be read",
        ),
        (lambda files: Files(files.cert.parent, files.key, files.ca), "http.tls.cert .* can't be read .Is a directory"),
        (swapped, "http.tls.cert .* holds no certificate in PEM; give a certificate"),
        (garbage, "can't be used"),
        (cut, "can't be used"),
        (other, "is not the key of the first certificate in"),
        (other_kind, "is not the key of the first certificate in"),
        (behind_its_chain, "is not the key of the first certificate in"),
    ],
)
def test_what_can_not_be_used_is_refused_in_one_line(tmp_path: Path, spoil: Callable[[Files], Files], says: str):
    files = spoil(make_certificate(tmp_path))
    with pytest.raises(CertificateUnusable, match=says) as caught:
        Certificate(files.settings)
    assert "\n" not in str(caught.value)
    assert "BEGIN" not in str(caught.value)


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(tmp_path):
    files = make_certificate(tmp_path, password=b"hunter2")
    with pytest.raises(CertificateUnusable, match=r"server.key is encrypted; store it without a password"):
        Certificate(files.settings)


@pytest.mark.parametrize("days", [1, 30, 4000])
def test_one_that_is_over_is_refused(tmp_path, days):
    files = make_certificate(tmp_path, since=NOW - timedelta(days=5000), until=NOW - timedelta(days=days))
    with pytest.raises(CertificateExpired, match=rf"was valid until {NOW - timedelta(days=days):%Y-%m-%d}.*; renew it"):
        Certificate(files.settings)


def test_one_that_comes_to_its_end_is_told_of(tmp_path):
    clock = NOW.timestamp()
    found = Certificate(make_certificate(tmp_path).settings, now=lambda: clock)
    for days, fault, says in ((75, False, ""), (77, False, "is valid until"), (91, True, "was valid until")):
        clock = NOW.timestamp() + days * DAY_S
        assert found.fault is fault
        assert says in found.trouble
        assert bool(found.trouble) == bool(says)


def test_a_clock_that_was_never_set_does_not_stop_the_start(tmp_path):
    found = Certificate(make_certificate(tmp_path).settings, now=lambda: 0.0)
    assert found.fault
    assert "is valid from" in found.trouble


async def served_by(port: int, files: Files) -> str:
    """The serial number that clients see, who trust these alone: by name, by address (no name is sent), by old TLS."""
    serials = set()
    for host, newest in (("localhost", "TLSv1_3"), ("127.0.0.1", "TLSv1_3"), ("localhost", "TLSv1_2")):
        context = ssl.create_default_context(cafile=str(files.ca))
        context.maximum_version = ssl.TLSVersion[newest]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=host)
        serials.add(writer.get_extra_info("peercert")["serialNumber"])
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    (serial,) = serials
    return str(serial)


async def test_one_that_is_replaced_serves_from_then_on(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(module, "POLL_S", 0.01)
    first = make_certificate(tmp_path, "first")
    live = TlsSettings(cert=tmp_path / "live.pem", key=tmp_path / "live.key")
    live.cert.symlink_to(first.cert)
    live.key.symlink_to(first.key)
    found = Certificate(live)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=found.context)
    port = server.sockets[0].getsockname()[1]
    following = asyncio.create_task(found.follow())
    try:
        before = await served_by(port, first)

        live.cert.unlink()
        await until(lambda: found.trouble)
        assert "can't be read" in found.trouble
        assert await served_by(port, first) == before, "half of a renewal"

        over = make_certificate(tmp_path, "over", since=NOW - timedelta(days=9), until=NOW - timedelta(days=2))
        live.cert.symlink_to(over.cert)
        live.key.unlink()
        live.key.symlink_to(over.key)
        await until(lambda: "was valid until" in found.trouble)
        assert "the one of before serves until" in found.trouble
        assert not found.fault
        assert await served_by(port, first) == before

        second = make_certificate(tmp_path, "second", until=NOW + timedelta(days=200), with_rsa=True)
        live.cert.unlink()
        live.cert.symlink_to(second.cert)
        live.key.unlink()
        live.key.symlink_to(second.key)
        await until(lambda: not found.trouble)
        assert await served_by(port, second) != before
        assert found.until_s == int((NOW + timedelta(days=200)).timestamp())
    finally:
        following.cancel()
        server.close()
        await server.wait_closed()
    assert "can't be read" in caplog.text
