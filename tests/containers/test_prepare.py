"""The first step of docker-compose.yml: what it makes serves a real mosquitto, with the stack's own configuration."""

import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from tests.command import whosthere
from tests.conftest import PROJECT

CONFIGS = PROJECT / "configs" / "compose"
LOGINS = {"MQTT_PASSWORD": "correct horse", "MQTT_HOME_PASSWORD": "battery staple"}


def prepared(folder: Path, environ: Mapping[str, str] = LOGINS, program: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *(("-c", program) if program else (CONFIGS / "prepare.py",)), folder]
    clean = {name: value for name, value in os.environ.items() if name not in LOGINS}
    return subprocess.run(command, env=clean | dict(environ), capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certs")
    ended = prepared(folder, LOGINS | {"TLS_NAMES": "cams.example.org, 192.0.2.7"})
    assert ended.returncode == 0, ended.stderr
    return folder


@contextmanager
def broker(certs: Path, folder: Path) -> Iterator[int]:
    """mosquitto by the stack's configuration, at other paths and on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "data").mkdir(exist_ok=True)
    text = (CONFIGS / "mosquitto.conf").read_text()
    text = text.replace("/certs/", f"{certs}/").replace("/mosquitto/data/", f"{folder}/data/")
    text = text.replace("listener 8883", f"listener {port} 127.0.0.1")
    (folder / "mosquitto.conf").write_text(f"{text}user {'root' if os.geteuid() == 0 else ''}\n")
    path = os.pathsep.join((os.environ["PATH"], "/usr/sbin"))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["mosquitto", "-c", folder / "mosquitto.conf"], stdout=log, stderr=log, env={"PATH": path}
        )
    try:
        until_s = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < until_s
                time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def published(port: int, certs: Path, user: str, password: str, topic: str) -> subprocess.CompletedProcess[str]:
    command = ["mosquitto_pub", "-V", "5", "-h", "localhost", "-p", port, "--cafile", certs / "ca.crt", "-u", user]
    command += ["-P", password, "-q", "1", "-t", topic, "-m", "x"]
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=30)


@pytest.mark.live
def test_a_broker_takes_whoever_has_the_password_and_nobody_else(certs, tmp_path):
    with broker(certs, tmp_path) as port:
        assert published(port, certs, "whosthere", LOGINS["MQTT_PASSWORD"], "whosthere/x").returncode == 0
        wrong = published(port, certs, "whosthere", "wrong", "whosthere/x")
        assert "not authorized" in wrong.stderr.lower(), wrong
        home = published(port, certs, "home", LOGINS["MQTT_HOME_PASSWORD"], "homeassistant/status")
        assert (home.returncode, home.stderr) == (0, "")
        denied = published(port, certs, "home", LOGINS["MQTT_HOME_PASSWORD"], "whosthere/x")
        assert "not authorized" in denied.stderr.lower(), denied


@pytest.mark.live
def test_the_service_finds_the_broker_in_order(certs, tmp_path):
    """By what docker-compose.yml tells it, but for the port and the host, which is not called mosquitto here."""
    with broker(certs, tmp_path) as port:
        environ = {
            "MQTT_PASSWORD": LOGINS["MQTT_PASSWORD"],
            "WHOSTHERE_MQTT__HOST": "localhost",
            "WHOSTHERE_MQTT__PORT": str(port),
            "WHOSTHERE_MQTT__USERNAME": "whosthere",
            "WHOSTHERE_MQTT__PASSWORD": "${MQTT_PASSWORD}",
            "WHOSTHERE_MQTT__TLS": f'{{"ca": "{certs}/ca.crt"}}',
            "WHOSTHERE_HTTP__HOST": "0.0.0.0",
            "WHOSTHERE_HTTP__TLS": f'{{"cert": "{certs}/whosthere/tls.crt", "key": "{certs}/whosthere/tls.key"}}',
            "WHOSTHERE_HTTP__PORT": "0",
        }
        ended = whosthere("check", "--config", CONFIGS / "whosthere.yaml", cwd=tmp_path, environ=environ)
    assert ended.code == 0, ended.everything
    assert f"localhost:{port}" in ended.out


@pytest.mark.parametrize("who", ["mosquitto", "whosthere"])
def test_certificates_are_for_the_names_that_are_used(certs, who):
    context = ssl.create_default_context(cafile=certs / "ca.crt")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certs / who / "tls.crt", certs / who / "tls.key")
    for name in (who, "localhost", "127.0.0.1", "cams.example.org", "192.0.2.7"):
        shake_hands(context, server, name)
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        shake_hands(context, server, "grafana")


def shake_hands(context: ssl.SSLContext, server: ssl.SSLContext, name: str) -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        context.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue


def test_keys_are_their_owners_alone(certs):
    modes = {str(path.relative_to(certs)): path.stat().st_mode & 0o777 for path in certs.rglob("*") if path.is_file()}
    assert modes == {
        "ca.crt": 0o644,
        "private/ca.key": 0o600,
        "mosquitto/tls.crt": 0o644,
        "mosquitto/tls.key": 0o600,
        "mosquitto/passwords": 0o600,
        "mosquitto/acl": 0o600,
        "whosthere/tls.crt": 0o644,
        "whosthere/tls.key": 0o600,
    }
    if os.geteuid() == 0:
        assert (certs / "mosquitto/tls.key").stat().st_uid == 1883
        assert (certs / "whosthere/tls.key").stat().st_uid == 10001
    held = "".join(path.read_text() for path in certs.rglob("*") if path.is_file())
    assert not any(password in held for password in LOGINS.values())


def test_what_is_there_and_good_stays_and_another_name_makes_another_certificate(tmp_path):
    assert prepared(tmp_path).returncode == 0
    before = {name: (tmp_path / name).read_bytes() for name in ("ca.crt", "mosquitto/tls.crt", "whosthere/tls.crt")}
    again = prepared(tmp_path)
    assert (again.returncode, "certificate for" in again.stderr) == (0, False)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before

    assert prepared(tmp_path, LOGINS | {"TLS_NAMES": "other.example.org"}).returncode == 0
    assert (tmp_path / "ca.crt").read_bytes() == before["ca.crt"]
    assert (tmp_path / "mosquitto/tls.crt").read_bytes() != before["mosquitto/tls.crt"]


def test_a_certificate_is_renewed_before_its_end(tmp_path):
    """As in a year: the certificate of then is made by a step that gives 29 days."""
    short = (
        (CONFIGS / "prepare.py")
        .read_text()
        .replace("CERTIFICATE_DAYS, RENEW_DAYS = 3650, 397, 30", "CERTIFICATE_DAYS, RENEW_DAYS = 3650, 29, 0")
    )
    assert prepared(tmp_path, program=short).returncode == 0
    assert ends(tmp_path) < datetime.now(UTC) + timedelta(days=30)

    assert prepared(tmp_path).returncode == 0
    assert ends(tmp_path) > datetime.now(UTC) + timedelta(days=300)


def ends(folder: Path) -> datetime:
    return x509.load_pem_x509_certificate((folder / "mosquitto/tls.crt").read_bytes()).not_valid_after_utc


def test_a_damaged_ca_is_told_of(tmp_path):
    assert prepared(tmp_path).returncode == 0
    (tmp_path / "private/ca.key").write_text("no key")
    ended = prepared(tmp_path)
    assert ended.returncode == 1
    assert "docker volume rm whosthere_certs" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"MQTT_PASSWORD": ""}, "MQTT_PASSWORD is not set; write one into .env"),
        ({"MQTT_HOME_PASSWORD": ""}, "MQTT_HOME_PASSWORD is not set"),
        ({"MQTT_PASSWORD": "change-me-please"}, "MQTT_PASSWORD in .env is no password yet"),
        ({"MQTT_PASSWORD": "short"}, "take one of 8 characters or more"),
        ({"MQTT_PASSWORD": "two\nlines here"}, "has a control character in it"),
    ],
)
def test_without_passwords_nothing_is_made(tmp_path, changes, says):
    ended = prepared(tmp_path, LOGINS | changes)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (1, 1)
    assert says in ended.stderr
    assert not any(value and value in ended.stderr for value in changes.values())
    assert list(tmp_path.iterdir()) == []
