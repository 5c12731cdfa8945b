import asyncio
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gallery.enrolment.enrol import EnrolReport, Gate, Terms, Whom, enrol
from gallery.errors import (
    EnrolledAlready,
    ExternalIdTaken,
    NameInvalid,
    NameTaken,
    NoPhotoAccepted,
    PersonAmbiguous,
    PersonNotFound,
)
from gallery.people import Profile
from gallery.storage.store import PersonStore
from recognition.errors import EmbeddingSpaceMismatch, Overloaded
from recognition.faces import InSpace
from recognition.image import Image
from recognition.recogniser import Found
from tests.gallery.fakes import DIM, SPACE, FakeFinder, namesakes, near, negative_of, photo_of, unit

GATE = Gate(min_face_px=48, min_quality=0.25)
ADA, BOB, EVE = unit(1), unit(2), unit(3)
PAIRS = ((ADA, (1, 2, 3)), (BOB, (4, 5)), (EVE, (6, 7)))


class Desk:
    """Where people are enrolled: a finder, a store, a folder of photos."""

    def __init__(self, folder: Path, store: PersonStore) -> None:
        self.folder = folder
        self.store = store
        self.finder = FakeFinder()

    def shoot(self, face: np.ndarray, seed: int, **faults: float) -> Path:
        return self.finder.paint(self.folder / f"{seed}.png", (near(face, 0.8, seed), faults))

    async def enrol(
        self, name: str | Profile, *paths: Path, pick: str | None = None, force: bool = False, whom: Whom = "anybody"
    ) -> EnrolReport:
        terms = Terms(GATE, 0.4, pick=pick, force=force, whom=whom)
        return await enrol(name, paths, self.finder, self.store, terms)

    def group(self, number: int, *faces: np.ndarray, sides: tuple[float, ...] = ()) -> Path:
        """A photo of several people, each a little different in each photo; equally large, or as `sides` says."""
        shown = [near(face, 0.8, 10 * number + place) for place, face in enumerate(faces)]
        return self.finder.paint(self.folder / f"group{number}.png", *shown, sides=sides)


@pytest.fixture
def desk(tmp_path: Path, store: PersonStore) -> Desk:
    folder = tmp_path / "photos"
    folder.mkdir()
    return Desk(folder, store)


async def test_good_photos_make_a_person(desk: Desk) -> None:
    one, two = desk.shoot(ADA, 1), desk.shoot(ADA, 2, score=0.5)
    report = await desk.enrol("  Ada ", one, two)
    assert report.person.name == "Ada"
    assert (report.person.photos, report.person.templates) == (2, {SPACE: 2})
    assert [path for path, _ in report.taken] == [one, two]
    assert [quality for _, quality in report.taken] == pytest.approx([0.9, 0.5])
    assert report.refused == report.already == report.warnings == ()
    kept = desk.store.templates(SPACE)
    np.testing.assert_array_equal(kept.matrix, np.stack([near(ADA, 0.8, 1), near(ADA, 0.8, 2)]))
    chips = list(desk.store.photos_without_template("other.1"))
    assert [chip.chip.shape for chip in chips] == [(256, 256, 3)] * 2


async def test_an_enrolled_name_gets_more_photos(desk: Desk) -> None:
    first = await desk.enrol("Ada", desk.shoot(ADA, 1))
    second = await desk.enrol("Ada", desk.shoot(ADA, 2))
    third = await desk.enrol(first.person.id, desk.shoot(ADA, 3))
    assert first.person.id == second.person.id == third.person.id
    assert third.person.photos == 3
    assert third.person.name == "Ada"
    assert (first.added_to, second.added_to, third.added_to) == (False, True, True)
    assert len(desk.store.people()) == 1


@pytest.mark.parametrize("name", ["Ada", " ADA", "4711"])
async def test_somebody_new_is_nobody_who_is_there(desk: Desk, name: str) -> None:
    first = await desk.enrol("Ada", desk.shoot(ADA, 1), whom="somebody new")
    desk.store.change(first.person.id, lambda profile: replace(profile, external_id="4711"))
    who = Profile(name) if name != "4711" else Profile("Bob", external_id=name)
    with pytest.raises(NameTaken if name != "4711" else ExternalIdTaken):
        await desk.enrol(who, desk.shoot(BOB, 2), whom="somebody new")
    assert desk.store.find("Ada").photos == len(desk.store.people()) == 1


