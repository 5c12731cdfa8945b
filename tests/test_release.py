"""What is released: sdist and wheel, the same bytes wherever they are built, with nothing besides."""

import email
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from streamer import __version__
from tests.conftest import PROJECT

OURS = {"nano_det.onnx", "nano_embed.onnx"}
WEIGHTS = (".onnx", ".pt", ".pth", ".ckpt", ".safetensors", ".engine", ".plan", ".tflite", ".caffemodel", ".npz", ".h5")
OF_PEOPLE = (".db", ".db-wal", ".pkl", ".key", ".stale", ".env")
# What lies about in a folder where somebody works, and is nobody else's.
LITTER = {
    "var/gallery.db": b"people",
    "var-keys/master.key": b"key",
    "model/artifacts/somebodys.onnx": b"weights",
    "gallery/classifier.pkl": b"faces",
    "streamer/__pycache__/app.cpython-311.pyc": b"code",
    "model/person_id_mapping.json": b"{}",
    "site/index.html": b"docs",
}


@dataclass(frozen=True)
class Release:
    sdist: Path
    wheel: Path
    again: Path

    def in_wheel(self) -> dict[str, bytes]:
        with zipfile.ZipFile(self.wheel) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    def in_sdist(self) -> dict[str, bytes]:
        with tarfile.open(self.sdist) as archive:
            files = [(member.name.partition("/")[2], archive.extractfile(member)) for member in archive]
            return {name: file.read() for name, file in files if file is not None}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Built where somebody works, then the wheel once more: out of the sdist, elsewhere, later, by a careful user."""
    if not (PROJECT / ".git").exists():
        pytest.skip("which files are the project's, git says")
    place = tmp_path_factory.mktemp("release")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, check=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (PROJECT / name).is_file():
            (place / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, place / "tree" / name)
    for name, content in LITTER.items():
        (place / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (place / "tree" / name).write_bytes(content)
    build(place / "tree", place / "dist", 0o022, "UTC", "-t", "sdist", "-t", "wheel")
    (sdist,), (wheel,) = (place / "dist").glob("*.tar.gz"), (place / "dist").glob("*.whl")
    with tarfile.open(sdist) as archive:
        archive.extractall(place / "else where", filter="data")
    (unpacked,) = (place / "else where").iterdir()
    for path in unpacked.rglob("*"):
        os.utime(path, (1e9, 1e9))
    build(unpacked, place / "again", 0o077, "Pacific/Chatham", "-t", "wheel")
    (again,) = (place / "again").iterdir()
    return Release(sdist, wheel, again)


def build(tree: Path, out: Path, umask: int, zone: str, *targets: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(out), *targets],
        cwd=tree,
        env=os.environ | {"SOURCE_DATE_EPOCH": "1796000000", "TZ": zone, "PYTHONHASHSEED": str(umask)},
        umask=umask,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_the_wheel_has_the_same_bytes_wherever_it_is_built(release: Release) -> None:
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in (release.wheel, release.again)]
    assert release.wheel.name == release.again.name == f"whosthere-{__version__}-py3-none-any.whl"
    assert digests[0] == digests[1]
    with tarfile.open(release.sdist) as archive:
        assert {(member.mtime, member.uid, member.uname) for member in archive} == {(1796000000, 0, "")}


def test_it_says_what_it_is(release: Release) -> None:
    found = release.in_wheel()
    info = f"whosthere-{__version__}.dist-info"
    told = email.message_from_bytes(found[f"{info}/METADATA"])
    assert (told["Name"], told["Version"], told["License-Expression"]) == ("whosthere", __version__, "Apache-2.0")
    assert found[f"{info}/licenses/LICENSE"] == (PROJECT / "LICENSE").read_bytes()
    assert b"whosthere = streamer.entry:main" in found[f"{info}/entry_points.txt"]
    assert {f"{package}/py.typed" for package in ("recognition", "gallery", "streamer")} <= set(found)
    assert {name.partition("/")[0] for name in found} == {"recognition", "gallery", "streamer", info}


def test_no_weights_but_ours_and_nothing_of_people(release: Release) -> None:
    wheel, sdist = release.in_wheel(), release.in_sdist()
    for found in (wheel, sdist):
        assert {Path(name).name for name in found if name.endswith(WEIGHTS)} == OURS
        assert [name for name in found if name.endswith(OF_PEOPLE) or ".classifier-" in name] == []
        assert [name for name, content in found.items() if content in LITTER.values() and len(content) > 2] == []
        assert [name for name in found if "__pycache__" in name] == []
    assert {name.partition("/")[0] for name in sdist} >= {"tests", "docs", "scripts", "pyproject.toml", "LICENSE"}
    assert not any(name.startswith("tests/") for name in wheel)
    assert release.wheel.stat().st_size < 4 << 20
    assert release.sdist.stat().st_size < 8 << 20


def test_nothing_says_where_it_was_made(release: Release) -> None:
    asked = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    words = [word.strip("'\"") for line in asked.stdout.splitlines() for word in line.partition("=")[2].split()]
    hosts = {word.split("/")[2].rpartition("@")[2] for word in words if "://" in word and word.split("/")[2]}
    makers = [str(PROJECT).encode(), *(host.encode() for host in hosts - {"pypi.org", "files.pythonhosted.org"})]
    for found in (release.in_wheel(), release.in_sdist()):
        assert [(name, maker) for name, content in found.items() for maker in makers if maker in content] == []


def sbom_writer() -> Any:
    spec = importlib.util.spec_from_file_location("write_sbom", PROJECT / "scripts" / "write-sbom.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_sbom_has_what_is_needed_and_no_place() -> None:
    """Held to CycloneDX's schema where it is written, by make release."""
    place = {"type": "distribution", "url": "file:///somewhere/whosthere.whl"}
    home = {"type": "website", "url": "https://example.org"}
    packages = [("numpy", [place, home]), ("pip", [place]), ("rich", []), ("markdown-it-py", [])]
    environment = {
        "metadata": {
            "component": {"bom-ref": "root-component", "name": "whosthere", "type": "application"},
            "tools": {"components": [{"name": "a tool", "type": "library", "externalReferences": [place]}]},
        },
        "components": [
            {"bom-ref": name, "name": name, "type": "library", "externalReferences": links} for name, links in packages
        ],
        "dependencies": [
            {"ref": "root-component", "dependsOn": ["numpy", "rich"]},
            {"ref": "numpy", "dependsOn": ["pip"]},
            {"ref": "rich", "dependsOn": ["markdown-it-py"]},
            {"ref": "pip"},
            {"ref": "markdown-it-py"},
        ],
    }
    writer = sbom_writer()
    found = writer.sbom(environment, "1.2.3", writer.weights(PROJECT / "model" / "nano"))

    assert "somewhere" not in str(found)
    names = {one["name"]: one for one in found["components"]}
    assert set(names) == {"numpy", "rich", "markdown-it-py", "nano_det", "nano_embed"}
    assert names["numpy"]["externalReferences"] == [home]
    assert found["metadata"]["component"]["version"] == "1.2.3"
    assert {one["ref"] for one in found["dependencies"]} == {
        "root-component",
        *(one["bom-ref"] for one in names.values()),
    }
    digest = hashlib.sha256((PROJECT / "model" / "nano" / "nano_det.onnx").read_bytes()).hexdigest()
    assert names["nano_det"]["hashes"] == [{"alg": "SHA-256", "content": digest}]


def test_the_changelog_tells_of_this_version() -> None:
    """Once it is released: with the day; before, what is new stands under Unreleased."""
    text = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{__version__}] - " in text
    (day,) = (line.rpartition(" - ")[2] for line in text.splitlines() if line.startswith(f"## [{__version__}]"))
    time.strptime(day, "%Y-%m-%d")
