"""What a user may get wrong, each tried as a command: one clear line with a stable code, exit 1, nothing changed.

What needs a running service, a broker or an RTSP server is in live/test_bad_input_live.py.
"""

import re
import shutil
import socket
import sqlite3
import struct
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from recognition.errors import CodedError, WeightsMissing
from recognition.specs.files import bundled
from streamer.commands import first_coded
from streamer.errors import CameraUnreachable
from tests.command import Ended, assert_refused, patched, whosthere
from tests.conftest import PROJECT
from tests.faces import KNOWN
from tests.galleries import open_store
from tests.gallery.fakes import photo_of, unit
from tests.small_disk import fill, small_disk
from tests.streamer.ingest.clips import write_clip, write_sound

PASSWORD = "hunter2"
EMBEDDER = "nano_embed"

# situation: what is typed, the code, what the line must say
TABLE = {
    "an unknown config key": (
        "check --config unknown_key.yaml",
        "config_unknown_key",
        r"mqtt\.prot: unknown key \(config unknown_key\.yaml\); did you mean port\?",
    ),
    "a wrong type": (
        "serve --config wrong_type.yaml",
        "config_invalid",
        r"http\.port: want a whole number, got 'many'",
    ),
    "a config that is no YAML": (
        "check --config no.yaml",
        "config_unreadable",
        r"line 2, column 1: found character '\\t'",
    ),
    "a camera without a password": (
        "cameras probe unset",
        "camera_variable_unset",
        "variable NOBODY_HAS_SET_THIS is not set; set it",
    ),
    "an unreachable camera": (
        "cameras probe off",
        "camera_unreachable",
        r"camera off: rtsp://\*\*\*@127\.0\.0\.1:\d+/door can't be reached .*; check that it is on",
    ),
    "a stream with no video": ("cameras probe sound.m4a", "stream_no_video", "sound.m4a has no video in it; choose"),
    "a clip cut short": ("cameras probe cut.mp4", "stream_invalid", "cut.mp4 is no video that can be read"),
    "a clip that is corrupt": ("cameras probe corrupt.mp4", "stream_invalid", "corrupt.mp4 has no frame that can be"),
    "a text file given as a clip": ("cameras probe text.mp4", "stream_invalid", "text.mp4 is no video"),
    "an empty clip": ("cameras probe empty.mp4", "stream_invalid", r"empty\.mp4 is empty \(0 bytes\); give a clip"),
    "no weights": (
        "serve --set paths.models=[empty] --set recognition.detector=scrfd_500m",
        "weights_missing",
        "not found in .*/empty; get them from",
    ),
    "weights cut short, served": (
        "serve --set paths.models=[cut]",
        "weights_digest_mismatch",
        r"cut/nano_embed\.onnx \(100000 bytes\) .*: cut short, altered .*; get them again from",
    ),
    "a newer gallery, served": ("serve --set paths.data=newer", "gallery_too_new", "has schema 99.*; update whosthere"),
    "a newer gallery, listed": ("people list --set paths.data=newer", "gallery_too_new", "schema 99"),
    "a port already in use": (
        "serve --set http.port={taken}",
        "port_in_use",
        r"http\.port \d+ on 127\.0\.0\.1 is in use by another program; end it, or set another port",
    ),
}


@pytest.fixture(scope="module")
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder: a sound configuration, one person enrolled, and everything that is bad."""
    folder = tmp_path_factory.mktemp("home")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    cameras = {
        "door": {"url": "good.mp4"},
        "off": {"url": f"rtsp://ada:{PASSWORD}@127.0.0.1:{port}/door"},
        "unset": {"url": f"rtsp://ada:{PASSWORD}${{NOBODY_HAS_SET_THIS}}@127.0.0.1/door"},
    }
    config = {
        "paths": {"data": "var"},
        "mqtt": {"port": port, "password": PASSWORD},
        "http": {"port": 0},
        "cameras": cameras,
    }
    (folder / "whosthere.yaml").write_text(yaml.safe_dump(config))
    (folder / "unknown_key.yaml").write_text(f"mqtt: {{prot: 1883, password: {PASSWORD}}}")
    (folder / "wrong_type.yaml").write_text("http: {port: many}")
    (folder / "no.yaml").write_text(f"mqtt:\n\tpassword: {PASSWORD}\n")
    _bad_clips(folder)
    _bad_photos(folder)
    _bad_weights(folder)
    for data in ("var", "newer"):
        with open_store(folder / data / "gallery.db") as store:
            store.add_person("Ada Lovelace", [photo_of(unit(1))])
    with closing(sqlite3.connect(folder / "newer" / "gallery.db")) as database:
        database.execute("PRAGMA user_version = 99")
    return folder


def _bad_clips(folder: Path) -> None:
    write_clip(folder / "good.mp4", 10)
    write_sound(folder / "sound.m4a")
    whole = write_clip(folder / "whole.mp4", 25, noise=True, fast_start=False).read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    whole = write_clip(folder / "whole.mp4", 25, noise=True).read_bytes()
    pictures = whole.index(b"mdat") + 4
    (folder / "corrupt.mp4").write_bytes(whole[:pictures] + bytes(len(whole) - pictures))
    (folder / "text.mp4").write_text("This is no film.\n" * 100)
    (folder / "empty.mp4").touch()


def _bad_photos(folder: Path) -> None:
    (folder / "text.jpg").write_text("This is no photo.\n" * 100)
    (folder / "empty.jpg").touch()
    cv2.imwrite(str(folder / "huge.jpg"), np.zeros((10_000, 10_000), np.uint8))
    rows = zlib.compress(bytes(10_000 * 10_001))
    head = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", rows), (b"IEND", b"")]
    (folder / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks))
    shutil.copy(KNOWN.file, folder / "face.jpg")
    whole = KNOWN.file.read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _bad_weights(folder: Path) -> None:
    (folder / "empty").mkdir()
    (folder / "cut").mkdir()
    whole = bundled("nano") / f"{EMBEDDER}.onnx"
    (folder / "cut" / whole.name).write_bytes(whole.read_bytes()[:100_000])


def people_in(data: Path) -> str:
    """The gallery's whole content, read without touching it."""
    with closing(sqlite3.connect(f"file:{data / 'gallery.db'}?mode=ro", uri=True)) as database:
        return "\n".join(database.iterdump())