async def test_of_two_new_people_of_one_name_who_are_looked_at_at_once_one_is_enrolled(desk: Desk) -> None:
    shots = [desk.shoot(face, number) for number, face in enumerate((ADA, BOB, EVE), 1)]
    enrolling = (desk.enrol("Twin", shot, whom="somebody new") for shot in shots)
    done = await asyncio.gather(*enrolling, return_exceptions=True)
    assert sorted(type(one).__name__ for one in done) == ["EnrolReport", "NameTaken", "NameTaken"]
    assert desk.store.find("Twin").photos == 1


@pytest.mark.parametrize("who", ["id", "Ada", "ada"])
async def test_who_is_to_be_there_and_is_gone_is_not_made_anew(desk: Desk, who: str) -> None:
    first = await desk.enrol("Ada", desk.shoot(ADA, 1))
    name = first.person.id if who == "id" else "Ada"
    assert (await desk.enrol(name, desk.shoot(ADA, 2), whom="who is enrolled")).added_to
    desk.store.forget(first.person.id)
    with pytest.raises(PersonNotFound):
        await desk.enrol(first.person.id if who == "id" else who, desk.shoot(ADA, 3), whom="who is enrolled")
    assert desk.store.people() == []


@pytest.mark.parametrize("others", [0, 1, 2])
async def test_who_has_a_negative_and_no_photo_yet_gets_one(desk: Desk, others: int) -> None:
    """Whether or not others have templates: without any, a gallery's matrix has no width."""
    ada = desk.store.add_person("Ada")
    for number, face in enumerate((BOB, EVE)[:others]):
        desk.store.add_person(f"other {number}", [photo_of(face, number)])
    desk.store.add_negative(ada.id, negative_of(unit(9)))
    assert len((await desk.enrol("Ada", desk.shoot(ADA, 1))).taken) == 1
    with pytest.raises(NoPhotoAccepted):
        await desk.enrol("Ada", desk.shoot(unit(9), 2))


def _png_header(width: int, height: int) -> bytes:
    ihdr = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + ihdr + struct.pack(">I", zlib.crc32(ihdr))


async def test_every_bad_photo_is_told_with_its_code_and_the_good_one_kept(desk: Desk) -> None:
    bad = {
        "text.jpg": (b"Dear diary, today I was a photo.\n", "image_unreadable"),
        "empty.jpg": (b"", "image_empty"),
        "huge.png": (_png_header(10_000, 10_000), "image_too_large"),
    }
    for name, (content, _) in bad.items():
        (desk.folder / name).write_bytes(content)
    wanted = {desk.folder / name: code for name, (_, code) in bad.items()}
    wanted[desk.folder / "missing.jpg"] = "image_missing"
    wanted[desk.folder] = "image_missing"
    wanted[desk.finder.paint(desk.folder / "wall.png")] = "no_face"
    wanted[desk.finder.paint(desk.folder / "two.png", BOB, EVE)] = "several_faces"
    wanted[desk.shoot(ADA, 7, score=0.1, sharpness=3.0)] = "quality_too_low"
    good = desk.shoot(ADA, 8)
    report = await desk.enrol("Ada", *wanted, good)
    assert {path: code for path, code, _ in report.refused} == wanted
    assert list(wanted) == [path for path, _, _ in report.refused]
    for path, _, why in report.refused:
        assert "\n" not in why
        assert str(path) not in why
        assert why
    assert [path for path, _ in report.taken] == [good]
    assert report.person.photos == 1


async def test_pick_largest_takes_one_of_several(desk: Desk) -> None:
    group = desk.finder.paint(desk.folder / "two.png", ADA, BOB)
    report = await desk.enrol("Ada", group, pick="largest")
    assert report.person.photos == 1
    np.testing.assert_array_equal(desk.store.templates(SPACE).matrix, ADA[None])


async def test_nothing_is_written_when_no_photo_passed(desk: Desk) -> None:
    (desk.folder / "text.jpg").write_text("no photo")
    wall = desk.finder.paint(desk.folder / "wall.png")
    version = desk.store.data_version()
    with pytest.raises(NoPhotoAccepted) as caught:
        await desk.enrol("Ada", desk.folder / "text.jpg", wall)
    assert "image_unreadable" in str(caught.value)
    assert "no_face" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [code for _, code, _ in caught.value.refused] == ["image_unreadable", "no_face"]
    assert desk.store.people() == []
    assert desk.store.data_version() == version
    with pytest.raises(NoPhotoAccepted, match="no photo was given"):
        await desk.enrol("Ada")


