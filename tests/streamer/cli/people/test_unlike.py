"""`people not` as a user types it, with the project's own networks."""

from pathlib import Path

import numpy as np
import pytest

from gallery.storage.rows import jpeg
from recognition.align import loose_chip
from recognition.checks.portraits import Portrait
from streamer.kept_visits.visit import VisitChange, VisitFace, people_of
from streamer.kept_visits.visits_file import VisitsFile
from streamer.process import key_source
from streamer.settings_reading import load
from tests.command import assert_refused, whosthere
from tests.ensembles import ensemble, tiny_model
from tests.faces import KNOWN, NAME, STRANGERS, write_photo
from tests.gallery.fakes import unit
from tests.gallery.portable import portable_person
from tests.seeded import keep_visit, opened, seeded
from tests.streamer.messages import due

ADA = portable_person(1)
MINE = "nano_embed.2"


def keep_face(home: Path, number: int, *faces: VisitFace, chip: bytes | None = None) -> str:
    """A visit with these faces; its event_id."""
    settings = load(home / "whosthere.yaml")
    event = due("ghjkmnpqr"[number] + "1n").event
    pictures = {} if chip is None else {"face": chip, "scene": b"its scene"}
    with VisitsFile(settings.visits_path, key_source(settings), make=True) as file:
        file.unlock(encrypt=settings.gallery.encryption)
        change = VisitChange(
            event_id=event.event_id,
            camera="door",
            is_first=True,
            is_known=False,
            began_at=1.0,
            began_s=None,
            seen_at=2.0,
            ended_at=None,
            people=people_of([event]),
            messages=(event,),
            faces=faces,
            pictures=pictures,
        )
        assert file.write([change]) == set()
    return event.event_id


def chip_of(portrait: Portrait) -> bytes:
    return jpeg(loose_chip(portrait.image(), portrait.landmarks)[0])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """She and Ada, who is made of numbers."""
    folder = seeded(tmp_path_factory.mktemp("not") / "home", [ADA])
    assert whosthere("enrol", NAME, KNOWN.file, cwd=folder).code == 0
    return folder


def negatives_of(home: Path, name: str) -> list[str]:
    with opened(home) as store:
        return [kept.source for kept in store.list_negatives(store.find(name).id)]


def test_a_photo_and_back(home: Path) -> None:
    photo = write_photo(home / "stranger.png", STRANGERS[0])
    said = whosthere("people", "not", NAME, photo, cwd=home)
    assert said.code == 0, said.err
    assert said.out.startswith(f"{photo} is not {NAME} (p")
    again = whosthere("people", "not", NAME, photo, "--json", cwd=home).document
    ((number, source),) = [(one["id"], one["source"]) for one in again["negatives"]]
    assert again["person"]["name"] == NAME
    assert again["negatives"][0]["spaces"] == [MINE]
    shown = whosthere("people", "show", NAME, cwd=home).out
    assert f"not the face of {source[:18]} (negative {number}, since 2" in shown
    assert [one["id"] for one in whosthere("people", "show", NAME, "--json", cwd=home).document["negatives"]] == [
        number
    ]
    undone = whosthere("people", "not", NAME, photo, "--undo", cwd=home)
    assert f"negative {number} is erased; 0 left" in undone.out
    assert negatives_of(home, NAME) == []
    assert_refused(whosthere("people", "not", NAME, photo, "--undo", cwd=home), "negative_not_found")
    with opened(home) as store:
        log = [(entry.action, dict(entry.details)) for entry in store.audit_entries(again["person"]["id"])]
        assert log[-2:] == [("negative_added", {"source": source}), ("negative_removed", {"negative": number})]
        assert store.audit_broken() is None


def test_a_kept_visit_with_all_its_faces_and_by_what_it_is_taken_back(home: Path) -> None:
    two = [VisitFace(unit(n), 0.5 + n / 10, "test_space.1", "s") for n in (1, 2)]
    visits = [keep_face(home, number, *two, chip=chip_of(STRANGERS[1])) for number in (0, 1)]
    said = whosthere("people", "not", ADA.id, visits[0].lower(), visits[1], "--json", cwd=home).document["negatives"]
    assert [one["source"] for one in said] == [f"event {visit}" for visit in visits]
    assert [one["quality"] for one in said] == [0.7, 0.7]
    assert said[0]["spaces"] == [MINE, "test_space.1"], "of the picture, for the model that serves"
    with opened(home) as store:
        np.testing.assert_array_equal(store.negatives("test_space.1").matrix, np.stack([unit(1), unit(2)] * 2))
        assert len(store.negatives(MINE)) == 2
    undone = whosthere("people", "not", ADA.id, said[1]["id"], visits[0], "--undo", "--json", cwd=home).document
    assert (undone["removed"], undone["left"]) == ([said[1]["id"], said[0]["id"]], 0)
    assert negatives_of(home, ADA.id) == []


