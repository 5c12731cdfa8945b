"""`ingest.webrtc.ice_servers` in; the servers that know ways through NATs, and what peers are told of them, out.

Needs no extra. Secrets are in place here: never log a server.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from streamer.errors import CameraVariableUnset, ConfigInvalid
from streamer.variables import expand_secret

_KEY = "ingest.webrtc.ice_servers"
_SERVER = re.compile(
    r"(?P<scheme>stuns?|turns?):(?:(?P<user>[^@:]*):(?P<password>[^@]*)@)?"
    r"(?P<place>[A-Za-z0-9._-]+(?::(?P<port>\d{1,5}))?(?:\?transport=(?:udp|tcp))?)"
)


@dataclass(frozen=True, slots=True)
class IceServer:
    """url: as RFC 7064 and 7065 have it, without a login."""

    url: str
    username: str = ""
    credential: str = field(default="", repr=False)

    def link(self) -> str:
        """The value of a Link header (RFC 9725, 4.6)."""
        if not self.username:
            return f'<{self.url}>; rel="ice-server"'
        login = f'username="{_quoted(self.username)}"; credential="{_quoted(self.credential)}"'
        return f'<{self.url}>; rel="ice-server"; {login}; credential-type="password"'


def read_servers(templates: Sequence[str], environ: Mapping[str, str] | None = None) -> tuple[IceServer, ...]:
    """`turn:user:${TURN_PASSWORD}@host:3478`, a login percent-encoded as in any URL. Raises ConfigInvalid."""
    return tuple(_read(number, template, environ) for number, template in enumerate(templates))


def _read(number: int, template: str, environ: Mapping[str, str] | None) -> IceServer:
    where = f"{_KEY}[{number}]"
    try:
        # A variable may hold the whole; else what it holds is no URL, and % in it means %.
        whole = expand_secret(template, environ) if template.startswith("${") else template
        parts = _SERVER.fullmatch(whole)
        if parts is None or (parts["scheme"].startswith("stun") and (parts["user"] or "?" in parts["place"])):
            raise ConfigInvalid(
                f"{where}: want stun:HOST:PORT or turn:USER:PASSWORD@HOST:PORT?transport=udp; "
                "HOST is a name or an IPv4 address"
            )
        if not 0 < int(parts["port"] or 3478) < 65536:
            raise ConfigInvalid(f"{where}: a port is 1 to 65535")
        if parts["scheme"].startswith("turn") and not parts["user"]:
            raise ConfigInvalid(f"{where}: a TURN server needs a login; write turn:USER:PASSWORD@HOST:PORT")
        user, password = (expand_secret(unquote(parts[key] or ""), environ) for key in ("user", "password"))
    except CameraVariableUnset as unset:
        raise ConfigInvalid(f"{where}: {unset}") from None
    return IceServer(f"{parts['scheme']}:{parts['place']}", user, password)


def _quoted(value: str) -> str:
    """Inside a quoted-string (RFC 9110, 5.6.4)."""
    return value.replace("\\", "\\\\").replace('"', '\\"')