async def test_a_photo_that_is_there_already_is_not_looked_at_again(desk: Desk) -> None:
    one, two = desk.shoot(ADA, 1), desk.shoot(ADA, 2)
    copy = desk.folder / "copy.png"
    copy.write_bytes(one.read_bytes())
    first = await desk.enrol("Ada", one, copy)
    assert ([path for path, _ in first.taken], first.already) == ([one], (copy,))
    looked = desk.finder.looked
    again = await desk.enrol("Ada", one)
    assert (again.taken, again.already, again.refused) == ((), (one,), ())
    assert desk.finder.looked == looked
    more = await desk.enrol("Ada", one, two)
    assert ([path for path, _ in more.taken], more.already) == ([two], (one,))
    assert more.person.photos == 2


async def test_a_photo_of_before_gets_its_template_in_another_space(desk: Desk) -> None:
    one = desk.shoot(ADA, 1)
    await desk.enrol("Ada", one)
    desk.finder.views = {"other.1": _short}
    report = await desk.enrol("Ada", one)
    assert [path for path, _ in report.taken] == [one]
    assert (report.person.photos, report.person.templates) == (1, {SPACE: 1, "other.1": 1})


async def test_templates_are_made_in_every_space_with_the_signature_of_who_made_them(desk: Desk) -> None:
    desk.finder.views["other.1"] = _short
    ada = await desk.enrol("Ada", desk.shoot(ADA, 1), desk.shoot(ADA, 2))
    assert (ada.person.photos, ada.person.templates, ada.warnings) == (2, {SPACE: 2, "other.1": 2}, ())
    for space, view in desk.finder.views.items():
        views = np.stack([view(near(ADA, 0.8, seed)) for seed in (1, 2)])
        np.testing.assert_array_equal(desk.store.templates(space).matrix, views)
    rows = desk.store._rows("SELECT DISTINCT space, signature FROM templates ORDER BY space")
    assert rows == [("other.1", "by-other.1"), (SPACE, f"by-{SPACE}")]
    group = desk.finder.paint(desk.folder / "two.png", BOB, ADA)
    bob = await desk.enrol("Bob", group, pick="largest", force=True)
    np.testing.assert_array_equal(desk.store.templates("other.1").matrix[2], _short(BOB))
    assert bob.person.templates == {SPACE: 1, "other.1": 1}


async def test_a_photo_of_before_that_lacks_one_space_is_no_witness_for_itself(desk: Desk) -> None:
    """Counted twice, it would make two photos three, and refuse one that nobody can call the wrong one."""
    one, odd = desk.shoot(ADA, 1), desk.shoot(BOB, 2)
    await desk.enrol("Ada", one)
    desk.finder.views["other.1"] = _short
    report = await desk.enrol("Ada", one, odd)
    assert ([path for path, _ in report.taken], report.refused) == ([one, odd], ())
    assert len(report.warnings) == 1
    assert (report.person.photos, report.person.templates) == (2, {SPACE: 2, "other.1": 2})
    again = await desk.enrol("Ada", one, odd)
    assert (again.taken, again.already) == ((), (one, odd))


async def test_a_photo_of_before_in_which_another_face_is_taken_now_gets_no_template(desk: Desk) -> None:
    """Another detector may find another face largest."""
    one = desk.shoot(ADA, 1)
    await desk.enrol("Ada", one)
    desk.finder = FakeFinder()
    desk.finder.views["other.1"] = _short
    desk.finder.paint(desk.folder / "elsewhere.png", BOB)  # of the same grey level
    with pytest.raises(NoPhotoAccepted, match="person_differs"):
        await desk.enrol("Ada", one)
    assert desk.store.find("Ada").templates == {SPACE: 1}


