"""TLS and logins with a real mosquitto: what is verified, how each fault is told, what is read anew at each try."""

import asyncio
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from recognition.errors import CodedError
from streamer.errors import BrokerError
from streamer.mqtt.broker_check import check_broker, try_broker
from streamer.mqtt.publisher import Publisher
from streamer.mqtt.subscriber import follow
from streamer.mqtt.tls.errors import BrokerTlsError
from streamer.sections.mqtt import MqttTlsSettings
from streamer.settings import MqttSettings
from streamer.settings_reading import load
from streamer.supervise import supervise
from streamer.telemetry.metrics import Metrics
from tests.certificates import NOW, Authority, Files, make_certificate
from tests.live.mosquitto import Mosquitto
from tests.live.service import until
from tests.streamer.messages import ADA, due

pytestmark = pytest.mark.live

HOUR = timedelta(hours=1)
DAYS_AGO = NOW - timedelta(days=3)


@dataclass(frozen=True)
class World:
    """Brokers that run, each with what is wrong with it, and the files that go with them."""

    folder: Path
    ca: Authority
    brokers: dict[str, Mosquitto]

    def mqtt(self, broker: str, **tls: object) -> MqttSettings:
        return MqttSettings(port=self.brokers[broker].port, tls=MqttTlsSettings.model_validate(tls))


@contextmanager
def mosquitto(folder: Path, name: str, tls: Files | None = None, clients: Path | None = None) -> Iterator[Mosquitto]:
    (folder / name).mkdir()
    with Mosquitto(folder / name, tls=tls, clients=clients) as running:
        yield running


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("tls")
    ca, other = Authority(folder), Authority(folder, "other")
    good = ca.issue("good")
    certificates = {
        "expired": ca.issue("expired", since=DAYS_AGO, until=NOW - HOUR),
        "early": ca.issue("early", since=NOW + HOUR),
        "elsewhere": ca.issue("elsewhere", hosts=["broker.example"]),
        "self-signed": make_certificate(folder, "self-signed"),
    }
    for name, clients in (("client", ca), ("stranger", other)):
        clients.issue(name)
    ca.issue("outdated", since=DAYS_AGO, until=NOW - HOUR)
    make_certificate(folder, "locked", password=b"secret")
    (folder / "words.pem").write_text("no certificate")
    (folder / "damaged.pem").write_text("-----BEGIN CERTIFICATE-----\nMIIx\n-----END CERTIFICATE-----\n")
    with (
        mosquitto(folder, "m-good", good) as running,
        mosquitto(folder, "m-clients", good, clients=ca.cert) as with_clients,
        mosquitto(folder, "m-plain") as plain,
    ):
        brokers = {"good": running, "clients": with_clients, "plain": plain}
        for name, files in certificates.items():
            brokers[name] = Mosquitto(_made(folder / f"m-{name}"), tls=files)
            brokers[name].start()
        yield World(folder, ca, brokers)
        for name in certificates:
            brokers[name].kill()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("broker", "tls"),
    [
        ("good", {"ca": "ca.pem"}),
        ("good", {"ca": "good.pem"}),  # the broker's own: trusted as it stands
        ("good", {"ca": "ca.pem", "cert": "client.pem", "key": "client.key"}),  # not asked for
        ("clients", {"ca": "ca.pem", "cert": "client.pem", "key": "client.key"}),
        ("elsewhere", {"ca": "ca.pem", "server_name": "broker.example"}),
        ("self-signed", {"ca": "self-signed.pem"}),
    ],
)
@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_connects(world, broker, tls, version):
    mqtt = world.mqtt(broker, **_in(world.folder, tls)).model_copy(update={"version": version})

    assert await try_broker(mqtt) == version


