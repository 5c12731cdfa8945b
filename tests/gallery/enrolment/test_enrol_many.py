"""Many people in one go: each wholly or not at all, several photos under way, the few that are kept."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from gallery.enrolment.enrol import Gate, InFlight, Outcome, Sitter, Terms, enrol, enrol_many
from gallery.enrolment.photo_reading import Photo, of_file
from gallery.errors import ExternalIdTaken, GalleryUnwritable
from gallery.people import NewPhoto, Person, Profile
from gallery.storage.store import PersonStore
from recognition.errors import Overloaded, RunnerDead
from recognition.image import Image
from recognition.recogniser import Found
from tests.gallery.fakes import SPACE, FakeFinder, near, negative_of, unit

TERMS = Terms(Gate(min_face_px=48, min_quality=0.25), 0.4)


class Studio:
    """People with photos in a folder, and what became of them."""

    def __init__(self, folder: Path, store: PersonStore, finder: FakeFinder | None = None) -> None:
        self.folder = folder
        self.store = store
        self.finder = finder or FakeFinder()
        self.outcomes: list[Outcome] = []
        self.looked = 0
        self._shot = 0

    def shoot(self, face: np.ndarray, cosine: float = 0.8, **faults: float) -> Path:
        self._shot += 1
        path = self.folder / f"{self._shot}.png"
        return self.finder.paint(path, (near(face, cosine, self._shot), faults))

    def sitter(self, name: str, seed: int, photos: int = 2) -> Sitter:
        return Sitter(Profile(name), tuple(self.shoot(unit(seed)) for _ in range(photos)))

    async def enrol(self, *sitters: Sitter, in_flight: int = 4, terms: Terms = TERMS) -> list[Outcome]:
        self.outcomes, self.looked = [], 0

        def count() -> None:
            self.looked += 1

        await enrol_many(
            sitters, self.finder, self.store, terms, self.outcomes.append, in_flight=InFlight(in_flight), looked=count
        )
        return self.outcomes

    def names(self) -> dict[str, int]:
        return {person.name: person.photos for person in self.store.people()}


@pytest.fixture
def studio(tmp_path: Path, store: PersonStore) -> Studio:
    return Studio(tmp_path, store)


async def test_people_are_told_in_the_order_given_and_their_photos_are_theirs(studio: Studio) -> None:
    sitters = [studio.sitter(f"Person {seed}", seed, photos=1 + seed % 3) for seed in range(1, 13)]
    outcomes = await studio.enrol(*sitters)
    assert [outcome.sitter for outcome in outcomes] == sitters
    assert studio.looked == sum(len(sitter.photos) for sitter in sitters)
    for seed, outcome in enumerate(outcomes, 1):
        assert outcome.report is not None
        assert [path for path, _ in outcome.report.taken] == list(outcome.sitter.photos)
        mine = studio.store.templates(SPACE)
        rows = [row for row, owner in enumerate(mine.person_ids) if owner == outcome.report.person.id]
        assert (mine.matrix[rows] @ unit(seed)).min() > 0.7


async def test_what_is_wrong_with_one_is_told_and_the_others_go_on(studio: Studio) -> None:
    ada, wall = studio.sitter("Ada", 1), studio.finder.paint(studio.folder / "wall.png")
    outcomes = await studio.enrol(
        ada,
        Sitter(Profile("Bob"), (wall, studio.folder / "missing.jpg")),
        Sitter(Profile("Tab\tbed"), (studio.shoot(unit(2)),)),
        Sitter(Profile("ADA"), (studio.shoot(unit(3)),)),
        Sitter(Profile("Augusta"), (studio.shoot(unit(1)), studio.shoot(unit(1)))),
        Sitter(Profile("Nobody"), ()),
        studio.sitter("Eve", 4),
    )
    codes = [None if outcome.error is None else outcome.error.code for outcome in outcomes]
    refused = ["no_photo_accepted", "name_invalid", "name_taken", "enrolled_already", "no_photo_accepted"]
    assert codes == [None, *refused, None]
    assert studio.names() == {"Ada": 2, "Eve": 2}


async def test_a_second_run_looks_at_nothing_that_is_enrolled(studio: Studio) -> None:
    sitters = [studio.sitter(f"Person {seed}", seed) for seed in range(1, 5)]
    await studio.enrol(*sitters[:2])
    looked = studio.finder.looked
    outcomes = await studio.enrol(*sitters)
    assert studio.finder.looked == looked + 4
    told = [outcome.report for outcome in outcomes]
    assert [(len(one.taken), len(one.already)) for one in told if one] == [(0, 2), (0, 2), (2, 0), (2, 0)]


class CountingFinder(FakeFinder):
    """Holds each photo until so many are there at once, where so many can be."""

    def __init__(self, together: int) -> None:
        super().__init__()
        self.most = 0
        self._together = together
        self._here = 0
        self._full = asyncio.Event()

    async def detect(self, image: Image, lane: str) -> Found:
        self._here += 1
        self.most = max(self.most, self._here)
        if self._here >= self._together:
            self._full.set()
        await self._full.wait()
        self._here -= 1
        return await super().detect(image, lane)


@pytest.mark.parametrize("in_flight", [1, 3, 8])
async def test_as_many_photos_are_under_way_as_may_be_over_people_too(
    tmp_path: Path, store: PersonStore, in_flight: int
) -> None:
    finder = CountingFinder(in_flight)
    studio = Studio(tmp_path, store, finder)
    sitters = [studio.sitter(f"Person {seed}", seed, photos=1) for seed in range(1, 11)]
    async with asyncio.timeout(20):
        await studio.enrol(*sitters, in_flight=in_flight)
    assert finder.most == in_flight
    assert len(studio.names()) == 10


async def test_large_photos_are_not_all_in_memory_at_once(tmp_path: Path, store: PersonStore) -> None:
    studio = Studio(tmp_path, store)
    decoded = most = 0

    def read(path: Path) -> Photo:
        photo = of_file(path)

        def decode() -> Image:
            nonlocal decoded, most
            decoded += 1
            most = max(most, decoded)
            return photo.decode()

        return Photo(photo.digest, InFlight.MOST_PX // 2, decode)

    class Leaving(FakeFinder):
        async def detect(self, image: Image, lane: str) -> Found:
            nonlocal decoded
            found = await super().detect(image, lane)
            decoded -= 1
            return found

    studio.finder = Leaving()
    sitter = studio.sitter("Ada", 1, photos=8)
    report = await enrol(sitter.who, sitter.photos, studio.finder, store, TERMS, read=read, in_flight=InFlight(8))
    assert len(report.taken) == 8
    assert most <= 2


@pytest.mark.parametrize("error", [RunnerDead("gone"), Overloaded("full"), ZeroDivisionError("a bug")])
async def test_what_is_nobodys_fault_ends_it_and_leaves_whole_people(
    tmp_path: Path, store: PersonStore, error: Exception
) -> None:
    class Failing(FakeFinder):
        async def detect(self, image: Image, lane: str) -> Found:
            if self.looked >= 7:
                raise error
            return await super().detect(image, lane)

    studio = Studio(tmp_path, store, Failing())
    sitters = [studio.sitter(f"Person {seed}", seed) for seed in range(1, 9)]
    with pytest.raises(type(error)):
        await studio.enrol(*sitters, in_flight=1)
    assert set(studio.names().values()) <= {2}
    assert len(studio.names()) - len(studio.outcomes) in (0, 1), "who was being written may be there, and untold"


async def test_a_gallery_that_can_t_be_written_ends_it(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(who: Profile, photos: list[NewPhoto]) -> Person:
        raise GalleryUnwritable("the disk is full")

    monkeypatch.setattr(studio.store, "add_person", full)
    with pytest.raises(GalleryUnwritable):
        await studio.enrol(*(studio.sitter(f"Person {seed}", seed) for seed in range(1, 4)))
    assert studio.names() == {}


async def test_a_diverse_few_are_kept(studio: Studio) -> None:
    few = Terms(TERMS.gate, 0.4, most=3, by_hand=False)
    good = [studio.shoot(unit(1), score=0.5 + number / 20) for number in range(5)]
    first = studio.finder.paint(studio.folder / "first.png", near(unit(1), 0.8, 99))
    again = studio.finder.paint(studio.folder / "again.png", near(near(unit(1), 0.8, 99), 0.97))
    report = await enrol("Ada", [*good, again, first], studio.finder, studio.store, few)
    assert {path for path, _ in report.taken} == {good[3], good[4], again}
    assert [path for path, _ in report.left_out] == [*good[:3], first]
    assert str(again) in report.left_out[-1].why
    assert "max_photos" in report.left_out[0].why
    assert (report.person.photos, report.refused) == (3, ())

    # Who has as many keeps them: what is given later is left out, and no error.
    more = await enrol("Ada", [better := studio.shoot(unit(1))], studio.finder, studio.store, few)
    assert (more.taken, more.person.photos) == ((), 3)
    assert [path for path, _ in more.left_out] == [better]
    assert "`people remove-photo`" in more.left_out[0].why
    roomier = await enrol("Ada", [better, again], studio.finder, studio.store, Terms(TERMS.gate, 0.4, most=4))
    assert ([path for path, _ in roomier.taken], roomier.already) == ([better], (again,))


async def test_photos_that_were_chosen_by_hand_are_all_kept_while_there_is_room(studio: Studio) -> None:
    alike = [studio.shoot(unit(1), cosine=0.99) for _ in range(3)]
    report = await enrol("Ada", alike, studio.finder, studio.store, TERMS)
    assert ([path for path, _ in report.taken], report.left_out) == (alike, ())


async def test_an_external_id_and_tags_are_said_of_a_person_and_never_of_another(studio: Studio) -> None:
    ada = Sitter(Profile("Ada", "E7", ("staff",)), (studio.shoot(unit(1)),))
    await studio.enrol(ada)
    later = await studio.enrol(
        Sitter(Profile("Ada", "E7", ("door",)), (studio.shoot(unit(1)),)),
        Sitter(Profile("Ada", "E8"), (studio.shoot(unit(1)),)),
        Sitter(Profile("Bob", "E7"), (studio.shoot(unit(2)),)),
        Sitter(Profile("Eve", "E9", ("staff",)), (studio.shoot(unit(3)),)),
    )
    assert [type(outcome.error) for outcome in later] == [type(None), ExternalIdTaken, ExternalIdTaken, type(None)]
    assert studio.names() == {"Ada": 2, "Eve": 1}
    profile = studio.store.find("Ada").profile
    assert (profile.external_id, profile.tags) == ("E7", ("door", "staff"))
    assert studio.store.find("E9").name == "Eve"


async def test_in_a_gallery_of_before_an_id_names_its_person(studio: Studio) -> None:
    (first,) = await studio.enrol(studio.sitter("Ada", 1))
    assert first.report is not None
    (by_id,) = await studio.enrol(Sitter(Profile(first.report.person.id), (studio.shoot(unit(1)),)))
    assert by_id.report is not None
    assert (by_id.report.person.name, by_id.report.person.photos) == ("Ada", 3)


async def test_a_face_that_was_said_not_to_be_a_person_is_not_added_to_that_person(studio: Studio) -> None:
    """A look-alike: near enough to be taken for another photo of her."""
    (first,) = await studio.enrol(studio.sitter("Ada", 1))
    assert first.report is not None
    twin = near(unit(1), 0.7, 77)
    studio.store.add_negative(first.report.person.id, negative_of(twin))
    wrong, right = studio.finder.paint(studio.folder / "wrong.png", near(twin, 0.95)), studio.shoot(unit(1))
    (outcome,) = await studio.enrol(Sitter(Profile("Ada"), (wrong, right)))
    assert outcome.report is not None
    assert [path for path, _ in outcome.report.taken] == [right]
    assert [(path, code) for path, code, _ in outcome.report.refused] == [(wrong, "face_denied")]
    assert "`whosthere people not --undo`" in outcome.report.refused[0].why
    (other,) = await studio.enrol(Sitter(Profile("Bea"), (wrong,)), terms=Terms(TERMS.gate, 0.4, force=True))
    assert other.report is not None, "of another person it says nothing"
