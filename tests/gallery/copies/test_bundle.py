"""A person's ZIP: what goes in comes out, and what somebody else has changed in it is refused in one line."""

import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from gallery.copies.bundle import read_bundle, write_bundle
from gallery.errors import (
    GalleryError,
    PersonFileInvalid,
    PersonFileMissing,
    PersonFileTooNew,
    TargetExists,
    TargetUnwritable,
)
from gallery.people import Profile
from recognition.errors import ArchiveInvalid
from tests.gallery.portable import assert_same, portable_person
from tests.small_disk import fill, small_disk


@pytest.mark.parametrize(
    "person",
    [
        portable_person(),
        portable_person(2, "Ğüneş \u0928\u0947\u0939\u093e", photos=1, chips=False),
        replace(portable_person(3, "Bob", photos=0), profile=Profile("Bob", ignored=True)),
    ],
    ids=["everything", "no chips", "no photos"],
)
def test_a_person_goes_in_and_comes_out_to_the_last_bit(tmp_path, person):
    path = tmp_path / "person.zip"
    write_bundle(path, person, at=1.76e9, audit=[{"action": "enrolled"}], visits=[("01/scene.jpg", b"picture")])
    assert_same(read_bundle(path), person)
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["person.zip"]


def test_anybody_can_read_it_without_us(tmp_path):
    path = tmp_path / "person.zip"
    write_bundle(path, portable_person(), at=1.76e9, audit=[{"action": "enrolled"}], visits=[("01/scene.jpg", b"x")])
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [
            "person.json",
            "photos/1.jpg",
            "photos/2.jpg",
            "templates.json",
            "audit.json",
            "visits/01/scene.jpg",
        ]
        person = json.loads(archive.read("person.json"))
        templates = json.loads(archive.read("templates.json"))["templates"]
        audit = json.loads(archive.read("audit.json"))
        picture = cv2.imdecode(np.frombuffer(archive.read("photos/2.jpg"), np.uint8), cv2.IMREAD_COLOR)
    assert (person["format"], person["name"], person["external_id"]) == (
        "whosthere.person/1",
        "Ada Lovelace",
        "staff-1",
    )
    assert person["consent"]["purpose"] == "the door of the library"
    assert [(row["photo"], row["space"], row["dim"], len(row["embedding"])) for row in templates] == [
        (1, "test_space.1", 64, 64),
        (2, "test_space.1", 64, 64),
        (2, "other.1", 32, 32),
    ]
    assert audit == {"entries": [{"action": "enrolled"}]}
    assert picture.shape == (256, 256, 3)


def test_a_file_that_is_there_is_left_alone(tmp_path):
    path = tmp_path / "person.zip"
    path.write_text("theirs")
    with pytest.raises(TargetExists, match="is there already"):
        write_bundle(path, portable_person(), at=0.0)
    assert path.read_text() == "theirs"
    with pytest.raises(TargetUnwritable, match="No such file or directory"):
        write_bundle(tmp_path / "nowhere" / "person.zip", portable_person(), at=0.0)


def test_no_room_leaves_nothing():
    with small_disk(1) as disk:
        hog = fill(disk)
        with pytest.raises(TargetUnwritable, match="No space left"):
            write_bundle(disk / "person.zip", portable_person(), at=0.0)
        assert os.listdir(disk) == [hog.name]