@pytest.mark.parametrize("situation", TABLE)
def test_one_clear_line(home: Path, taken: int, situation: str) -> None:
    typed, code, says = TABLE[situation]
    before = {data: people_in(home / data) for data in ("var", "newer")}
    ended = whosthere(*typed.format(taken=taken).split(), cwd=home)
    line = assert_refused(ended, code)
    assert re.search(says, line), line
    assert ended.out == ""
    assert PASSWORD not in ended.everything
    assert {data: people_in(home / data) for data in ("var", "newer")} == before


def test_photos_that_are_none(home: Path) -> None:
    bad = {
        "text.jpg": ("image_unreadable", "is not a photo that can be read; give a JPEG"),
        "empty.jpg": ("image_empty", "is empty (0 bytes)"),
        "huge.png": ("image_too_large", "has 10000x10000 pixels, more than 65 million; make it smaller"),
        "huge.jpg": ("image_too_large", "has 10000x10000 pixels"),
        "cut.jpg": ("image_cut_short", "is cut short"),
        "phone.heic": ("image_kind_unsupported", "is a HEIC photo"),
        "gone.jpg": ("image_missing", "check the path"),
        "empty": ("image_missing", "Is a directory"),
    }
    ended = whosthere("enrol", "Eve", *bad, cwd=home)
    line = assert_refused(ended, "no_photo_accepted")
    assert "nobody was enrolled: text.jpg: is not a photo" in line
    for told, (photo, (code, why)) in zip(ended.out.splitlines(), bad.items(), strict=True):
        assert told.startswith(f"refused  {photo}: ")
        assert why in told
        assert told.endswith(f"[{code}]")
    assert "Eve" not in people_in(home / "var")


def test_one_bad_photo_does_not_spoil_the_good_one(home: Path, tmp_path: Path) -> None:
    ended = whosthere("enrol", "Eve", "huge.png", "face.jpg", "--json", "--set", f"paths.data={tmp_path}", cwd=home)
    assert ended.code == 0, ended.err
    assert [photo["image"] for photo in ended.document["taken"]] == ["face.jpg"]
    assert [photo["code"] for photo in ended.document["refused"]] == ["image_too_large"]


def test_check_names_each_fault_and_looks_at_the_rest(home: Path) -> None:
    faulty = ("--set", "paths.models=[cut]", "--set", "paths.data=newer", "--set", "http.port=0")
    ended = whosthere("check", *faulty, cwd=home)
    assert ended.code == 1
    marks = [re.match(r"(\w+) +([\w ]+):.*?(?:\[(\w+)\])?$", line) for line in ended.out.splitlines()]
    assert {mark[2]: (mark[1], mark[3]) for mark in marks if mark} == {
        "config": ("ok", None),
        "processor": ("ok", None),
        "models": ("FAILED", "weights_digest_mismatch"),
        "gallery": ("FAILED", "gallery_too_new"),
        "http": ("ok", None),
        "broker": ("FAILED", "broker_unreachable"),
        "camera door": ("ok", None),
        "camera off": ("FAILED", "camera_unreachable"),
        "camera unset": ("FAILED", "camera_variable_unset"),
    }
    assert ended.complaints == ["whosthere: 5 of 9 checks failed [weights_digest_mismatch]"]
    assert PASSWORD not in ended.everything


