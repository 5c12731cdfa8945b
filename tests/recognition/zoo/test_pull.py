"""Pulls from a real HTTP server on loopback: digests held to, receipts kept, and nothing by itself."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from recognition.errors import ArchiveInvalid, SpecInvalid, WeightsDigestMismatch, WeightsFolderUnwritable
from recognition.specs.files import load_specs
from recognition.zoo.catalogue import CatalogueEntry, load_catalogue
from recognition.zoo.pull import already_here, pull
from recognition.zoo.receipts import RECEIPTS, read_receipts
from tests.conftest import PROJECT
from tests.recognition.zoo.test_imports import PACK, files, packed
from tests.small_disk import fill, small_disk
from tests.tiny_networks import embedder
from tests.weights_server import WeightsServer, weights_server


@pytest.fixture
def server() -> Iterator[WeightsServer]:
    with weights_server() as served:
        yield served


@pytest.fixture
def pack(tmp_path: Path) -> bytes:
    return packed(tmp_path, PACK).read_bytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "weights"


def entry_for(server: WeightsServer, data: bytes, **changes: object) -> CatalogueEntry:
    url = server.serve("buffalo_l.zip", data)
    return load_catalogue()["buffalo_l"].model_copy(update={"url": url, "size": len(data), **changes})


def get(entry: CatalogueEntry, folder: Path, told: list[str] | None = None):
    tell = [].append if told is None else told.append
    return pull(entry, folder, load_specs(beside=[folder]), lambda done, total: None, tell)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_the_first_pull_records_its_digest(server, pack, folder):
    told = []
    report = get(entry_for(server, pack), folder, told)
    assert [taken.spec.name for taken in report.taken] == ["det_10g", "w600k_r50"]
    assert told == [f"buffalo_l: sha256 {digest(pack)}, recorded for later pulls"]
    receipt = read_receipts(folder)["buffalo_l"]
    assert (receipt.sha256, receipt.models) == (digest(pack), ("det_10g", "w600k_r50"))
    assert not [name for name in files(folder) if ".part" in name or ".import" in name]


def test_a_later_pull_that_differs_is_refused(server, pack, folder, tmp_path):
    get(entry_for(server, pack), folder)
    before = files(folder)
    other = packed(tmp_path, {**PACK, "w600k_r50.onnx": embedder(seed=5)}).read_bytes()
    with pytest.raises(WeightsDigestMismatch, match=f"the first pull recorded {digest(pack)[:12]}") as refused:
        get(entry_for(server, other), folder)
    assert str(folder / RECEIPTS) in str(refused.value)
    assert files(folder) == before
    assert read_receipts(folder)["buffalo_l"].sha256 == digest(pack)
    get(entry_for(server, pack), folder)


def test_a_pinned_digest(server, pack, folder):
    with pytest.raises(WeightsDigestMismatch, match="the catalogue says 000000000000"):
        get(entry_for(server, pack, sha256="0" * 64), folder)
    assert files(folder) == set()
    told = []
    get(entry_for(server, pack, sha256=digest(pack)), folder, told)
    assert told == [f"buffalo_l: sha256 {digest(pack)}"]


def test_what_is_here_is_known_without_asking_anybody(server, pack, folder):
    entry = entry_for(server, pack)
    assert already_here(entry, folder, load_specs()) is None
    get(entry, folder)
    server.asked.clear()
    report = already_here(entry, folder, load_specs(beside=[folder]))
    assert [taken.spec.name for taken in report.taken] == ["det_10g", "w600k_r50"]
    assert server.asked == []
    (folder / "det_10g.onnx").write_bytes(b"damaged")
    assert already_here(entry, folder, load_specs(beside=[folder])) is None
    (folder / "det_10g.onnx").unlink()
    assert already_here(entry, folder, load_specs(beside=[folder])) is None


def test_a_sign_in_page_in_place_of_a_pack_leaves_nothing(server, folder):
    with pytest.raises(ArchiveInvalid, match="is no zip file"):
        get(entry_for(server, b"<html>Sign in to this network</html>"), folder)
    assert files(folder) == set()


def test_a_disk_that_fills_up_while_it_is_taken_in_keeps_the_download(server, pack):
    entry = entry_for(server, pack)
    with small_disk(1) as disk:
        hog = fill(disk)
        with hog.open("r+b") as file:
            file.truncate(hog.stat().st_size - len(pack) - 8192)
        with pytest.raises(WeightsFolderUnwritable):
            get(entry, disk)
        assert {file.name for file in disk.iterdir()} == {"hog", "buffalo_l.zip.part", "buffalo_l.zip.part.version"}
        hog.unlink()
        assert len(get(entry, disk).taken) == 2
    assert [wanted for _, wanted in server.asked] == [None, f"bytes={len(pack)}-"]


def test_receipts_that_can_t_be_read(folder):
    folder.mkdir()
    (folder / RECEIPTS).write_text("buffalo_l: 3")
    with pytest.raises(SpecInvalid, match=r"pulled\.yaml can't be read as what `models pull` wrote"):
        read_receipts(folder)


# Nothing is pulled by itself.

NO_NETWORK = """
import socket, sys
from pathlib import Path

def refuse(*_):
    raise SystemExit("a socket was opened")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
from recognition.errors import WeightsMissing
from recognition.models.manager import ModelManager
import streamer.app, streamer.checks

try:
    ModelManager([Path(sys.argv[1])]).open("scrfd_500m")
except WeightsMissing:
    print("missing", "recognition.zoo.download" in sys.modules)
"""


def test_the_service_never_touches_the_network_for_weights(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", NO_NETWORK, tmp_path], cwd=PROJECT, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("missing False\n", "")
