"""TLS with the broker: what mqtt.tls names is read into a context, what goes wrong is told as an error of ours.

Settings go in; a context for one connection, or a BrokerTlsError, comes out. Blocks for small files and a handshake: on
a thread, but for Connection.recv(), which is the loop's.
"""

import socket
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

from streamer.mqtt.tls.errors import (
    BrokerCertificateExpired,
    BrokerCertificateOtherHost,
    BrokerCertificateSelfSigned,
    BrokerCertificateUntrusted,
    BrokerSpeaksNoTls,
    BrokerTlsError,
    BrokerTlsFailed,
    ClientCertificateMissing,
    ClientCertificateRefused,
    MqttTlsFileInvalid,
    MqttTlsFileUnreadable,
    MqttTlsKeyEncrypted,
    MqttTlsKeyMismatch,
)
from streamer.sections.mqtt import TLS_PORT, MqttTlsSettings

_READ_AT_ONCE = 65_536
_MISMATCH = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
# X509_V_ERR_*, of openssl/x509_vfy.h
_TOO_EARLY, _TOO_LATE, _SELF_SIGNED = 9, 10, 18
_OTHER_HOST = (62, 64)  # by name, by address
# Where the other end answers in the clear, OpenSSL reads its words as a record.
_IN_THE_CLEAR = (
    "WRONG_VERSION_NUMBER",
    "UNKNOWN_PROTOCOL",
    "HTTP_REQUEST",
    "PACKET_LENGTH_TOO_LONG",
    "RECORD_LAYER_FAILURE",
)
_WANTED = "CERTIFICATE_REQUIRED"
_REFUSED = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED", "DECRYPT_ERROR")


class Context(ssl.SSLContext):
    """Of one connection, whose fault it keeps: paho tells of none that comes after the handshake."""

    sslsocket_class: type[ssl.SSLSocket]
    where: str
    tls: MqttTlsSettings
    fault: BrokerTlsError | None

    def wrap_socket(  # type: ignore[override]  # as paho calls it
        self, sock: socket.socket, *, server_hostname: str | None = None, do_handshake_on_connect: bool = True
    ) -> ssl.SSLSocket:
        return super().wrap_socket(
            sock,
            server_hostname=self.tls.server_name or server_hostname,
            do_handshake_on_connect=do_handshake_on_connect,
        )


class Connection(ssl.SSLSocket):
    """Reads ahead, and writes many messages at once: paho asks for single bytes, and sends each message by itself.

    Each call of OpenSSL's gives the interpreter's lock away, and on a busy machine has to wait for it.
    """

    gathers = False
    _ahead = b""
    _unsent = b""

    def send(self, data: Any, flags: int = 0) -> int:  # noqa: ANN401 (whatever is a buffer)
        if not self.gathers:
            return super().send(data, flags)
        self._unsent += bytes(data)
        return len(data)

    def flush(self) -> bool:
        """Write what was gathered; False where some of it has to wait. Raises OSError."""
        while self._unsent:
            try:
                written = super().send(self._unsent)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return False
            self._unsent = self._unsent[written:]
        return True

    def close(self) -> None:
        with suppress(OSError, ValueError):
            self.flush()
        super().close()

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError as error:
            self.close()
            raise _told(error, self.context) from None

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        if not self._ahead:
            try:
                self._ahead = super().recv(max(buflen, _READ_AT_ONCE), flags)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except ssl.SSLError as error:
                if isinstance(self.context, Context):
                    self.context.fault = _told(error, self.context)
                raise
        found, self._ahead = self._ahead[:buflen], self._ahead[buflen:]
        return found

    def pending(self) -> int:
        return len(self._ahead) + super().pending()


def read_context(tls: MqttTlsSettings, where: str) -> Context:
    """What is in the files now. Raises MqttTlsFileUnreadable, -FileInvalid, -KeyEncrypted and -KeyMismatch."""
    context = Context(ssl.PROTOCOL_TLS_CLIENT)  # which verifies the certificate and whom it is for
    context.sslsocket_class = Connection
    context.where, context.tls, context.fault = where, tls, None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a CA between is trusted as it is named, and a broker itself
    if tls.ca is None:
        context.load_default_certs()
    else:
        _read(tls.ca, "ca", "BEGIN CERTIFICATE", "a certificate")
        try:
            context.load_verify_locations(tls.ca)
        except (OSError, ValueError) as error:
            raise MqttTlsFileInvalid(f"mqtt.tls.ca {tls.ca} can't be used ({_why(error)}); get another") from None
    if tls.cert is not None and tls.key is not None:
        _load_own(context, tls.cert, tls.key)
    return context


