"""Photos by person and pairs of them, from a folder and from a zip; what is wrong with either is said in one line."""

import zipfile
from pathlib import Path

import pytest

from recognition.errors import PairsInvalid, PhotoSetInvalid
from recognition.evaluation.pairs import PeoplesPhotos, by_person, read_pairs
from recognition.photos import PhotoSet

FILES = (
    "lfw/Bob/Bob_0002.jpg",
    "lfw/Bob/Bob_0001.jpg",
    "lfw/Ada B/1.png",
    "lfw/Ada/2.jpg",
    "sheet.jpg",
    "lfw/Ada/a.txt",
)


@pytest.fixture(params=["folder", "zip"])
def photos(request: pytest.FixtureRequest, tmp_path: Path) -> PeoplesPhotos:
    if request.param == "zip":
        with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
            for file in FILES:
                archive.writestr(file, b"")
        return by_person(PhotoSet(tmp_path / "photos.zip"))
    for file in FILES:
        (tmp_path / "photos" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / file).touch()
    return by_person(PhotoSet(tmp_path / "photos"))


def test_photos_of_a_person_are_neighbours_first_photo_first(photos: PeoplesPhotos) -> None:
    assert photos.names == ("Ada/2.jpg", "Ada B/1.png", "Bob/Bob_0001.jpg", "Bob/Bob_0002.jpg")
    assert photos.files[3] == "lfw/Bob/Bob_0002.jpg"
    assert photos.people == ("Ada", "Ada B", "Bob")
    assert photos.person.tolist() == [0, 1, 2, 2]


def test_one_name_twice(tmp_path: Path) -> None:
    for part in ("a", "b"):
        (tmp_path / part / "Ada").mkdir(parents=True)
        (tmp_path / part / "Ada" / "1.jpg").touch()
    with pytest.raises(PhotoSetInvalid, match=r"Ada/1\.jpg is there twice \(a/Ada/1\.jpg, b/Ada/1\.jpg\); keep one"):
        by_person(PhotoSet(tmp_path))


def test_photos_of_nobody(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").touch()
    with pytest.raises(PhotoSetInvalid, match="no photo in a person's folder"):
        by_person(PhotoSet(tmp_path))


def test_pairs_are_found_by_person_and_file(photos: PeoplesPhotos, tmp_path: Path) -> None:
    rows = "same,image_a,image_b\nTrue,Bob/Bob_0001.jpg,lfw/Bob/Bob_0002.jpg\n0, Ada/2.jpg ,Ada B/1.png\n"
    (tmp_path / "pairs.csv").write_text(rows, encoding="utf-8-sig")
    pairs = read_pairs(tmp_path / "pairs.csv", photos, least=1)
    assert (pairs.left.tolist(), pairs.right.tolist(), pairs.same.tolist()) == ([2, 0], [3, 1], [True, False])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "no column image_a; its first line must be image_a,image_b,same"),
        (b"image_a,image_b\nAda/2.jpg,Bob/Bob_0001.jpg\n", "no column same"),
        (b"image_a,image_b,same\nAda/2.jpg,Bob/3.jpg,0\n", r"line 2: image_b Bob/3\.jpg is not among the photos of"),
        (b"image_a,image_b,same\nAda/2.jpg\n", r"line 2: image_b \(empty\) is not among"),
        (b"image_a,image_b,same\nAda/2.jpg,Bob/Bob_0001.jpg,maybe\n", "line 2: same is maybe; want 1 or 0"),
        (b"image_a,image_b,same\nAda/2.jpg,Bob/Bob_0001.jpg\n", r"line 2: same is \(empty\)"),
        (b"image_a,image_b,same\nAda/2.jpg,Bob/Bob_0001.jpg,0\n", "0 pairs of one person and 1 of two; at least 1"),
        (b"\xff\xfe\x00\x01\n", "no CSV text in UTF-8"),
    ],
)
def test_pairs_that_are_none(photos: PeoplesPhotos, tmp_path: Path, text: bytes, says: str) -> None:
    (tmp_path / "pairs.csv").write_bytes(text)
    with pytest.raises(PairsInvalid, match=says) as refused:
        read_pairs(tmp_path / "pairs.csv", photos, least=1)
    assert "pairs.csv" in str(refused.value)


def test_pairs_that_are_missing(photos: PeoplesPhotos, tmp_path: Path) -> None:
    with pytest.raises(PairsInvalid, match="No such file or directory"):
        read_pairs(tmp_path / "gone.csv", photos, least=1)
