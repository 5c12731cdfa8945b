"""`serve` and `check` where HTTP may not listen as it is configured: one line, before anything is opened."""

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
