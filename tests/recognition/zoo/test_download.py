"""Downloads against a real HTTP server on loopback, with every trouble that a network has."""

import fcntl
import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request

import pytest

from recognition.errors import DownloadFailed, DownloadRefused, WeightsFolderUnwritable
from recognition.zoo.download import Download, _SafeRedirects, fetch
from tests.small_disk import fill, small_disk
from tests.weights_server import WeightsServer, weights_server

DATA = bytes(range(256)) * 4096  # 1 MiB, and no two parts of it alike
OTHER = DATA[::-1]
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def server() -> Iterator[WeightsServer]:
    with weights_server() as served:
        yield served


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "weights" / "pack.zip.part"


def get(url: str, part: Path, size: int = len(DATA), *, exact: bool = False) -> str:
    return fetch(Download(url, part, size, exact), lambda done, total: None)


def ranges(server: WeightsServer) -> list[str | None]:
    return [wanted for _, wanted in server.asked]


def test_a_whole_file_with_its_progress(server, part):
    told = []
    url = server.serve("a.zip", DATA)
    assert fetch(Download(url, part, len(DATA), True), lambda *far: told.append(far)) == DIGEST
    assert part.read_bytes() == DATA
    assert told[0] == (0, len(DATA))
    assert told[-1] == (len(DATA), len(DATA))
    assert told == sorted(told)


def broken_off(server, part, **trouble) -> str:
    """A download that ended after 1000 bytes; the next one finds the server in order."""
    url = server.serve("a.zip", DATA, cuts=[1000, 1000 if trouble else 0], **trouble)
    with pytest.raises(DownloadFailed, match=r"broke off with 1000 bytes here .*run it again to go on"):
        get(url, part)
    server.asked.clear()
    return url


def test_a_download_that_broke_off_is_gone_on_with(server, part):
    url = broken_off(server, part)
    assert part.read_bytes() == DATA[:1000]
    assert get(url, part) == DIGEST
    assert ranges(server) == ["bytes=1000-"]


def test_a_connection_that_brought_something_is_taken_up_again_at_once(server, part):
    url = server.serve("a.zip", DATA, cuts=[1000, 5000, 20])
    assert get(url, part) == DIGEST
    assert ranges(server) == [None, "bytes=1000-", "bytes=6000-", "bytes=6020-"]


def test_a_server_without_range_sends_it_all_again(server, part):
    url = broken_off(server, part, ranges=False)
    assert get(url, part) == DIGEST
    assert part.read_bytes() == DATA


def test_two_versions_of_a_file_are_never_put_together(server, part):
    url = broken_off(server, part)
    server.serve("a.zip", OTHER, etag='"two"')
    get(url, part)
    assert part.read_bytes() == OTHER


@pytest.mark.parametrize("etag", [None, 'W/"one"'])
def test_without_a_sure_sign_of_the_version_it_begins_anew(server, part, etag):
    url = broken_off(server, part, etag=etag)
    assert get(url, part) == DIGEST
    assert ranges(server) == [None]


def test_another_address_s_part_is_not_gone_on_with(server, part):
    broken_off(server, part)
    assert get(server.serve("b.zip", DATA), part) == DIGEST
    assert ranges(server) == [None]


def test_a_whole_part_is_not_fetched_again(server, part):
    url = server.serve("a.zip", DATA)
    get(url, part)
    server.files["a.zip"].data = DATA
    assert get(url, part) == DIGEST
    assert ranges(server) == [None, f"bytes={len(DATA)}-"]


def test_a_part_longer_than_the_file_is_dropped(server, part):
    url = server.serve("a.zip", DATA)
    get(url, part)
    part.write_bytes(DATA + b"more")
    assert get(url, part) == DIGEST
    assert part.read_bytes() == DATA


@pytest.mark.parametrize(("status", "error"), [(404, DownloadRefused), (403, DownloadRefused), (503, DownloadFailed)])
def test_a_server_s_no(server, part, status, error):
    with pytest.raises(error, match=f"answers {status} "):
        get(server.serve("a.zip", DATA, status=status), part)
    assert list(part.parent.iterdir()) == []


def test_nobody_there(part):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DownloadFailed, match=r"can't be reached \(Connection refused\); without a network: .* import"):
        get(f"http://127.0.0.1:{port}/a.zip", part)


@pytest.mark.parametrize("tell_length", [True, False])
@pytest.mark.parametrize(
    ("size", "exact", "about"), [(len(DATA) - 1, True, ""), (len(DATA) // 2, False, "about "), (10, True, "")]
)
def test_another_size_than_the_catalogue_s(server, part, size, exact, about, tell_length):
    with pytest.raises(DownloadRefused, match=f"the catalogue says {about}{size}: it is another file"):
        get(server.serve("a.zip", DATA, tell_length=tell_length), part, size, exact=exact)
    assert not part.exists() or part.stat().st_size <= size + size // 2


def test_a_file_that_ends_early_and_never_said_how_long_it_is(server, part):
    with pytest.raises(DownloadRefused, match="sends 1000 bytes"):
        get(server.serve("a.zip", DATA, cuts=[1000], tell_length=False), part, exact=True)


def test_redirects(server, part):
    there = server.serve("there.zip", DATA)
    assert get(server.serve("a.zip", b"", redirect=there), part) == DIGEST
    with pytest.raises(DownloadRefused, match="answers 302"):
        get(server.serve("b.zip", b"", redirect="file:///etc/hostname"), part)


@pytest.mark.parametrize(("there", "followed"), [("https://b/c", True), ("http://b/c", False), ("ftp://b/c", False)])
def test_https_is_never_left(there, followed):
    def ask() -> Request | None:
        return _SafeRedirects().redirect_request(Request("https://a/c"), None, 302, "Found", {}, there)

    if followed:
        assert ask().full_url == there
        return
    with pytest.raises(DownloadRefused, match=r"https://a/c redirects to .*, which is not safe"):
        ask()


def test_a_full_disk_keeps_what_was_fetched(server):
    url = server.serve("a.zip", DATA)
    with small_disk(2) as disk:
        hog = fill(disk)
        with hog.open("r+b") as file:
            file.truncate(hog.stat().st_size - (1 << 18))
        part = disk / "a.zip.part"
        with pytest.raises(WeightsFolderUnwritable, match=r"a\.zip\.part can't be written \(No space left on device\)"):
            get(url, part)
        had = part.stat().st_size
        assert 0 < had < len(DATA)
        hog.unlink()
        assert get(url, part) == DIGEST
    assert ranges(server) == [None, f"bytes={had}-"]


def test_a_folder_that_can_t_be_made(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WeightsFolderUnwritable):
        get(server.serve("a.zip", DATA), tmp_path / "file" / "a.zip.part")


def test_two_never_fetch_into_one_file(server, part):
    url = server.serve("a.zip", DATA)
    part.parent.mkdir()
    with part.open("wb") as other:
        other.write(b"x")
        other.flush()
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(DownloadRefused, match="is being fetched by another whosthere"):
            get(url, part)
    assert server.asked == []
