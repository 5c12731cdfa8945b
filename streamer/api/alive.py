"""`python -m streamer.api.alive`: exit code 0 if the service of this configuration lives; a container's health check.

Asks /healthz from this machine, over TLS where that is set; nothing is sent that needs a certificate to be checked.
"""

import http.client
import ssl
import sys
from contextlib import closing
from ipaddress import ip_address

from recognition.errors import CodedError
from streamer.settings import HttpSettings
from streamer.settings_reading import read_layers

LIMIT_S = 4.0


def main() -> int:
    try:
        settings = read_layers(uses_broker=False).settings({}).http
    except CodedError as error:
        sys.stderr.write(f"whosthere: {error} [{error.code}]\n")
        return 1
    return 0 if not settings.enabled or lives(settings) else 1


def lives(settings: HttpSettings) -> bool:
    """Whether it answers. Blocks for LIMIT_S at most for each step."""
    try:
        with closing(_connection(settings)) as connection:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False


def host_from_here(host: str) -> str:
    """Where this machine reaches what listens there: on all of its addresses it is loopback."""
    try:
        if ip_address(host).is_unspecified:
            return "::1" if ":" in host else "127.0.0.1"
    except ValueError:
        pass  # a name
    return host


def _connection(settings: HttpSettings) -> http.client.HTTPConnection:
    host = host_from_here(settings.host)
    if settings.tls is None:
        return http.client.HTTPConnection(host, settings.port, timeout=LIMIT_S)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, settings.port, timeout=LIMIT_S, context=context)


if __name__ == "__main__":
    sys.exit(main())
