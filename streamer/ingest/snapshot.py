"""A URL that gives one picture: asked again and again, over one connection where the camera keeps it open.

A picture's bytes come out, or that it is the last one still (RFC 9110, 13.1.2); on the camera's thread, blocks up to
the read limit.
"""

import time
from collections.abc import Callable

import httpx

from streamer.errors import StreamLost
from streamer.ingest import faults
from streamer.ingest.address import Address
from streamer.ingest.logins.login import CameraAuth, http_client, login_of

MOST_BYTES = 64 * 2**20
_MOST_HOPS = 5


class SnapshotClient:
    """Of one opening; close() it. stopped(): whether nobody wants the picture any more."""

    def __init__(self, where: Address, limit_s: float, stopped: Callable[[], bool]) -> None:
        login = login_of(where.target)
        self._where = where
        self._limit_s = limit_s
        self._stopped = stopped
        self._auth = None if login is None else CameraAuth(login)
        try:
            self._url = httpx.URL(where.target)
        except (httpx.InvalidURL, ValueError):
            raise faults.undecodable(where, "has a URL that can't be asked again") from None
        self._client = http_client(limit_s)
        self._known: dict[str, str] = {}

    def close(self) -> None:
        self._client.close()

    def fetch(self) -> bytes | None:
        """The picture; None where the camera says that it is the last one still. Raises CameraError."""
        until_s = time.monotonic() + self._limit_s
        url = self._url
        try:
            for _ in range(_MOST_HOPS):
                found = self._ask(url, until_s)
                if not isinstance(found, httpx.URL):
                    return found
                url = found
        except httpx.TimeoutException:
            raise faults.stalled(self._where, self._limit_s) from None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            # Its text may hold the URL.
            raise self._lost(f"its answer can't be read, {type(error).__name__}") from None
        raise self._lost("it sends from one URL to the next")

    def _ask(self, url: httpx.URL, until_s: float) -> bytes | httpx.URL | None:
        """One request: the picture, that it is the last one still, or where else it is."""
        is_ours = url.host == self._url.host and url.port == self._url.port and url.scheme == self._url.scheme
        auth = self._auth if is_ours else None
        with self._client.stream("GET", url.copy_with(userinfo=b""), headers=self._known, auth=auth) as answer:
            if answer.next_request is not None:
                return answer.next_request.url
            if answer.status_code == httpx.codes.NOT_MODIFIED:
                answer.read()  # nothing; or the connection would be closed
                return None
            if answer.status_code >= httpx.codes.BAD_REQUEST:
                raise faults.refused(self._where, answer.status_code)
            # No Last-Modified: it has whole seconds, and what changed within one would not be seen.
            tag = answer.headers.get("ETag", "")
            self._known = {"If-None-Match": tag} if tag.isascii() and tag else {}
            data = bytearray()
            for piece in answer.iter_bytes():
                data += piece
                if len(data) > MOST_BYTES:
                    raise faults.undecodable(self._where, "sends a picture without end")
                if time.monotonic() > until_s:
                    raise faults.stalled(self._where, self._limit_s)
                if self._stopped():
                    raise self._lost("it was left")
            if not data:
                raise faults.undecodable(self._where, "sends an empty picture")
            return bytes(data)

    def _lost(self, why: str) -> StreamLost:
        return faults.lost(self._where, why)
