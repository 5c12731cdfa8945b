import os
import stat
import zipfile
import zlib
from pathlib import Path

import pytest

from gallery.enrolment.listing import Listing, open_listing
from gallery.errors import EnrolmentListInvalid, EnrolmentListMissing
from recognition.errors import ArchiveInvalid, ImageTooLarge, ImageUnreadable
from recognition.image import MAX_BYTES

FILES = ("Ada Lovelace/1.jpg", "Ada Lovelace/2.PNG", "Zoë/x.webp", "Zoë/notes.txt", "Zoë/.hidden.jpg")
STRAY = ("group.jpg", "Zoë/2019/old.jpg")
WANTED = {"Ada Lovelace": ["1.jpg", "2.PNG"], "Zoë": ["x.webp"]}


def folder_of(folder: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def zip_of(path: Path, names: tuple[str, ...]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, name.encode())
    return path


def people_of(listing: Listing) -> dict[str, list[str]]:
    return {one.who.name: [photo.name for photo in one.photos] for one in listing.sitters}


@pytest.fixture(params=["folder", "zip", "zip with a folder of its own name"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "folder":
        return folder_of(tmp_path / "people", FILES)
    inside = "people/" if request.param != "zip" else ""
    return zip_of(tmp_path / "people.zip", tuple(inside + name for name in FILES))


def test_a_folder_of_folders_is_a_person_each_in_a_zip_too(source: Path) -> None:
    with open_listing(source) as listing:
        assert people_of(listing) == WANTED
        assert (listing.photos, listing.ignored, listing.refused) == (3, 2, ())
        for sitter in listing.sitters:
            for photo in sitter.photos:
                assert photo.is_relative_to(source)
                assert len(listing.read(photo).digest) == 64


@pytest.mark.parametrize("packed", [False, True])
def test_photos_that_are_nobodys_are_told_and_the_others_go_on(tmp_path: Path, packed: bool) -> None:
    names = FILES + STRAY
    source = zip_of(tmp_path / "p.zip", names) if packed else folder_of(tmp_path / "p", names)
    with open_listing(source) as listing:
        assert people_of(listing) == WANTED
        assert {one.path.relative_to(source).as_posix() for one in listing.refused} == set(STRAY)
        assert {one.code for one in listing.refused} == {"photo_misplaced"}


def test_kinds_that_can_t_be_read_are_tried_so_that_each_is_told(tmp_path: Path) -> None:
    with open_listing(folder_of(tmp_path / "p", ("Ada/1.HEIC", "Ada/2.tiff", "Ada/film.mp4"))) as listing:
        assert people_of(listing) == {"Ada": ["1.HEIC", "2.tiff"]}
        assert listing.ignored == 1


def test_names_that_macs_pack_are_read_as_they_are_meant(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "macs.zip", "w") as archive:
        archive.writestr("Zoe/1.jpg", b"1")
        archive.writestr("__MACOSX/Zoe/._1.jpg", b"2")
    raw = (tmp_path / "macs.zip").read_bytes().replace(b"Zoe/1.jpg", "Zë/1.jpg".encode())
    (tmp_path / "macs.zip").write_bytes(raw)
    with open_listing(tmp_path / "macs.zip") as listing:
        assert people_of(listing) == {"Zë": ["1.jpg"]}
        assert listing.read(listing.sitters[0].photos[0]).digest


def bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Ada/1.jpg", b"\0" * (20 << 20))


def outside(name: str):
    def write(path: Path) -> None:
        zip_of(path, ("Ada/1.jpg", name))

    return write


def link(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        entry = zipfile.ZipInfo("Ada/1.jpg")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")


def encrypted(path: Path) -> None:
    zip_of(path, ("Ada/1.jpg",))
    data = bytearray(path.read_bytes())
    data[6] |= 1  # of the file's own header, and of the list at the end
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    whole = zip_of(path, FILES).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def no_zip(path: Path) -> None:
    path.write_text("no zip")


UNTRUSTED = [bomb, outside("../evil.jpg"), outside("/etc/evil.jpg"), outside("Ada\\..\\evil.jpg"), link, encrypted, cut]


@pytest.mark.parametrize("write", [*UNTRUSTED, no_zip])
def test_a_zip_that_is_not_to_be_trusted_is_refused_whole(tmp_path: Path, write) -> None:
    path = tmp_path / "people.zip"
    write(path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ArchiveInvalid) as caught, open_listing(path):
        pass
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before, "nothing is unpacked"


def test_a_damaged_photo_in_a_zip_is_that_photos_fault_alone(tmp_path: Path) -> None:
    source = zip_of(tmp_path / "p.zip", ("Ada/1.jpg", "Ada/2.jpg"))
    packed = zlib.compressobj(wbits=-15)
    body = packed.compress(b"Ada/1.jpg") + packed.flush()
    source.write_bytes(source.read_bytes().replace(body, bytes(len(body)), 1))
    with open_listing(source) as listing:
        first, second = listing.sitters[0].photos
        with pytest.raises(ImageUnreadable, match="pack it anew"):
            listing.read(first)
        assert listing.read(second).digest


def test_a_file_too_large_for_a_photo_is_not_unpacked(tmp_path: Path) -> None:
    source = tmp_path / "p.zip"
    with zipfile.ZipFile(source, "w") as archive, archive.open("Ada/1.jpg", "w", force_zip64=True) as file:
        block = os.urandom(1 << 20)
        for _ in range((MAX_BYTES >> 20) + 1):
            file.write(block)
    with open_listing(source) as listing, pytest.raises(ImageTooLarge, match="65 MiB"):
        listing.read(listing.sitters[0].photos[0])


@pytest.mark.parametrize("names", [(), ("1.jpg", "2.jpg"), ("Ada/x/1.jpg",), ("Ada/notes.txt",)])
def test_a_folder_that_says_of_nobody_who_that_is_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    (tmp_path / "p").mkdir()
    with (
        pytest.raises(EnrolmentListInvalid, match="a folder for each person"),
        open_listing(folder_of(tmp_path / "p", names)),
    ):
        pass


@pytest.mark.parametrize(
    ("stray", "end"), [(3, "; give a folder"), (4, "; and 1 more; give"), (9, "; and 6 more; give")]
)
def test_of_many_that_are_nobodys_the_rest_is_counted(tmp_path: Path, stray: int, end: str) -> None:
    folder = folder_of(tmp_path / "p", tuple(f"{number}.jpg" for number in range(stray)))
    with pytest.raises(EnrolmentListInvalid, match=end) as refused, open_listing(folder):
        pass
    assert str(refused.value).count("it lies in nobody's folder") == 3


def test_a_source_that_is_not_there_or_may_not_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(EnrolmentListMissing, match="No such file"), open_listing(tmp_path / "nothing"):
        pass


def test_a_pipe_in_a_folder_is_no_photo(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "p", ("Ada/1.jpg",))
    os.mkfifo(folder / "Ada" / "2.jpg")
    with open_listing(folder) as listing:
        assert people_of(listing) == {"Ada": ["1.jpg"]}