async def test_a_photo_that_another_model_can_t_use_is_kept_with_a_warning(desk: Desk) -> None:
    blind_but_for = near(ADA, 0.8, 1)
    desk.finder.views |= {"other.1": _short, "blind.1": lambda face: _short(face) * (face @ blind_but_for > 0.99)}
    good, glare, odd = desk.shoot(ADA, 1), desk.shoot(ADA, 2), desk.shoot(BOB, 3)
    report = await desk.enrol("Ada", glare, good, odd)
    assert ([path for path, _ in report.taken], [path for path, _, _ in report.refused]) == ([glare, good], [odd])
    assert report.person.templates == {SPACE: 2, "other.1": 2, "blind.1": 1}
    (warning,) = report.warnings
    assert "model-blind.1" in warning
    assert str(glare) in warning
    assert str(good) not in warning
    assert str(odd) not in warning
    again = await desk.enrol("Ada", glare)
    assert (again.taken, again.already) == ((), (glare,))
    assert again.warnings == (warning,)


async def test_two_models_of_one_space_give_one_template(desk: Desk) -> None:
    class Twins(FakeFinder):
        async def in_every_space(self, image: Image, landmarks: np.ndarray, lane: str = "photo") -> list[InSpace]:
            (first,) = await super().in_every_space(image, landmarks, lane)
            return [first, replace(first, model="twin", signature="twin", embeddings=-first.embeddings)]

    desk.finder = Twins()
    report = await desk.enrol("Ada", desk.finder.paint(desk.folder / "1.png", ADA))
    assert report.person.templates == {SPACE: 1}
    np.testing.assert_array_equal(desk.store.templates(SPACE).matrix, ADA[None])


async def test_a_model_of_another_size_than_its_space_enrols_nobody(desk: Desk) -> None:
    desk.finder.views["other.1"] = _short
    await desk.enrol("Ada", desk.shoot(ADA, 1))
    desk.finder.views["other.1"] = lambda face: face
    with pytest.raises(EmbeddingSpaceMismatch, match="check the model's spec"):
        await desk.enrol("Bob", desk.shoot(BOB, 2))
    assert [person.name for person in desk.store.people()] == ["Ada"]


def _short(face: np.ndarray) -> np.ndarray:
    """How a model of 32 numbers sees a face."""
    return face[:32] / np.linalg.norm(face[:32])


async def test_the_odd_one_out_of_three_is_refused(desk: Desk) -> None:
    good = [desk.shoot(ADA, 1), desk.shoot(ADA, 2)]
    odd = desk.shoot(BOB, 3)
    report = await desk.enrol("Ada", good[0], odd, good[1])
    assert [path for path, _ in report.taken] == good
    assert [(path, code) for path, code, _ in report.refused] == [(odd, "person_differs")]
    assert report.person.photos == 2


async def test_photos_given_as_one_persons_need_less_likeness_than_a_name(desk: Desk) -> None:
    """Three photos of one person, one of them at the naming threshold from the others, and one of somebody else."""
    far = desk.finder.paint(desk.folder / "far.png", near(ADA, 0.45, 3))
    photos = [desk.shoot(ADA, 1), desk.shoot(ADA, 2), far, odd := desk.shoot(BOB, 4)]
    with pytest.raises(NoPhotoAccepted, match="person_differs"):
        await enrol("Ada", [far, odd, desk.shoot(EVE, 5)], desk.finder, desk.store, Terms(GATE, 0.4, 0.3))
    report = await enrol("Ada", photos, desk.finder, desk.store, Terms(GATE, 0.4, 0.3))
    assert [path for path, _ in report.taken] == photos[:3]
    assert [(path, code) for path, code, _ in report.refused] == [(odd, "person_differs")]
    other = await enrol("Ada too", photos, desk.finder, desk.store, Terms(GATE, 0.4, force=True))
    assert [path for path, _, _ in other.refused] == [far, odd]


async def test_of_two_that_differ_nobody_is_refused_but_there_is_a_warning(desk: Desk) -> None:
    one, other = desk.shoot(ADA, 1), desk.shoot(BOB, 2)
    report = await desk.enrol("Ada", one, other)
    assert len(report.taken) == 2
    (warning,) = report.warnings
    assert warning.startswith(f"{other} does not resemble {one} (similarity ")


