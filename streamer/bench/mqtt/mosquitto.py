"""A mosquitto of the benchmark's own on 127.0.0.1: one port in clear, one with TLS and a certificate made for it.

A folder goes in, two addresses come out for as long as the context lasts. Blocks for the milliseconds of a start.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from streamer.errors import BenchFailed
from streamer.sections.mqtt import MqttTlsSettings
from streamer.settings import MqttSettings

STARTS_WITHIN_S = 10.0
_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin"))


@contextmanager
def mosquitto(folder: Path) -> Iterator[tuple[dict[str, MqttSettings], int]]:
    """`plain` and `tls`, and its pid. Raises BenchFailed where there is no mosquitto, or it does not start."""
    program = shutil.which("mosquitto", path=_PATH)
    if program is None:
        raise BenchFailed("mosquitto is not installed; install it (Debian: apt-get install mosquitto)")
    cert, key = _certificate(folder)
    plain, tls = _free_port(), _free_port()
    lines = [
        *(["user root"] if os.geteuid() == 0 else []),
        "allow_anonymous true",
        f"listener {plain} 127.0.0.1",
        f"listener {tls} 127.0.0.1",
        f"certfile {cert}",
        f"keyfile {key}",
    ]
    config = folder / "mosquitto.conf"
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    process = subprocess.Popen([program, "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for port in (plain, tls):
            _await(process, port)
        ways = {"plain": MqttSettings(port=plain), "tls": MqttSettings(port=tls, tls=MqttTlsSettings(ca=cert))}
        yield ways, process.pid
    finally:
        process.terminate()
        process.wait(10)


def _await(process: subprocess.Popen[bytes], port: int) -> None:
    give_up_s = time.monotonic() + STARTS_WITHIN_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > give_up_s:
                raise BenchFailed("mosquitto does not start; try `mosquitto -v` by hand") from None
            time.sleep(0.02)
        else:
            return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _certificate(folder: Path) -> tuple[Path, Path]:
    """Signed by itself, for 127.0.0.1 and a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")]), datetime.now(UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "bench.pem", folder / "bench.key"
    files[0].write_bytes(cert.public_bytes(Encoding.PEM))
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files
