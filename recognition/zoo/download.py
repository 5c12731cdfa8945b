"""Downloads: a URL in, a whole file on the disk and its SHA-256 out. The only place that fetches weights.

Blocks for the download, on the caller's thread; nothing but `models pull` may call it. What was fetched stays in
the .part file when a download ends early, and the next call goes on from there.
"""

import fcntl
import hashlib
import http.client
import re
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request

from recognition.errors import DownloadFailed, DownloadRefused, WeightsFolderUnwritable

SILENCE_LIMIT_S = 30.0
CHUNK = 1 << 18
# A connection that breaks is taken up again at once while each brings something; then it is for the user to do.
ATTEMPTS = 20

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class Download:
    """What to fetch and where to. `size` in bytes; not `exact`: only so much that it bounds what is taken."""

    url: str
    part: Path
    size: int
    exact: bool

    @property
    def limit(self) -> int:
        return self.size if self.exact else self.size + self.size // 2


class _CutOff(Exception):
    """The connection ended before the file did."""


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only to http(s), and from https only to https."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage, newurl: str
    ) -> Request | None:
        there = urlsplit(newurl).scheme
        if there not in ("http", "https") or (req.type == "https" and there != "https"):
            raise DownloadRefused(f"{req.full_url} redirects to {there}, which is not safe; nothing was fetched")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch(download: Download, progress: Progress) -> str:
    """Fetch into `download.part`, going on with what is there; the SHA-256 of the whole file.

    Raises DownloadFailed (again may help: the part stays), DownloadRefused (it won't), WeightsFolderUnwritable.
    """
    with _disk(download.part), _locked(download.part) as file:
        attempts = 0
        while True:
            had, attempts = _size(file), attempts + 1
            try:
                _attempt(download, file, progress)
                return _digest(file)
            except _CutOff as error:
                if _size(file) <= had or attempts == ATTEMPTS:
                    raise DownloadFailed(
                        f"{download.url}: broke off with {_size(file)} bytes here ({error}); run it again to go on "
                        "from there"
                    ) from None


def discard(part: Path) -> None:
    """Drop what was fetched: it is taken in, or is not what it should be."""
    part.unlink(missing_ok=True)
    _validator_file(part).unlink(missing_ok=True)


@contextmanager
def _locked(part: Path) -> Iterator[IO[bytes]]:
    """The part file, for this process alone. Unbuffered: what is told of as written is written."""
    part.parent.mkdir(parents=True, exist_ok=True)
    with part.open("a+b", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DownloadRefused(f"{part} is being fetched by another whosthere; wait for it") from None
        try:
            yield file
        finally:
            if not _size(file):
                part.unlink()


@contextmanager
def _disk(part: Path) -> Iterator[None]:
    """What is left of OSErrors where those of the network are translated already: the disk's."""
    try:
        yield
    except OSError as error:
        raise WeightsFolderUnwritable(
            f"{part} can't be written ({error.strerror}); make room, or name another folder first in paths.models; "
            "what is there already is not fetched again"
        ) from None


def _attempt(download: Download, file: IO[bytes], progress: Progress) -> None:
    """One request for what is missing; returns when the file is whole."""
    validator = _read_validator(download)
    have = _size(file) if validator else 0  # without one, nothing says that the rest would be of the same file
    headers = {"User-Agent": "whosthere", "Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": validator or ""}
    try:
        with _opener().open(Request(download.url, headers=headers), timeout=SILENCE_LIMIT_S) as response:
            _receive(download, response, file, have, progress)
    except HTTPError as error:
        error.close()
        if error.code != 416 or not have:
            _refuse_status(download, error.code)
        if error.headers.get("Content-Range") != f"bytes */{have}":
            file.truncate(0)  # what is here is longer than the file is now
            _attempt(download, file, progress)
            return
        _hold_to_size(download, have)
        progress(have, have)
    except URLError as error:
        raise DownloadFailed(
            f"{download.url} can't be reached ({getattr(error.reason, 'strerror', None) or error.reason}); without a "
            "network: fetch it on another machine, then `whosthere models import FILE`"
        ) from None
    except (ConnectionError, TimeoutError, http.client.HTTPException) as error:
        raise _CutOff(str(error) or type(error).__name__) from None


def _receive(
    download: Download, response: http.client.HTTPResponse, file: IO[bytes], have: int, progress: Progress
) -> None:
    done = _start(response, have)
    if done != _size(file):
        file.truncate(done)
    length = response.headers.get("Content-Length")
    total = done + int(length) if length and length.isdigit() else None
    if total is not None:
        _hold_to_size(download, total)
    _write_validator(download, response.headers)
    progress(done, total)
    while data := _read(response):
        if done + len(data) > download.limit:
            _hold_to_size(download, done + len(data))
        _write(file, data)
        done += len(data)
        progress(done, total)
    if total is not None and done < total:
        raise _CutOff(f"of {total}")
    _hold_to_size(download, done)


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(CHUNK)
    except (OSError, http.client.HTTPException) as error:  # TLS's errors are OSErrors too
        raise _CutOff(str(error) or type(error).__name__) from None


def _write(file: IO[bytes], data: bytes) -> None:
    """Unbuffered writes may take less than they are given, on a disk that is nearly full."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _start(response: http.client.HTTPResponse, have: int) -> int:
    """Where in the file the response begins: a server without Range, or with another file by now, sends it whole."""
    if response.status != 206:
        return 0
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if found is None or int(found[1]) != have:
        raise DownloadRefused(f"{response.url} answers with another part of the file than was asked for")
    return have


def _hold_to_size(download: Download, size: int) -> None:
    if size > download.limit or (download.exact and size != download.size):
        about = "" if download.exact else "about "
        raise DownloadRefused(
            f"{download.url} sends {size} bytes, the catalogue says {about}{download.size}: it is another file by "
            "now, or no file at all; nothing was taken in"
        )


def _refuse_status(download: Download, status: int) -> None:
    message = f"{download.url} answers {status} {http.client.responses.get(status, '')}".rstrip()
    if status >= 500 or status in (408, 429):
        raise DownloadFailed(f"{message}; try again later")
    raise DownloadRefused(f"{message}; it may have moved: look at its project's page")


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_SafeRedirects)


def _size(file: IO[bytes]) -> int:
    return file.seek(0, 2)


def _digest(file: IO[bytes]) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # a raw file is enough


# What a server calls this version of the file (RFC 9110, If-Range): the rest of another version is never appended.


def _validator_file(part: Path) -> Path:
    return part.with_name(part.name + ".version")


def _write_validator(download: Download, headers: Message) -> None:
    etag = headers.get("ETag", "")
    validator = etag if etag and not etag.startswith("W/") else headers.get("Last-Modified", "")
    _validator_file(download.part).write_text(f"{download.url}\n{validator}\n", encoding="utf-8")


def _read_validator(download: Download) -> str | None:
    try:
        url, validator, *_ = _validator_file(download.part).read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError):
        return None
    return validator or None if url == download.url else None