async def test_a_warning_names_the_photos_that_resemble_each_other_alone(desk: Desk) -> None:
    ada, bob, eve = ([desk.shoot(who, number) for number in numbers] for who, numbers in PAIRS)
    report = await desk.enrol("Ada", *bob, *ada)
    (warning,) = report.warnings
    assert warning.startswith(f"{bob[0]}, {bob[1]} do not resemble {', '.join(map(str, ada))} (similarity ")
    later = await desk.enrol("Ada", *eve)
    (warning,) = later.warnings
    assert warning.startswith(f"{eve[0]}, {eve[1]} do not resemble the photos enrolled before (similarity ")
    assert "`people remove-photo` takes one away" in warning


async def test_a_stray_against_those_of_before_leaves_the_person_as_is(desk: Desk) -> None:
    await desk.enrol("Ada", desk.shoot(ADA, 1), desk.shoot(ADA, 2))
    with pytest.raises(NoPhotoAccepted, match="person_differs"):
        await desk.enrol("Ada", desk.shoot(BOB, 3))
    assert desk.store.find("Ada").photos == 2


@pytest.mark.parametrize("photos", [1, 2, 5])
async def test_the_same_face_under_another_name_is_refused_unless_forced(desk: Desk, photos: int) -> None:
    first = await desk.enrol("Ada", desk.shoot(ADA, 1))
    await desk.enrol("Bob", desk.shoot(BOB, 2))
    again = [desk.shoot(ADA, 3 + number) for number in range(photos)]
    version = desk.store.data_version()
    with pytest.raises(EnrolledAlready, match=rf"Ada \({first.person.id}\).*--force"):
        await desk.enrol("Augusta", *again)
    assert desk.store.data_version() == version
    forced = await desk.enrol("Augusta", *again, force=True)
    assert len(forced.taken) == photos
    assert len(forced.warnings) == 1
    assert first.person.id in forced.warnings[0]
    # Who is enrolled twice by force gets more photos without it being asked again, by either name.
    assert len((await desk.enrol("Ada", desk.shoot(ADA, 30), force=True)).taken) == 1


async def test_photos_of_somebody_else_are_not_added_to_a_person(desk: Desk) -> None:
    await desk.enrol("Ada", desk.shoot(ADA, 1), desk.shoot(ADA, 2))
    bob = await desk.enrol("Bob", desk.shoot(BOB, 3))
    one = await desk.enrol("Eve", desk.shoot(EVE, 4))
    with pytest.raises(EnrolledAlready, match=bob.person.id):
        await desk.enrol("Eve", desk.shoot(BOB, 5))
    # One of two: the other one is right.
    report = await desk.enrol("Eve", wrong := desk.shoot(BOB, 6), desk.shoot(EVE, 7))
    assert [(path, code) for path, code, _ in report.refused] == [(wrong, "person_differs")]
    assert report.person.photos == one.person.photos + 1


async def test_a_photo_that_is_rather_somebody_elses_is_refused_and_the_others_go_on(desk: Desk) -> None:
    bob = await desk.enrol("Bob", desk.shoot(BOB, 1))
    between = near(EVE, 0.45, 40) + 0.55 * desk.store.templates(SPACE).matrix[0]
    mixed = desk.finder.paint(desk.folder / "mixed.png", between / np.linalg.norm(between))
    good = [desk.shoot(EVE, number) for number in (2, 3, 4)]
    report = await desk.enrol("Eve", *good, mixed)
    assert [path for path, _ in report.taken] == good
    ((path, code, why),) = report.refused
    assert (path, code) == (mixed, "other_person")
    assert bob.person.id in why


async def test_a_name_but_for_capitals_and_blanks_is_refused_before_any_photo_is_looked_at(desk: Desk) -> None:
    ada = await desk.enrol("Ada Lovelace", desk.shoot(ADA, 1))
    looked = desk.finder.looked
    for name in ("ada lovelace", "AdaLovelace", " ADA  LOVELACE "):
        with pytest.raises(NameTaken, match=rf"'Ada Lovelace' is enrolled already \({ada.person.id}\)"):
            await desk.enrol(name, desk.shoot(BOB, 2))
    assert desk.finder.looked == looked
    assert [person.photos for person in desk.store.people()] == [1]


async def test_of_several_faces_the_by_far_largest_is_taken(desk: Desk) -> None:
    report = await desk.enrol("Ada", desk.group(1, BOB, ADA, EVE, sides=(50, 90, 60)))
    np.testing.assert_array_equal(desk.store.templates(SPACE).matrix, near(ADA, 0.8, 11)[None])
    assert report.refused == report.warnings == ()