def test_a_visit_seen_by_another_model_is_compared_by_its_picture(home: Path) -> None:
    visit = keep_face(home, 2, VisitFace(unit(1, 32), 0.9, "former.1", "s"), chip=chip_of(STRANGERS[2]))
    assert whosthere("people", "not", NAME, visit, cwd=home).code == 0
    photo = write_photo(home / "same.png", STRANGERS[2])
    assert whosthere("people", "not", NAME, photo, cwd=home).code == 0
    with opened(home) as store:
        by_chip, by_photo = store.negatives(MINE).matrix
        assert float(by_chip @ by_photo) > 0.9
    for one in (visit, photo):
        assert whosthere("people", "not", NAME, one, "--undo", cwd=home).code == 0


@pytest.mark.parametrize("faces", [1, 3])
@pytest.mark.parametrize("serving", ["pair", "test_space", "nano_embed"])
def test_a_visit_seen_by_two_that_have_to_agree_counts_for_each(tmp_path: Path, faces: int, serving: str) -> None:
    """Whichever serves now, and though no picture is kept: by all faces of the visit, as each of the two saw them."""
    one = tiny_model(tmp_path / "weights", "test_space", dim=64, seed=1, threshold=0.9)
    two = tiny_model(tmp_path / "weights", "other", dim=32, seed=2, threshold=0.8)
    pair = ensemble(tmp_path / "weights", "pair", [one, two])
    models = {"paths": {"models": ["weights"]}, "recognition": {"embedder": serving, "device": "cpu"}}
    home = seeded(tmp_path, [ADA], **models)
    looks = [(unit(number, 64), unit(90 + number, 32)) for number in range(faces)]
    both = [VisitFace(np.concatenate(look) / np.float32(np.sqrt(2)), 0.9, pair.space, "s") for look in looks]
    said = whosthere("people", "not", ADA.id, keep_face(home, 3, *both), "--json", cwd=home)
    assert said.code == 0, said.err
    with opened(home) as store:
        for space, half in (("test_space.1", 0), ("other.1", 1)):
            wanted = np.stack([look[half] for look in looks])
            np.testing.assert_allclose(store.negatives(space).matrix, wanted, atol=1e-6)


REFUSED = {
    "an unknown event": ("01KBAGZ0M2T4V6X8Y0A2C4E6G8", "visit_not_found"),
    "no face kept": ("bare", "negative_refused"),
    "another space, no picture": ("elsewhere", "negative_refused"),
    "another space, no picture that opens": ("spoilt", "negative_refused"),
    "her own photo": (KNOWN.file, "negative_refused"),
    "a group": ("group.png", "several_faces"),
    "nobody": ("empty.png", "no_face"),
    "no photo": ("notes.txt", "image_unreadable"),
    "nothing": ("missing.jpg", "image_missing"),
    "a folder": (".", "image_missing"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_can_not_be_said_is_told_and_nothing_of_it_is_kept(home: Path, case: str) -> None:
    good = write_photo(home / "good.png", STRANGERS[3])
    write_photo(home / "group.png", *STRANGERS)
    write_photo(home / "empty.png")
    (home / "notes.txt").write_text("no picture")
    what, code = REFUSED[case]
    if what == "bare":
        what = keep_face(home, 3, chip=chip_of(STRANGERS[1]))
    elif what == "elsewhere":
        what = keep_face(home, 4, VisitFace(unit(1, 32), 0.9, "former.1", "s"))
    elif what == "spoilt":
        what = keep_face(home, 5, VisitFace(unit(1, 32), 0.9, "former.1", "s"), chip=b"no JPEG")
    else:
        keep_visit(home, ADA.id, 1, 1.0)
    line = assert_refused(whosthere("people", "not", NAME, good, what, cwd=home), code)
    assert "Traceback" not in line
    assert negatives_of(home, NAME) == []


def test_without_kept_visits_an_event_is_told_how_to_keep_some(tmp_path: Path) -> None:
    home = seeded(tmp_path / "home", [ADA])
    line = assert_refused(
        whosthere("people", "not", ADA.id, "01KBAGZ0M2T4V6X8Y0A2C4E6G8", cwd=home), "kept_visits_missing"
    )
    assert "snapshots" in line
    assert_refused(whosthere("people", "not", "nobody at all", "x.jpg", cwd=home), "person_not_found")
