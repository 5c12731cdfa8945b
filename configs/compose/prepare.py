"""The first step of docker-compose.yml: passwords of .env in; an own CA, certificates and the broker's files out.

Run as root in a container of its own, without a network, each time that the stack starts. What is there and still good
stays: the CA for ten years, certificates until a month before their end. Blocks for the disk.
"""

import base64
import datetime
import hashlib
import os
import secrets
import sys
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NEEDED = ("MQTT_PASSWORD", "MQTT_HOME_PASSWORD")
SHORTEST = 8
# Of the images of docker-compose.yml: mosquitto's user, and ours.
OWNERS = {"mosquitto": 1883, "whosthere": 10001}
CA_DAYS, CERTIFICATE_DAYS, RENEW_DAYS = 3650, 397, 30
ROUNDS = 101  # as mosquitto_passwd has it
ACL = """user whosthere
topic readwrite #
user home
topic read #
topic write homeassistant/status
"""


def main(environ: Mapping[str, str], folder: Path) -> int:
    if faults := wrong_passwords(environ):
        for fault in faults:
            say(fault)
        return 1
    names = [name for name in environ.get("TLS_NAMES", "").replace(",", " ").split() if name]
    try:
        authority = find_authority(folder)
        for who in OWNERS:
            place = folder / who
            place.mkdir(mode=0o700, exist_ok=True)
            if not still_good(place / "tls.crt", authority[0], sorted({who, *names})):
                issue(place, authority, [who, "localhost", "127.0.0.1", *names])
                say(f"a certificate for {who}, for {CERTIFICATE_DAYS} days")
        write(folder / "mosquitto" / "passwords", password_lines(environ))
        write(folder / "mosquitto" / "acl", ACL)
        for who, uid in OWNERS.items():
            for path in (folder / who, *(folder / who).iterdir()):
                if os.geteuid() == 0:
                    os.chown(path, uid, uid)
    except (OSError, ValueError) as error:
        say(f"{folder}: {error}; if it can't be mended, make the volume anew: docker volume rm whosthere_certs")
        return 1
    say(f"done; whoever is to trust the certificates gets {folder / 'ca.crt'}")
    return 0


def say(line: str) -> None:
    sys.stderr.write(f"prepare: {line}\n")


def wrong_passwords(environ: Mapping[str, str]) -> list[str]:
    """What is wrong with those of .env, a line each; a password itself is never said."""
    faults = []
    for name in NEEDED:
        value = environ.get(name, "")
        if not value:
            faults.append(f"{name} is not set; write one into .env")
        elif len(value) < SHORTEST or value.startswith("change-me"):
            faults.append(f"{name} in .env is no password yet; take one of {SHORTEST} characters or more")
        elif any(ord(character) < 32 for character in value):
            faults.append(f"{name} in .env has a control character in it; take another one")
    return faults


def password_lines(environ: Mapping[str, str]) -> str:
    """mosquitto's password file: PBKDF2 with SHA-512, as its own mosquitto_passwd writes it."""
    lines = []
    for user, name in (("whosthere", "MQTT_PASSWORD"), ("home", "MQTT_HOME_PASSWORD")):
        salt = secrets.token_bytes(12)
        hashed = hashlib.pbkdf2_hmac("sha512", environ[name].encode(), salt, ROUNDS)
        coded = (base64.b64encode(part).decode() for part in (salt, hashed))
        lines.append(f"{user}:$7${ROUNDS}$" + "$".join(coded) + "\n")
    return "".join(lines)


Authority = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def find_authority(folder: Path) -> Authority:
    """The CA that is there, else a new one. Its key is root's alone."""
    private = folder / "private"
    private.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (folder / "ca.crt").exists() and (private / "ca.key").exists():
        certificate = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
        key = serialization.load_pem_private_key((private / "ca.key").read_bytes(), None)
        if isinstance(key, ec.EllipticCurvePrivateKey) and days_left(certificate) > CERTIFICATE_DAYS:
            return certificate, key
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"whosthere CA {secrets.token_hex(4)}")])
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    certificate = (
        builder(name, name, key.public_key(), CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write(private / "ca.key", pem(key))
    write(folder / "ca.crt", certificate.public_bytes(serialization.Encoding.PEM).decode(), 0o644)
    say(f"a new CA, for {CA_DAYS // 365} years")
    return certificate, key


def issue(place: Path, authority: Authority, names: list[str]) -> None:
    """tls.crt with the CA's certificate behind it, and tls.key."""
    ca, ca_key = authority
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    certificate = (
        builder(subject, ca.subject, key.public_key(), CERTIFICATE_DAYS)
        .add_extension(
            x509.SubjectAlternativeName([general_name(name) for name in dict.fromkeys(names)]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    both = (part.public_bytes(serialization.Encoding.PEM).decode() for part in (certificate, ca))
    write(place / "tls.key", pem(key))
    write(place / "tls.crt", "".join(both), 0o644)


def builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # clocks of other machines
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def still_good(file: Path, ca: x509.Certificate, wanted: list[str]) -> bool:
    """Whether it is of this CA, for these names, and for a month more."""
    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
        certificate.verify_directly_issued_by(ca)
        told = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except Exception:  # noqa: BLE001  # whatever is wrong with it: a new one is made
        return False
    return {general_name(name) for name in wanted} <= set(told) and days_left(certificate) > RENEW_DAYS


def days_left(certificate: x509.Certificate) -> int:
    return (certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)).days


def pem(key: ec.EllipticCurvePrivateKey) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def write(file: Path, text: str, mode: int = 0o600) -> None:
    """Whole or not at all."""
    draft = file.with_name(f".{file.name}.new")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as opened:
        opened.write(text)
    draft.replace(file)


if __name__ == "__main__":
    sys.exit(main(os.environ, Path(sys.argv[1] if len(sys.argv) > 1 else "/certs")))