def _load_own(context: Context, cert: Path, key: Path) -> None:
    _read(cert, "cert", "BEGIN CERTIFICATE", "a certificate")
    if "ENCRYPTED" in _read(key, "key", "PRIVATE KEY", "a private key"):
        raise MqttTlsKeyEncrypted(f"mqtt.tls.key {key} has a password; store it without one (openssl pkey)")
    try:
        context.load_cert_chain(cert, key, password="")
    except (OSError, ValueError) as error:
        if getattr(error, "reason", None) in _MISMATCH:
            raise MqttTlsKeyMismatch(
                f"mqtt.tls.key {key} is not the key of the first certificate in mqtt.tls.cert {cert}; give the two "
                "that match"
            ) from None
        raise MqttTlsFileInvalid(f"mqtt.tls: {cert} with {key} can't be used ({_why(error)}); get others") from None


def _read(path: Path, key: str, mark: str, what: str) -> str:
    try:
        text = path.read_text(encoding="latin-1")
    except OSError as error:
        raise MqttTlsFileUnreadable(
            f"mqtt.tls.{key} {path} can't be read ({error.strerror}); check the path, and that this user may read it"
        ) from None
    if mark not in text:
        raise MqttTlsFileInvalid(f"mqtt.tls.{key} {path} holds no {what.removeprefix('a ')} in PEM; give {what} in PEM")
    return text


def speaks_tls(host: str, port: int, within_s: float) -> bool:
    """Whether there is a TLS server. Blocks; nothing is sent but a hello, and nothing of the answer is trusted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), within_s) as plain,
            context.wrap_socket(plain, server_hostname=host or None),
        ):
            return True
    except ssl.SSLError as error:  # a refusal is said in TLS, too
        return "ALERT" in (error.reason or "")
    except (OSError, ValueError):
        return False


def _told(error: OSError, context: ssl.SSLContext) -> BrokerTlsError:
    assert isinstance(context, Context)
    tls, where, reason = context.tls, context.where, getattr(error, "reason", None) or ""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate_told(error, where, tls)
    if reason in _IN_THE_CLEAR or isinstance(
        error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ConnectionError | TimeoutError
    ):
        return BrokerSpeaksNoTls(
            f"{where} does not answer in TLS; give the port at which it does (mostly {TLS_PORT}), or leave mqtt.tls out"
        )
    if "ALERT" in reason and any(word in reason for word in _REFUSED):
        if _WANTED in reason or tls.cert is None:
            return ClientCertificateMissing(f"{where} wants a client certificate; set mqtt.tls.cert and mqtt.tls.key")
        return ClientCertificateRefused(
            f"{where} refuses the client certificate mqtt.tls.cert {tls.cert} ({_why(error)}); get one that its CA has "
            "signed and that is valid"
        )
    hint = "" if tls.cert else ", and whether it wants a client certificate (mqtt.tls.cert)"
    return BrokerTlsFailed(f"{where}: TLS does not come about ({_why(error)}); look into the broker's log{hint}")


def _certificate_told(error: ssl.SSLCertVerificationError, where: str, tls: MqttTlsSettings) -> BrokerTlsError:
    code, message = error.verify_code, error.verify_message
    if code in (_TOO_EARLY, _TOO_LATE):
        state, do = ("has expired", "renew it") if code == _TOO_LATE else ("is not valid yet", "wait")
        return BrokerCertificateExpired(
            f"{where}: its certificate, or its CA's, {state} by this machine's clock; {do}, or set the clock"
        )
    if code in _OTHER_HOST:
        return BrokerCertificateOtherHost(
            f"{where}: its certificate is for another host ({message.rstrip('.')}); set mqtt.host to a name that is in "
            "it, or mqtt.tls.server_name where the broker is reached by another"
        )
    ca = "the system's CAs" if tls.ca is None else f"the CAs in mqtt.tls.ca {tls.ca}"
    if code == _SELF_SIGNED:
        return BrokerCertificateSelfSigned(
            f"{where}: its certificate is signed by itself and not among {ca}; if it is the right one, name a copy of "
            "it as mqtt.tls.ca"
        )
    return BrokerCertificateUntrusted(
        f"{where}: its certificate is signed by none of {ca} ({message}); name the CA that signed it as mqtt.tls.ca"
    )


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and not error.reason:
        return "it is damaged"
    reason: Any = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return str(reason).replace("_", " ").lower()
