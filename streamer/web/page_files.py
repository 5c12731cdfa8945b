"""A folder of the package in; its files out as answers, each with its entity tag and packed where that is smaller.

They are the same for everybody and hold nothing private. Read once, when they are made; afterwards from memory.
"""

import gzip
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import Response

from streamer.web.encoding import takes_gzip

_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
_PACKED_ALREADY = (".png", ".woff2")


@dataclass(frozen=True, slots=True)
class _File:
    """packed: by gzip, None where that saves nothing. tag: without its quotes."""

    media_type: str
    whole: bytes
    packed: bytes | None
    tag: str

    @classmethod
    def of(cls, name: str, content: bytes) -> "_File":
        kind = name[name.rindex(".") :]
        packed = None if kind in _PACKED_ALREADY else gzip.compress(content, 9, mtime=0)
        if packed is not None and len(packed) >= len(content):
            packed = None
        return cls(_TYPES[kind], content, packed, hashlib.sha256(content).hexdigest()[:32])


class PageFiles:
    """By their names, those in folders below as `folder/name`. KeyError for a kind of file that has no media type here.

    policy: their Content-Security-Policy; headers: what else each answer says.
    """

    def __init__(self, folder: Traversable, policy: str, headers: Mapping[str, str] | None = None) -> None:
        self._files = {name: _File.of(name, file.read_bytes()) for name, file in _below(folder, "")}
        self._headers = {
            "Content-Security-Policy": policy,
            "Cache-Control": "no-cache",  # kept, and asked about each time: a new version is there at once
            "Vary": "Accept-Encoding",
            **(headers or {}),
        }

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def answer(self, request: Request, name: str) -> Response:
        """304 where the request's If-None-Match has it already. KeyError where there is none of that name."""
        file = self._files[name]
        packed = file.packed if takes_gzip(request.headers) else None
        etag = f'"{file.tag}"' if packed is None else f'"{file.tag}-gzip"'
        headers = {**self._headers, "ETag": etag}
        known = {one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")}
        if known & {etag, "*"}:
            return Response(status_code=304, headers=headers)
        if packed is not None:
            headers["Content-Encoding"] = "gzip"
        return Response(file.whole if packed is None else packed, headers=headers, media_type=file.media_type)


def _below(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for one in folder.iterdir():
        if one.is_dir():
            yield from _below(one, f"{prefix}{one.name}/")
        else:
            yield prefix + one.name, one
