"""A URL that gives one picture: asked again and again, over one connection where the camera keeps it open.

A picture's bytes come out, or that it is the last one still (RFC 9110, 13.1); on the camera's thread, blocks up to the
read limit.
"""

import httpx

from streamer.ingest import faults
from streamer.ingest.address import Address
from streamer.ingest.logins.login import http_client

MOST_BYTES = 64 * 2**20


class SnapshotClient:
    """Of one opening; close() it."""

    def __init__(self, where: Address, limit_s: float) -> None:
        self._where = where
        self._limit_s = limit_s
        self._client = http_client(where.target, limit_s)
        self._known: dict[str, str] = {}

    def close(self) -> None:
        self._client.close()

    def fetch(self) -> bytes | None:
        """The picture; None where the camera says that it is the last one still. Raises CameraError."""
        try:
            return self._fetch()
        except httpx.TimeoutException:
            raise faults.stalled(self._where, self._limit_s) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # Its text may hold the URL.
            raise faults.lost(self._where, f"its answer broke off, {type(error).__name__}") from None

    def _fetch(self) -> bytes | None:
        with self._client.stream("GET", self._where.target, headers=self._known) as answer:
            if answer.status_code == httpx.codes.NOT_MODIFIED:
                answer.read()  # nothing; or the connection would be closed
                return None
            if answer.status_code >= httpx.codes.BAD_REQUEST:
                raise faults.refused(self._where, answer.status_code)
            told = {"If-None-Match": "ETag", "If-Modified-Since": "Last-Modified"}
            self._known = {ask: answer.headers[tag] for ask, tag in told.items() if tag in answer.headers}
            data = bytearray()
            for piece in answer.iter_bytes():
                data += piece
                if len(data) > MOST_BYTES:
                    raise faults.undecodable(self._where, "sends a picture without end")
            return bytes(data)