def changed(path: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """The same ZIP with other files in it."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def edit(name: str, change: Callable[[Any], object]) -> Callable[[dict[str, bytes]], None]:
    def change_file(files: dict[str, bytes]) -> None:
        document = json.loads(files[name])
        change(document)
        files[name] = json.dumps(document).encode()

    return change_file


def put(name: str, data: bytes) -> Callable[[dict[str, bytes]], None]:
    return lambda files: files.update({name: data})


HUGE = cv2.imencode(".jpg", np.zeros((1025, 10, 3), np.uint8))[1].tobytes()
BAD = {
    "no person.json": (lambda files: files.pop("person.json"), PersonFileInvalid, "holds no person.json"),
    "no templates.json": (lambda files: files.pop("templates.json"), PersonFileInvalid, "holds no templates.json"),
    "a picture is gone": (lambda files: files.pop("photos/2.jpg"), PersonFileInvalid, r"holds no photos/2\.jpg"),
    "no JSON": (put("person.json", b'{"format": '), PersonFileInvalid, "person.json in it is no JSON"),
    "a list": (put("templates.json", b"[]"), PersonFileInvalid, "templates.json: templates.json: Input should be"),
    "another format": (edit("person.json", lambda p: p.update(format="x/1")), PersonFileInvalid, "format: Input"),
    "a newer format": (
        edit("person.json", lambda p: p.update(format="whosthere.person/2", photos=None)),
        PersonFileTooNew,
        "is of format whosthere.person/2",
    ),
    "an id of somebody's own": (edit("person.json", lambda p: p.update(id="../../p1")), PersonFileInvalid, "json: id"),
    "a path for a picture": (
        edit("person.json", lambda p: p["photos"][0].update(file="../photos/1.jpg")),
        PersonFileInvalid,
        r"photos\.0\.file",
    ),
    "an unprintable name": (edit("person.json", lambda p: p.update(name="A\tB")), PersonFileInvalid, "unprintable"),
    "a year far away": (edit("person.json", lambda p: p.update(created_at=1e18)), PersonFileInvalid, "created_at"),
    "a threshold beyond all cosines": (
        edit("person.json", lambda p: p.update(threshold={"space": "a.1", "cosine": 2})),
        PersonFileInvalid,
        "thresh",
    ),
    "NaN": (
        edit("templates.json", lambda t: t["templates"][0]["embedding"].__setitem__(0, float("nan"))),
        PersonFileInvalid,
        "is no JSON",
    ),
    "no unit vector": (
        edit("templates.json", lambda t: t["templates"][0].update(embedding=[0.1] * 64)),
        PersonFileInvalid,
        "want a unit vector",
    ),
    "another size than it says": (
        edit("templates.json", lambda t: t["templates"][0].update(dim=63)),
        PersonFileInvalid,
        "has 64 numbers, not 63",
    ),
    "of a photo that is not there": (
        edit("templates.json", lambda t: t["templates"][0].update(photo=3)),
        PersonFileInvalid,
        "is of photo 3, and there are 2",
    ),
    "two templates of a space": (
        edit("templates.json", lambda t: t["templates"][0].update(photo=2)),
        PersonFileInvalid,
        "has two templates",
    ),
    "no picture": (put("photos/1.jpg", b"GIF89a"), PersonFileInvalid, "no JPEG of a face"),
    "half a picture": (put("photos/1.jpg", b"\xff\xd8\xff\xe0\x00"), PersonFileInvalid, "can't be used"),
    "a huge picture": (put("photos/1.jpg", HUGE), PersonFileInvalid, "10x1025 pixels"),
    "a bomb": (put("photos/3.jpg", bytes(50 << 20)), ArchiveInvalid, "would unpack to 52428800 bytes"),
    "a path": (put("../../etc/cron.d/x", b"x"), ArchiveInvalid, "wants to be put outside"),
    "an absolute path": (put("/etc/cron.d/x", b"x"), ArchiveInvalid, "wants to be put outside"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_zip_that_somebody_changed(tmp_path, case):
    change, error, words = BAD[case]
    path = tmp_path / "person.zip"
    write_bundle(path, portable_person(), at=0.0)
    with pytest.raises(error, match=words) as told:
        read_bundle(changed(path, change))
    assert "\n" not in str(told.value)
    assert "Lovelace" not in str(told.value), "errors are logged, names are not"
    assert os.listdir(tmp_path) == ["person.zip"]


@pytest.mark.parametrize("how", ["cut short", "text", "empty", "a folder", "nowhere"])
def test_what_is_no_zip(tmp_path, how):
    path = tmp_path / "person.zip"
    if how == "a folder":
        path.mkdir()
    elif how != "nowhere":
        write_bundle(path, portable_person(), at=0.0)
        data = path.read_bytes()
        path.write_bytes({"cut short": data[: len(data) // 2], "text": b"<html>", "empty": b""}[how])
    with pytest.raises(PersonFileMissing if how in ("a folder", "nowhere") else ArchiveInvalid):
        read_bundle(path)


def test_bytes_that_were_changed_anywhere_never_make_another_person(tmp_path):
    """A bit is flipped at random places: it is refused, or nothing that counts was hit."""
    person, path = portable_person(), tmp_path / "person.zip"
    write_bundle(path, person, at=0.0)
    whole = path.read_bytes()
    rng = np.random.default_rng(15)
    refused = 0
    for place in rng.integers(0, len(whole), 150):
        data = bytearray(whole)
        data[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        try:
            found = read_bundle(path)
        except (GalleryError, ArchiveInvalid):
            refused += 1
        else:
            assert_same(found, person)
    assert refused > 100
