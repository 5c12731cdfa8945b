"""Whether anybody answers at a camera's address: asked before it is opened again, where nobody did the last time.

A URL goes in. Where packets vanish TCP asks again after 1, 3 and 7 s alone, and a camera that is back would wait for
that; whoever asks anew every so often does not. On the loop, which no name is resolved for.
"""

import asyncio
from ipaddress import ip_address
from urllib.parse import urlsplit

ANSWERS_WITHIN_S = 1.5  # and TCP asks a second time within it
# So many answers one after another are taken for no answer; then it is opened all the same, which waits for longer.
MOST = 5
_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}


class Reach:
    """Of one camera."""

    def __init__(self) -> None:
        self._unanswered = 0

    async def is_silent(self, url: str) -> bool:
        """Whether nobody has answered, not even to refuse; False too where that can't be known."""
        where = _where(url)
        if where is None or self._unanswered >= MOST:
            self._unanswered = 0
            return False
        try:
            async with asyncio.timeout(ANSWERS_WITHIN_S):
                _, writer = await asyncio.open_connection(*where)
        except TimeoutError:
            self._unanswered += 1
            return True
        except OSError:
            return False
        self._unanswered = 0
        writer.close()
        return False


def _where(url: str) -> tuple[str, int] | None:
    """Address and port; None where there is none, or a name, which somebody would have to be asked about."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme.lower()]
        return str(ip_address(parts.hostname or "")), port
    except (ValueError, KeyError):
        return None
