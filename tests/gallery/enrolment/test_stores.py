from pathlib import Path

import pytest

from gallery.enrolment.listing import Listing, open_listing
from gallery.enrolment.stores import find_store
from gallery.errors import EnrolmentListInvalid
from tests.gallery.enrolment.test_listing import folder_of, people_of, zip_of

ATTEMPT = "1741000000.123456-abc123-1741000003.2-unknown-0.41.webp"
FRIGATES = ("Ada_Lovelace/Ada_Lovelace-1741000000.5.webp", "bob/bob-2.webp", "bob/3.JPG", f"train/{ATTEMPT}")


def opened(source: Path) -> Listing:
    with open_listing(source) as listing:
        return listing


@pytest.mark.parametrize("given", [".", "clips", "clips/faces"])
def test_frigates_faces_are_found_from_its_media_folder_its_clips_or_themselves(tmp_path: Path, given: str) -> None:
    folder_of(tmp_path / "clips" / "faces", FRIGATES)
    (tmp_path / "clips" / "faces" / "nobody yet").mkdir()
    listing = opened(tmp_path / given)
    assert people_of(listing) == {"Ada Lovelace": ["Ada_Lovelace-1741000000.5.webp"], "bob": ["3.JPG", "bob-2.webp"]}
    assert (listing.program, listing.attempts, listing.refused) == ("Frigate", 1, ())


@pytest.mark.parametrize("packed", [False, True])
def test_a_copy_of_frigates_faces_is_told_by_what_it_filed_under_nobody(tmp_path: Path, packed: bool) -> None:
    source = zip_of(tmp_path / "copy.zip", FRIGATES) if packed else folder_of(tmp_path / "copy", FRIGATES)
    listing = opened(source)
    assert (listing.program, sorted(people_of(listing)), listing.attempts) == ("Frigate", ["Ada Lovelace", "bob"], 1)


def test_somebody_called_train_stays_somebody(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "people", ("train/1.jpg", f"train/{ATTEMPT}", "a_b/1.jpg"))
    listing = opened(source)
    assert (listing.program, people_of(listing)["a_b"]) == ("", ["1.jpg"])
    assert sorted(people_of(listing)["train"]) == sorted(["1.jpg", ATTEMPT])


@pytest.mark.parametrize("beside", ["database.db", "matches/ada/1.jpg"])
@pytest.mark.parametrize("given", ["double-take", "double-take/.storage"])
def test_double_takes_train_folder_is_its_people(tmp_path: Path, given: str, beside: str) -> None:
    folder_of(
        tmp_path / "double-take" / ".storage", ("train/ada/1.jpeg", "train/bob/2.png", beside, "config/config.yml")
    )
    listing = opened(tmp_path / given)
    assert (listing.program, people_of(listing)) == ("Double Take", {"ada": ["1.jpeg"], "bob": ["2.png"]})
    assert listing.attempts == 0


def test_a_folder_of_folders_is_no_store(tmp_path: Path) -> None:
    assert find_store(folder_of(tmp_path / "people", ("ada/1.jpg", "train/notes.txt"))) is None


def test_a_store_of_nobody_says_what_to_do(tmp_path: Path) -> None:
    folder_of(tmp_path / "clips" / "faces", (f"train/{ATTEMPT}",))
    with pytest.raises(EnrolmentListInvalid, match="faces of Frigate are of nobody yet; 1 pictures there are filed"):
        opened(tmp_path)
    (tmp_path / "empty" / "clips" / "faces").mkdir(parents=True)
    with pytest.raises(EnrolmentListInvalid, match="of nobody yet; name some people"):
        opened(tmp_path / "empty")


@pytest.mark.parametrize(
    ("first", "second"), [("Ada", "ada"), ("Ada Lovelace", "AdaLovelace"), ("Ada_Lovelace", "ada lovelace")]
)
@pytest.mark.parametrize("packed", [False, True])
def test_two_people_of_one_name_are_neither_and_the_others_go_on(
    tmp_path: Path, first: str, second: str, packed: bool
) -> None:
    names = (f"{first}/1.jpg", f"{second}/1.jpg", f"{second}/2.jpg", "Bob/1.jpg")
    source = zip_of(tmp_path / "p.zip", names) if packed else folder_of(tmp_path / "p", names)
    listing = opened(source)
    assert people_of(listing) == {"Bob": ["1.jpg"]}
    assert {sitter.who.name for sitter, _ in listing.alike} == {first, second}
    assert all(error.code == "names_alike" and first in str(error) for _, error in listing.alike)
    assert (listing.photos, listing.given) == (1, 4)


def test_two_people_of_one_name_in_a_csv(tmp_path: Path) -> None:
    source = tmp_path / "people.csv"
    source.write_text("name,file\nAda,1.jpg\nADA,2.jpg\nBob,3.jpg\n")
    listing = opened(source)
    assert (list(people_of(listing)), len(listing.alike)) == (["Bob"], 2)