OWN = {"ca": "ca.pem", "cert": "client.pem", "key": "client.key"}
FAULTS = [
    ("good", {}, "broker_certificate_untrusted", "none of the system's CAs"),
    ("good", {"ca": "other.pem"}, "broker_certificate_untrusted", "name the CA that signed it as mqtt.tls.ca"),
    ("good", {"ca": "ca.pem", "server_name": "x.example"}, "broker_certificate_other_host", "'x.example'"),
    ("elsewhere", {"ca": "ca.pem"}, "broker_certificate_other_host", "mqtt.tls.server_name"),
    ("expired", {"ca": "ca.pem"}, "broker_certificate_expired", "has expired by this machine's clock; renew it"),
    ("early", {"ca": "ca.pem"}, "broker_certificate_expired", "is not valid yet"),
    ("self-signed", {}, "broker_certificate_self_signed", "name a copy of it as mqtt.tls.ca"),
    ("self-signed", {"ca": "ca.pem"}, "broker_certificate_self_signed", "mqtt.tls.ca"),
    ("clients", {"ca": "ca.pem"}, "client_certificate_missing", "set mqtt.tls.cert and mqtt.tls.key"),
    ("clients", OWN | {"cert": "stranger.pem", "key": "stranger.key"}, "client_certificate_refused", "unknown ca"),
    ("clients", OWN | {"cert": "outdated.pem", "key": "outdated.key"}, "client_certificate_refused", "expired"),
    ("plain", {"ca": "ca.pem"}, "broker_speaks_no_tls", "mostly 8883"),
    ("good", {"ca": "gone.pem"}, "mqtt_tls_file_unreadable", "No such file"),
    ("good", {"ca": "."}, "mqtt_tls_file_unreadable", "Is a directory"),
    ("good", OWN | {"key": "gone.key"}, "mqtt_tls_file_unreadable", "mqtt.tls.key"),
    ("good", {"ca": "words.pem"}, "mqtt_tls_file_invalid", "holds no certificate in PEM"),
    ("good", {"ca": "damaged.pem"}, "mqtt_tls_file_invalid", "damaged"),
    ("good", OWN | {"key": "client.pem"}, "mqtt_tls_file_invalid", "holds no private key in PEM"),
    ("good", OWN | {"key": "stranger.key"}, "mqtt_tls_key_mismatch", "give the two that match"),
    ("good", OWN | {"cert": "locked.pem", "key": "locked.key"}, "mqtt_tls_key_encrypted", "without one"),
]


@pytest.mark.parametrize(("broker", "tls", "code", "told"), FAULTS)
async def test_a_fault_is_one_line_with_a_code_of_its_own(world, broker, tls, code, told):
    with pytest.raises(BrokerTlsError) as refused:
        await try_broker(world.mqtt(broker, **_in(world.folder, tls)))

    assert refused.value.code == code
    assert not refused.value.retryable
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("version", ["auto", "5", "3.1.1"])
@pytest.mark.parametrize("broker", ["good", "clients"])
async def test_who_speaks_no_tls_is_told_that_the_broker_does(world, broker, version):
    mqtt = MqttSettings(port=world.brokers[broker].port, version=version)

    assert await _code_of(try_broker(mqtt)) == "broker_wants_tls"


async def test_whoever_listens_is_told_the_same(world):
    mqtt = world.mqtt("good", ca=world.folder / "other.pem")

    assert await _code_of(follow(mqtt, on_event=lambda _: None)) == "broker_certificate_untrusted"


async def test_a_broker_that_stays_silent_holds_nobody_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mqtt = MqttSettings(port=silent.getsockname()[1], tls=MqttTlsSettings())

        assert await _code_of(try_broker(mqtt)) == "broker_speaks_no_tls"


async def test_check_tells_of_tls_and_warns_of_a_certificate_that_ends(world):
    mqtt = world.mqtt("good", ca=world.ca.cert)

    assert "(MQTT 5, TLS)" in (await check_broker(mqtt, time.time())).told
    assert "warning" not in (await check_broker(mqtt, time.time())).told
    in_80_days = (await check_broker(mqtt, time.time() + 80 * 86_400)).told
    assert "warning: its certificate is valid until" in in_80_days


