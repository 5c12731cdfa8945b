"""The health check of the image, as a container runs it."""

import asyncio
from pathlib import Path

import pytest

from streamer.api.alive import lives, main
from streamer.api.application import create_app
from streamer.api.certificate import Certificate
from streamer.api.server import serve_http
from streamer.settings import HttpSettings
from tests.certificates import make_certificate
from tests.streamer.api.test_health import FakeService


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
async def test_it_asks_where_the_service_listens(host, free_port):
    settings = HttpSettings(host=host, port=free_port)
    assert not await asyncio.to_thread(lives, settings)
    async with serve_http(create_app(FakeService()), host, free_port):
        assert await asyncio.to_thread(lives, settings)
    assert not await asyncio.to_thread(lives, settings)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
async def test_it_asks_this_machine_where_it_listens_everywhere(host, free_port, tmp_path):
    """Over TLS, with a certificate that is nobody's; and where proxies alone may ask."""
    tls = make_certificate(tmp_path).settings
    async with serve_http(create_app(FakeService()), host, free_port, tls=Certificate(tls).context):
        assert await asyncio.to_thread(lives, HttpSettings(host=host, port=free_port, tls=tls))
        assert not await asyncio.to_thread(lives, HttpSettings(host=host, port=free_port)), "TLS is spoken there"
    async with serve_http(create_app(FakeService()), host, free_port, trusted_proxies=["192.0.2.1"]):
        assert await asyncio.to_thread(lives, HttpSettings(host=host, port=free_port))


async def test_it_needs_no_login_to_the_broker(tmp_path, monkeypatch, free_port):
    """One that serves the API alone has none."""
    (tmp_path / "whosthere.yaml").write_text('mqtt: {password: "${NOT_SET_ANYWHERE}"}')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WHOSTHERE_HTTP__PORT", str(free_port))
    async with serve_http(create_app(FakeService()), "127.0.0.1", free_port):
        assert await asyncio.to_thread(main) == 0


async def test_what_is_no_service_does_not_live(free_port):
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", free_port):
        assert not await asyncio.to_thread(lives, HttpSettings(port=free_port))


@pytest.mark.parametrize(("config", "code"), [("http: {enabled: false}", 0), ("http: {prot: 1}", 1), ("", 1)])
def test_its_exit_code_is_the_answer(tmp_path: Path, monkeypatch, capsys, free_port, config, code):
    (tmp_path / "whosthere.yaml").write_text(config)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WHOSTHERE_HTTP__PORT", str(free_port))
    assert main() == code
    assert ("config_unknown_key" in capsys.readouterr().err) == ("prot" in config)
