"""Why TLS with the broker does not come about; the family is streamer/errors.py's.

BrokerError
└── BrokerTlsError
    ├── BrokerSpeaksNoTls             broker_speaks_no_tls
    ├── BrokerWantsTls                broker_wants_tls
    ├── BrokerTlsFailed               broker_tls_failed
    ├── BrokerCertificateExpired      broker_certificate_expired
    ├── BrokerCertificateOtherHost    broker_certificate_other_host
    ├── BrokerCertificateSelfSigned   broker_certificate_self_signed
    ├── BrokerCertificateUntrusted    broker_certificate_untrusted
    ├── ClientCertificateMissing      client_certificate_missing
    ├── ClientCertificateRefused      client_certificate_refused
    ├── MqttTlsFileUnreadable         mqtt_tls_file_unreadable
    ├── MqttTlsFileInvalid            mqtt_tls_file_invalid
    ├── MqttTlsKeyEncrypted           mqtt_tls_key_encrypted
    └── MqttTlsKeyMismatch            mqtt_tls_key_mismatch

None is retryable: somebody has to do something, on this machine or on the broker's; it is tried again slowly.
"""

from streamer.errors import BrokerError


class BrokerTlsError(BrokerError):
    """TLS with the broker does not come about; whoever mends it has to do so on one of the two machines."""

    code = "broker_tls_error"


class BrokerSpeaksNoTls(BrokerTlsError):
    code = "broker_speaks_no_tls"


class BrokerWantsTls(BrokerTlsError):
    """mqtt.tls is not set, and the broker speaks TLS at that port."""

    code = "broker_wants_tls"


class BrokerTlsFailed(BrokerTlsError):
    """No version or cipher in common, or something that has no code of its own."""

    code = "broker_tls_failed"


class BrokerCertificateExpired(BrokerTlsError):
    """Or not valid yet, by this machine's clock."""

    code = "broker_certificate_expired"


class BrokerCertificateOtherHost(BrokerTlsError):
    code = "broker_certificate_other_host"


class BrokerCertificateSelfSigned(BrokerTlsError):
    code = "broker_certificate_self_signed"


class BrokerCertificateUntrusted(BrokerTlsError):
    """Signed by none of the CAs that are trusted."""

    code = "broker_certificate_untrusted"


class ClientCertificateMissing(BrokerTlsError):
    """The broker wants one, and mqtt.tls has none."""

    code = "client_certificate_missing"


class ClientCertificateRefused(BrokerTlsError):
    code = "client_certificate_refused"


class MqttTlsFileUnreadable(BrokerTlsError):
    code = "mqtt_tls_file_unreadable"


class MqttTlsFileInvalid(BrokerTlsError):
    code = "mqtt_tls_file_invalid"


class MqttTlsKeyEncrypted(BrokerTlsError):
    code = "mqtt_tls_key_encrypted"


class MqttTlsKeyMismatch(BrokerTlsError):
    code = "mqtt_tls_key_mismatch"