async def test_of_several_faces_the_one_is_taken_that_the_other_photos_show(desk: Desk) -> None:
    alone, group, other = desk.shoot(ADA, 1), desk.group(1, BOB, ADA), desk.group(2, EVE, BOB)
    report = await desk.enrol("Ada", group, other, alone)
    assert [path for path, _ in report.taken] == [group, alone]
    assert [(path, code) for path, code, _ in report.refused] == [(other, "several_faces")]
    assert (desk.store.templates(SPACE).matrix @ ADA).min() > 0.7
    # And the one that the gallery shows, in a later enrolment.
    later = await desk.enrol("Ada", desk.group(3, EVE, BOB, ADA))
    assert later.person.photos == 3
    assert (desk.store.templates(SPACE).matrix @ ADA).min() > 0.7


async def test_a_photo_of_two_alone_is_refused_with_what_to_do(desk: Desk) -> None:
    with pytest.raises(NoPhotoAccepted, match=r"2 faces were found.*not clear.*--pick largest.*\[several_faces\]"):
        await desk.enrol("Ada", desk.group(1, ADA, BOB))


async def test_who_is_somebody_else_s_by_the_gallery_is_refused_in_a_group_too(desk: Desk) -> None:
    bob = await desk.enrol("Bob", desk.shoot(BOB, 1))
    with pytest.raises(EnrolledAlready, match=bob.person.id):
        await desk.enrol("Ada", desk.group(1, BOB, ADA, sides=(90, 50)))


async def test_progress_is_told_photo_by_photo(desk: Desk) -> None:
    told: list[tuple[int, int]] = []
    photos = [desk.shoot(ADA, number) for number in (1, 2, 3)]
    await enrol("Ada", photos, desk.finder, desk.store, Terms(GATE, 0.4), progress=lambda *step: told.append(step))
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]


async def test_a_name_that_several_have_asks_for_the_id(desk: Desk) -> None:
    _, two = namesakes(desk.store, "Ada")
    photo = desk.shoot(ADA, 1)
    with pytest.raises(PersonAmbiguous):
        await desk.enrol("Ada", photo)
    assert (await desk.enrol(two.id, photo)).person.id == two.id


async def test_a_bad_name_is_refused_before_any_photo_is_looked_at(desk: Desk) -> None:
    with pytest.raises(NameInvalid):
        await desk.enrol("Ada\x07", desk.shoot(ADA, 1))
    assert desk.finder.looked == 0


async def test_what_is_not_the_photos_fault_ends_the_enrolment(desk: Desk) -> None:
    class Busy(FakeFinder):
        async def detect(self, image: Image, lane: str) -> Found:
            raise Overloaded("the queue is full")

    photo = desk.shoot(ADA, 1)
    with pytest.raises(Overloaded):
        await enrol("Ada", [photo], Busy(), desk.store, Terms(GATE, 0.4))
    assert desk.store.people() == []


async def test_a_space_of_another_size_is_refused(desk: Desk) -> None:
    desk.store.add_person("Bob", [photo_of(unit(5, DIM * 2))])
    with pytest.raises(EmbeddingSpaceMismatch):
        await desk.enrol("Ada", desk.shoot(ADA, 1))
    assert [person.name for person in desk.store.people()] == ["Bob"]


async def test_a_photo_that_the_embedder_can_t_use_is_refused(desk: Desk) -> None:
    good = desk.shoot(ADA, 1)
    bad = desk.finder.paint(desk.folder / "bad.png", np.zeros(DIM, np.float32))
    report = await desk.enrol("Ada", good, bad)
    assert [path for path, _ in report.taken] == [good]
    assert [(refused.path, refused.code) for refused in report.refused] == [(bad, "embedding_unusable")]
    assert desk.store.templates(SPACE).matrix.any(axis=1).all()


async def test_photos_that_show_no_upright_face_are_refused_with_the_reason(desk: Desk) -> None:
    fine = desk.shoot(ADA, 1)
    lying, none = desk.shoot(ADA, 2, turn=180.0), desk.shoot(ADA, 3, turn=float("nan"))
    report = await desk.enrol("Ada", fine, lying, none)
    assert [path for path, _ in report.taken] == [fine]
    assert [(path, code) for path, code, _ in report.refused] == [(lying, "face_not_upright"), (none, "face_doubtful")]