@pytest.mark.parametrize(
    ("host", "warned"), [("127.0.0.1", False), ("localhost", False), ("{own}", True), ("broker.example", True)]
)
async def test_check_warns_of_a_login_that_goes_over_the_network_in_clear(host, warned, world, monkeypatch):
    plain = MqttSettings(port=world.brokers["plain"].port, username="us")
    # All names lead to this machine: the broker stands for one elsewhere.
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *rest, **more: resolve("127.0.0.1", *rest, **more))
    told = (await check_broker(plain.model_copy(update={"host": host.format(own="192.0.2.7")}), time.time())).told

    assert ("unencrypted" in told) == warned


async def test_a_renewed_file_is_taken_at_the_next_try(world, tmp_path, outbox, caplog):
    """The CA at hand is not that of the broker; it is replaced while the service tries again and again."""
    ca = tmp_path / "trusted.pem"
    shutil.copy(world.folder / "other.pem", ca)
    publisher = Publisher(world.mqtt("good", ca=ca), outbox, {ADA: "Ada"}.get, Metrics())
    task = asyncio.create_task(
        supervise("broker", publisher.run, publisher.failed, first_delay_s=0.05, hopeless_delay_s=0.05)
    )
    try:
        outbox.put(due("a1n"))
        await until(lambda: "[broker_certificate_untrusted]" in publisher.trouble)
        assert not publisher.connected
        shutil.copy(world.ca.cert, ca)
        await until(lambda: publisher.connected and not publisher.trouble)
        await publisher.stop()
        assert await outbox.peek(1) == []
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    told = [record for record in caplog.records if "certificate" in record.message]
    assert [record.levelname for record in told] == ["WARNING"]
    assert told[0].exc_info is None


@pytest.fixture(scope="module")
def with_logins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path_factory.mktemp("logins"), users={"cams": "s3cret ${x}"}) as running:
        yield running


@pytest.mark.parametrize("way", ["variable", "template", "template's file", "file"])
async def test_a_login_comes_from_the_environment_or_a_file(with_logins, tmp_path, way):
    secret, config = tmp_path / "mqtt_password", tmp_path / "whosthere.yaml"
    secret.write_text("s3cret ${x}\n")
    environ, lines = {
        "variable": ({"WHOSTHERE_MQTT__USERNAME": "cams", "WHOSTHERE_MQTT__PASSWORD_FILE": str(secret)}, ""),
        "template": ({"USER": "cams", "PASS": "s3cret ${x}"}, 'username: "${USER}", password: "${PASS}"'),
        "template's file": ({"PASS_FILE": str(secret)}, 'username: cams, password: "${PASS}"'),
        "file": ({"WHOSTHERE_MQTT__PASSWORD_FILE": str(secret)}, "username: cams"),
    }[way]
    config.write_text(f"mqtt: {{{lines}}}")

    assert await try_broker(load(config, [f"mqtt.port={with_logins.port}"], environ).mqtt) == "5"


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({}, "mqtt.password: variable PASS is not set; set it, or PASS_FILE to a file's path"),
        ({"PASS_FILE": "/nowhere/p"}, "mqtt.password: variable PASS_FILE: /nowhere/p can't be read"),
        ({"PASS": "x", "WHOSTHERE_MQTT__USERNAME_FILE": "/nowhere/u"}, "USERNAME_FILE: /nowhere/u can't be read"),
    ],
)
def test_a_variable_or_file_that_is_missing_is_refused(tmp_path, environ, told):
    config = tmp_path / "whosthere.yaml"
    config.write_text('mqtt: {username: cams, password: "${PASS}"}')
    with pytest.raises(CodedError) as refused:
        load(config, (), environ)

    assert refused.value.code == "config_invalid"
    assert told in str(refused.value)


async def _code_of(asked: object) -> str:
    with pytest.raises(BrokerError) as refused:
        await asked  # type: ignore[misc]
    return refused.value.code


def _in(folder: Path, tls: dict[str, str]) -> dict[str, object]:
    return {key: value if key == "server_name" else folder / value for key, value in tls.items()}
