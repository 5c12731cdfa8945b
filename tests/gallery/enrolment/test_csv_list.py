from pathlib import Path

import pytest

from gallery.enrolment.csv_list import rows_in
from gallery.errors import EnrolmentListInvalid, EnrolmentListMissing


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "people.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def people_in(path: Path) -> dict[str, list[str]]:
    sitters, _ = rows_in(path)
    return {one.who.name: [photo.relative_to(path.parent).as_posix() for photo in one.photos] for one in sitters}


PLAIN = "name,file\nZoë Ash,z/1.jpg\nBob,b.jpg\nZoë Ash,z/2.jpg\n"
WANTED = {"Zoë Ash": ["z/1.jpg", "z/2.jpg"], "Bob": ["b.jpg"]}


@pytest.mark.parametrize(
    "data",
    [
        PLAIN.encode(),
        PLAIN.encode("utf-8-sig"),
        PLAIN.replace(",", ";").replace("\n", "\r\n").encode("utf-8-sig"),
        PLAIN.replace(",", "\t").encode("utf-16"),
        ("sep=;\r\n" + PLAIN.replace(",", ";").replace("\n", "\r\n")).encode(),
        PLAIN.replace("\n", "\r").encode(),
        PLAIN.replace("name,file", " Name , FILE ").encode(),
        ("department,file,name\n" + "x,z/1.jpg,Zoë Ash\ny,b.jpg,Bob\n\n ,,\nx,z/2.jpg,Zoë  Ash").encode(),
        (PLAIN + "Bob,b.jpg\n").encode(),
        PLAIN.replace("z/1.jpg", '"z/1.jpg"').replace("Bob,b.jpg", "Bob,b.jpg,,").encode(),
    ],
    ids=["plain", "mark", "excel", "utf-16", "sep", "old macs", "capitals", "columns", "twice", "quotes"],
)
def test_the_forms_that_spreadsheets_write_are_read_alike(tmp_path: Path, data: bytes) -> None:
    assert people_in(written(tmp_path, data)) == WANTED


def test_paths_of_windows_are_found(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "ada.jpg").touch()
    assert people_in(written(tmp_path, "name,file\nAda,photos\\ada.jpg\n")) == {"Ada": ["photos/ada.jpg"]}


def test_external_ids_and_tags_come_along(tmp_path: Path) -> None:
    text = "name;file;external_id;tags\nAda;1.jpg;E7;staff,door\nAda;2.jpg;;door|night\nBob;3.jpg;;\n"
    (ada, bob), refused = rows_in(written(tmp_path, text))
    assert (ada.who.external_id, ada.who.tags) == ("E7", ("staff", "door", "night"))
    assert (bob.who.external_id, bob.who.tags, refused) == (None, (), ())


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("Ada,Bob,x.jpg", "has 3 fields where the first line has 2"),
        ("Ada; Bob,x.jpg", "that of two people"),
        ("Ada & Bob,x.jpg", "that of two people"),
        ('"Ada\nBob",x.jpg', "that of two people"),
        (",x.jpg", "has no name"),
        ("Ada,", "has no file"),
        ("Ada", "has no file"),
    ],
)
def test_a_row_that_is_not_one_person_and_one_photo_is_refused_by_its_line(tmp_path: Path, row: str, said: str) -> None:
    path = written(tmp_path, f"name,file\nEve,e.jpg\n{row}\nEve,f.jpg\n")
    (eve,), (refused,) = rows_in(path)
    assert (eve.who.name, len(eve.photos)) == ("Eve", 2)
    assert refused.code == "row_invalid"
    assert refused.path.name == f"people.csv:{3 + row.count(chr(10))}"
    assert said in refused.why
    assert "\n" not in refused.why


def test_a_photo_that_is_given_for_two_people_is_neithers(tmp_path: Path) -> None:
    path = written(tmp_path, "name,file\nAda,1.jpg\nBob,1.jpg\nAda,2.jpg\n")
    (ada,), refused = rows_in(path)
    assert [photo.name for photo in ada.photos] == ["2.jpg"]
    assert [one.path.name for one in refused] == ["people.csv:2", "people.csv:3"]
    assert "given for 2 people (lines 2 and 3)" in refused[0].why


def test_one_name_with_two_external_ids_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "name,file,external_id\nAda,1.jpg,7\nBob,2.jpg,8\nAda,3.jpg,9\n")
    (bob,), refused = rows_in(path)
    assert bob.who.name == "Bob"
    assert [(one.path.name, one.code) for one in refused] == [
        ("people.csv:2", "row_invalid"),
        ("people.csv:4", "row_invalid"),
    ]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no column name and no column file"),
        (b"names,file\nAda,1.jpg\n", "did you mean names"),
        (b"Ada,1.jpg\nBob,2.jpg\n", "begins with a line like name,file"),
        (b"name,file,name\nAda,1.jpg,Bob\n", "a column is there twice"),
        ("name,file\nZoë,1.jpg\n".encode("latin-1"), "CSV UTF-8"),
        (b"name,file\nA\0da,1.jpg\n", "neither a ZIP nor a CSV"),
        (bytes(range(256)), "neither a ZIP nor a CSV"),
        (b'name,file\n"Ada,1.jpg\n', "line 2"),
        (b"name,file\nAda," + b"x" * 200_000, "line 2"),
    ],
)
def test_what_is_no_such_csv_is_refused_whole(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(EnrolmentListInvalid, match=said) as caught:
        rows_in(written(tmp_path, data))
    assert "\n" not in str(caught.value)


def test_a_csv_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(EnrolmentListMissing, match="No such file"):
        rows_in(tmp_path / "nothing.csv")
