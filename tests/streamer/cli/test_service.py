"""`serve` and `check` where HTTP may not listen as it is configured: one line, before anything is opened."""

import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.certificates import NOW, make_certificate
from tests.command import assert_refused, whosthere

FAULTS: dict[str, dict[str, Any]] = {
    "http_unprotected": {"host": "0.0.0.0"},
    "certificate_unusable": {"tls": {"cert": "own.pem", "key": "other.key"}},
    "certificate_expired": {"tls": {"cert": "over.pem", "key": "over.key"}},
    "http_address_invalid": {"host": "no such host"},
    "config_invalid": {"trusted_proxies": ["0.0.0.0/0"]},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with certificates."""
    folder = tmp_path_factory.mktemp("home")
    make_certificate(folder, "own")
    make_certificate(folder, "other")
    make_certificate(folder, "over", until=NOW - timedelta(days=1))
    return folder


@pytest.mark.parametrize("code", FAULTS)
def test_serve_does_not_start(home, code):
    (home / "whosthere.yaml").write_text(yaml.safe_dump({"http": FAULTS[code], "mqtt": {"port": 1}}))
    ended = whosthere("serve", cwd=home)
    assert "http." in assert_refused(ended, code)
    assert "BEGIN" not in ended.everything
    assert not (home / "var").exists()


@pytest.mark.parametrize("code", ["http_unprotected", "certificate_expired"])
def test_check_says_the_same(home, code):
    (home / "whosthere.yaml").write_text(yaml.safe_dump({"http": FAULTS[code], "paths": {"models": []}}))
    ended = whosthere("check", "--json", "--set", "mqtt.port=1", "--set", "paths.data=elsewhere", cwd=home)
    assert {row["part"]: row["code"] for row in ended.document["checks"]}["http"] == code


def test_check_says_how_http_is_protected(home):
    http = {"host": "0.0.0.0", "tls": {"cert": "own.pem", "key": "own.key"}}
    (home / "whosthere.yaml").write_text(yaml.safe_dump({"http": http, "paths": {"models": [], "data": "elsewhere"}}))
    assert whosthere("tokens", "make", "me", "--role", "admin", cwd=home).code == 0
    ended = whosthere("check", "--json", "--set", "mqtt.port=1", cwd=home)
    (found,) = (row for row in ended.document["checks"] if row["part"] == "http")
    assert found["ok"]
    assert found["detail"].startswith("0.0.0.0 port 8080, 1 tokens, TLS: certificate valid until ")


BROKER_OF_NOWHERE = {"mqtt": {"username": "${NOT_SET_ANYWHERE}", "host": "192.0.2.1"}}


@pytest.mark.parametrize(
    ("http", "code"),
    [
        ({"enabled": False}, "config_invalid"),
        ({"host": "0.0.0.0"}, "http_unprotected"),
        ({"tls": {"cert": "over.pem", "key": "over.key"}}, "certificate_expired"),
    ],
)
def test_the_api_alone_does_not_start_where_http_can_not_be(home, http, code):
    (home / "whosthere.yaml").write_text(yaml.safe_dump({"http": http} | BROKER_OF_NOWHERE))
    assert "http." in assert_refused(whosthere("serve", "--api-only", cwd=home), code)
    assert not (home / "var").exists()


def test_a_port_is_shared_by_the_api_alone(home):
    (home / "whosthere.yaml").write_text("{}")
    ended = whosthere("serve", "--reuse-port", cwd=home)
    assert ended.code == 2
    assert "--api-only" in ended.err


def test_check_looks_at_what_the_api_alone_needs_and_leaves_nothing_behind(home, free_port):
    http = {"http": {"port": free_port}, "cameras": {"door": {"url": "rtsp://${NOT_SET_ANYWHERE}@192.0.2.9/x"}}}
    (home / "whosthere.yaml").write_text(yaml.safe_dump(http | BROKER_OF_NOWHERE))
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", free_port))
        other.listen()
        alone = whosthere("check", "--api-only", "--json", cwd=home)
        beside = whosthere("check", "--api-only", "--json", "--set", "http.reuse_port=true", cwd=home)
    codes = {row["part"]: row["code"] for row in alone.document["checks"]}
    assert (alone.code, codes) == (1, {"config": None, "processor": None, "models": None, "http": "port_in_use"})
    assert (beside.code, beside.document["ok"]) == (0, True)
    assert not (home / "var").exists()