def test_a_spec_with_a_wrong_digest(home: Path, tmp_path: Path) -> None:
    """In a checkout whose spec somebody changed; the weights are as they were."""
    for part in ("recognition", "model/specs", "model/spaces", "model/nano"):
        shutil.copytree(PROJECT / part, tmp_path / part)
    spec = tmp_path / "model" / "specs" / "face_embedding" / f"{EMBEDDER}.yaml"
    digest = re.search(r"^weights_digest: (\w+)", spec.read_text(), re.MULTILINE)
    assert digest
    spec.write_text(spec.read_text().replace(digest[1], "f0" * 32))
    ended = whosthere("models", "verify", "--json", "--config", home / "whosthere.yaml", cwd=tmp_path, is_forked=False)
    line = assert_refused(ended, "weights_digest_mismatch")
    assert f"sha256 {digest[1][:12]}…, the spec says f0f0f0f0f0f0…" in line
    assert [(row["name"], row["code"]) for row in ended.document["models"]] == [
        ("nano_det", None),
        (EMBEDDER, "weights_digest_mismatch"),
    ]


BLOCKED = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""


@pytest.mark.parametrize(
    ("missing", "command"),
    [
        (("onnxruntime", "faiss"), "serve --set paths.models=[empty]"),  # as after `pip install whosthere` alone
        (("onnxruntime", "faiss"), "models selftest"),
        (("faiss",), "serve"),
    ],
)
def test_without_an_extra_the_start_says_which_to_install(home: Path, missing: tuple[str, ...], command: str) -> None:
    ended = patched(BLOCKED.format(names=missing), *command.split(), cwd=home)
    line = assert_refused(ended, "unsupported_runtime")
    assert "whosthere[cpu]" in line
    assert "whosthere[gpu]" in line


def test_without_an_extra_the_rest_still_works(home: Path) -> None:
    ended = patched(BLOCKED.format(names=("onnxruntime", "faiss")), "people", "list", "--json", cwd=home)
    assert ended.code == 0, ended.err
    assert [person["name"] for person in ended.document["people"]] == ["Ada Lovelace"]


def test_a_full_disk_under_the_gallery(home: Path) -> None:
    with small_disk(1) as disk:
        with open_store(disk / "gallery.db") as store:
            store.add_person("Ada Lovelace", [photo_of(unit(1))])
            before = people_in(disk)
            hog = fill(disk)
            enrolling = ("enrol", "Eve", "face.jpg", "--set", f"paths.data={disk}")
            line = assert_refused(whosthere(*enrolling, cwd=home), "gallery_unwritable")
            assert "the disk is full; free some room, then try again" in line
            assert people_in(disk) == before
        hog.unlink()
        ended = whosthere(*enrolling, cwd=home)
        assert ended.code == 0, ended.err
        assert "1 of 1 photos enrolled" in ended.out


def test_a_disk_that_is_full_before_there_is_a_gallery(home: Path) -> None:
    with small_disk(1) as disk:
        listing = ("people", "list", "--set", f"paths.data={disk}")
        hog = fill(disk)
        assert "free some room" in assert_refused(whosthere(*listing, cwd=home), "gallery_unwritable")
        assert not list(disk.glob("*.db*"))
        hog.unlink()
        assert whosthere(*listing, cwd=home).code == 0


def test_a_lock_that_belongs_to_somebody_else(home: Path, tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()  # root may write any file, but nobody writes a folder
    line = assert_refused(whosthere("serve", "--set", f"paths.data={tmp_path}", cwd=home), "data_folder_unwritable")
    assert "lock can't be written (Is a directory)" in line


@pytest.mark.parametrize(
    ("patch", "command"),
    [
        ("import gallery.storage.store; gallery.storage.store.PersonStore.people = lambda self: 1 / 0", "people list"),
        ("import streamer.pipeline.camera; streamer.pipeline.camera.Camera.watch = lambda self: 1 / 0", "serve"),
    ],
)
def test_a_bug_of_ours_shows_its_traceback(home: Path, patch: str, command: str) -> None:
    ended: Ended = patched(patch, *command.split(), cwd=home)
    assert ended.code == 1
    assert "Traceback (most recent call last)" in ended.err
    assert "ZeroDivisionError: division by zero" in ended.err
    assert "whosthere: " not in ended.err
    assert PASSWORD not in ended.everything


def test_a_bug_beside_an_error_of_ours_is_not_hidden() -> None:
    def group(*errors: Exception) -> ExceptionGroup[Exception]:
        return ExceptionGroup("tasks", [ExceptionGroup("inner", [*errors])])

    unreachable, missing = CameraUnreachable("off"), WeightsMissing("gone")
    assert first_coded(group(unreachable, missing)) is unreachable
    assert first_coded(group(unreachable, KeyError("bug"))) is None
    assert isinstance(unreachable, CodedError)
