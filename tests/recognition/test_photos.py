"""Photo sets as folders and zips: what counts as a photo, and zips that are damaged or locked."""

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from recognition.errors import ImageEmpty, ImageMissing, ImageUnreadable
from recognition.photos import PhotoSet

PHOTO = cv2.imencode(".png", np.full((4, 6, 3), 7, np.uint8))[1].tobytes()


def packed(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            archive.writestr(name.replace("_", "/") + ".png", data)
    return path


def test_a_folder_and_a_zip_of_it_hold_the_same(tmp_path: Path) -> None:
    archive = PhotoSet(packed(tmp_path / "p.zip", Ada_1=PHOTO, Bob_1=PHOTO))
    with zipfile.ZipFile(tmp_path / "p.zip") as files:
        files.extractall(tmp_path / "p")
    (tmp_path / "p" / "Ada" / "notes.txt").touch()
    (tmp_path / "p" / "Ada" / "._1.png").touch()
    folder = PhotoSet(tmp_path / "p")
    assert folder.names == archive.names == ("Ada/1.png", "Bob/1.png")
    assert folder.digest == archive.digest
    assert archive.read("Bob/1.png").bgr().tolist() == folder.read("Bob/1.png").bgr().tolist()
    assert folder.person_of("Bob/1.png") == "Bob"


def test_a_damaged_photo_in_a_zip(tmp_path: Path) -> None:
    path = packed(tmp_path / "p.zip", Ada_1=PHOTO, Bob_1=PHOTO)
    path.write_bytes(path.read_bytes().replace(PHOTO, PHOTO[:-1] + b"!", 1))
    photos = PhotoSet(path)
    with pytest.raises(ImageUnreadable, match=r"Ada/1\.png is damaged; get the zip again"):
        photos.read("Ada/1.png")
    assert photos.read("Bob/1.png").width == 6


def test_a_locked_zip(tmp_path: Path) -> None:
    path = packed(tmp_path / "p.zip", Ada_1=PHOTO)
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the flag of an encrypted file
    path.write_bytes(data)
    with pytest.raises(ImageUnreadable, match=r"Ada/1\.png can't be unpacked; unpack the zip, give the folder"):
        PhotoSet(path).read("Ada/1.png")


def test_photos_that_are_not_there(tmp_path: Path) -> None:
    photos = PhotoSet(packed(tmp_path / "p.zip", Ada_1=b""))
    with pytest.raises(ImageEmpty, match=r"Ada/1\.png is empty"):
        photos.read("Ada/1.png")
    with pytest.raises(ImageMissing, match=r"holds no Eve/1\.png"):
        photos.read("Eve/1.png")
    with pytest.raises(ImageMissing, match="No such file"):
        PhotoSet(tmp_path / "gone.zip")
