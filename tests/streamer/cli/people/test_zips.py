"""`people export|import` as a user types them."""

import json
import os
import time
import zipfile
from dataclasses import replace

import pytest

from gallery.copies.bundle import write_bundle
from gallery.portable import PortableTemplate
from recognition.specs.files import load_specs
from streamer.kept_visits.visits_file import VisitsFile
from streamer.process import key_source
from streamer.settings_reading import load
from tests.command import assert_refused, whosthere
from tests.gallery.fakes import near, unit
from tests.gallery.portable import assert_same, portable_person
from tests.seeded import keep_visit, opened, seeded

ADA, BOB = portable_person(1), portable_person(2, "Bob")


def test_out_of_one_gallery_into_another(tmp_path):
    home, other = seeded(tmp_path / "home", [ADA, BOB]), seeded(tmp_path / "other", [BOB])
    done = whosthere("people", "export", "ada lovelace", "ada.zip", "--json", cwd=home)
    assert done.document == {"id": ADA.id, "file": "ada.zip", "photos": 2}
    assert "it is in clear" in done.complaints[0]
    assert (home / "ada.zip").stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(home / "ada.zip") as archive:
        assert [row["action"] for row in json.loads(archive.read("audit.json"))["entries"]] == ["imported"]
    assert_refused(whosthere("people", "export", "ada lovelace", "ada.zip", cwd=home), "target_exists")
    with opened(home) as store:
        assert [entry.action for entry in store.audit_entries(ADA.id)] == ["imported", "exported"]

    came = whosthere("people", "import", home / "ada.zip", cwd=other)
    assert came.out == f"Ada Lovelace ({ADA.id}): 2 photos imported\n"
    with opened(other) as store:
        assert_same(store.portable(ADA.id), ADA)
    line = assert_refused(whosthere("people", "import", home / "ada.zip", cwd=other), "person_id_taken")
    assert ADA.id in line
    assert whosthere("people", "forget", ADA.id, "--yes", cwd=other).code == 0
    line = assert_refused(whosthere("people", "import", home / "ada.zip", cwd=other), "person_forgotten")
    assert ADA.id in line


def test_what_kept_visits_hold_of_a_person_comes_along(tmp_path):
    home = seeded(tmp_path / "home", [ADA, BOB])
    theirs = keep_visit(home, ADA.id, 1, 1.76e9)
    keep_visit(home, BOB.id, 2, 1.76e9)
    corrected = keep_visit(home, ADA.id, 3, 1.76e9)
    settings = load(home / "whosthere.yaml")
    with VisitsFile(settings.visits_path, key_source(settings)) as file:
        file.name([corrected], BOB.id, 1.77e9)
    assert whosthere("people", "export", ADA.id, "ada.zip", cwd=home).code == 0
    with zipfile.ZipFile(home / "ada.zip") as archive:
        assert [name for name in archive.namelist() if name.startswith("visits/")] == [
            f"visits/{theirs}/{name}" for name in ("visit.json", "face.jpg", "scene.jpg")
        ]
        visit = json.loads(archive.read(f"visits/{theirs}/visit.json"))
        assert archive.read(f"visits/{theirs}/scene.jpg") == b"its scene"
    assert (visit["camera"], visit["began_at"], len(visit["messages"])) == ("door", 1.76e9, 1)
    assert visit["messages"][0]["person"]["id"] == ADA.id
    assert visit["faces"][0]["embedding"] == pytest.approx(unit(1).tolist(), abs=1e-7)


def test_who_is_here_under_another_id_and_name_is_found_by_the_face(tmp_path):
    home = seeded(tmp_path / "home", [ADA])
    spec = load_specs()["nano_embed"]
    faces = [near(unit(7, spec.embedding_size), cosine, seed) for seed, cosine in ((1, 0.9), (2, 0.85))]

    def with_faces(person, *faces):
        photos = tuple(
            replace(photo, templates=(PortableTemplate(spec.space, "s", face, 0.9, "photo", 0.0),))
            for photo, face in zip(person.photos, faces, strict=True)
        )
        return replace(person, photos=photos)

    with opened(home) as store:
        store.add_portable(with_faces(BOB, *faces))
    grace = with_faces(portable_person(3, "Grace"), unit(7, spec.embedding_size), unit(7, spec.embedding_size))
    write_bundle(tmp_path / "grace.zip", grace, at=0.0)
    line = assert_refused(whosthere("people", "import", tmp_path / "grace.zip", cwd=home), "enrolled_already")
    assert f"looks like Bob ({BOB.id})" in line
    stranger = with_faces(portable_person(4, "Mary"), unit(8, spec.embedding_size), unit(9, spec.embedding_size))
    write_bundle(tmp_path / "mary.zip", stranger, at=0.0)
    assert whosthere("people", "import", tmp_path / "mary.zip", cwd=home).code == 0
    assert whosthere("people", "import", tmp_path / "grace.zip", "--force", cwd=home).code == 0
    with opened(home) as store:
        assert {person.name for person in store.people()} == {"Ada Lovelace", "Bob", "Grace", "Mary"}


@pytest.mark.parametrize("keep", ["true", "false"])
def test_photos_are_kept_as_the_settings_say(tmp_path, keep):
    home = seeded(tmp_path / "home")
    for person in (ADA, BOB, portable_person(3, "Grace", photos=1)):
        write_bundle(tmp_path / f"{person.id}.zip", person, at=0.0)
        done = whosthere(
            "people", "import", tmp_path / f"{person.id}.zip", "--set", f"gallery.keep_chips={keep}", cwd=home
        )
        assert done.code == 0, done.err
        with opened(home) as store:
            came = store.portable(person.id)
            assert [photo.jpeg for photo in came.photos] == [
                photo.jpeg if keep == "true" else None for photo in person.photos
            ]
            assert [len(photo.templates) for photo in came.photos] == [len(photo.templates) for photo in person.photos]


@pytest.mark.parametrize("days", [1, 30, 100])
def test_who_would_be_erased_at_once_does_not_come(tmp_path, days):
    home, now = seeded(tmp_path / "home"), time.time()

    def with_photos(person, *ages_days):
        return replace(
            person,
            created_at=now - 1000 * 86_400,
            photos=tuple(
                replace(photo, added_at=now - age * 86_400)
                for photo, age in zip(person.photos, ages_days, strict=False)
            ),
        )

    people = {"old": with_photos(ADA, days + 1, days + 2), "none": with_photos(ADA), "kept": with_photos(ADA, 900, 0.5)}
    for name, person in people.items():
        write_bundle(tmp_path / f"{name}.zip", person, at=0.0)
    keeping = ("--set", f"gallery.keep_days={days}")
    for name in ("old", "none"):
        line = assert_refused(
            whosthere("people", "import", tmp_path / f"{name}.zip", *keeping, cwd=home), "person_file_outdated"
        )
        assert ADA.id in line
    assert whosthere("people", "import", tmp_path / "kept.zip", *keeping, cwd=home).code == 0
    assert whosthere("gallery", "purge", *keeping, cwd=home).code == 0
    with opened(home) as store:
        assert [person.id for person in store.people()] == [ADA.id]
        assert store.forgotten() == frozenset()


@pytest.mark.parametrize("dim", [2, 64, 1024])
def test_a_template_of_another_size_than_its_models_does_not_come(tmp_path, dim):
    home, space = seeded(tmp_path / "home"), load_specs()["nano_embed"].space
    template = PortableTemplate(space, "s", unit(1, dim), 0.9, "photo", 0.0)
    write_bundle(tmp_path / "it.zip", replace(BOB, photos=(replace(BOB.photos[0], templates=(template,)),)), at=0.0)
    line = assert_refused(
        whosthere("people", "import", tmp_path / "it.zip", "--force", cwd=home), "person_file_invalid"
    )
    assert f"has {dim} numbers" in line
    with opened(home) as store:
        assert store.people() == []


def test_who_can_not_come(tmp_path):
    home = seeded(tmp_path / "home", [ADA])
    cases = {
        "name_taken": replace(BOB, profile=replace(BOB.profile, name="ADA lovelace")),
        "external_id_taken": replace(BOB, profile=replace(BOB.profile, external_id="staff-1")),
        "consent_invalid": replace(
            BOB, profile=replace(BOB.profile, consent=replace(ADA.profile.consent, expires_at=1.76e9))
        ),
        "embedding_space_mismatch": replace(
            BOB, photos=(replace(BOB.photos[0], templates=(replace(BOB.photos[1].templates[0], space="other.1"),)),)
        ),
    }
    for code, person in cases.items():
        write_bundle(tmp_path / f"{code}.zip", person, at=0.0)
        line = assert_refused(whosthere("people", "import", tmp_path / f"{code}.zip", cwd=home), code)
        assert code not in ("name_taken", "external_id_taken") or ADA.id in line
    (tmp_path / "text.zip").write_text("no zip")
    assert_refused(whosthere("people", "import", tmp_path / "text.zip", cwd=home), "archive_invalid")
    assert_refused(whosthere("people", "import", tmp_path / "nowhere.zip", cwd=home), "person_file_missing")
    assert_refused(whosthere("people", "export", "Nobody", "nobody.zip", cwd=home), "person_not_found")
    assert not (home / "nobody.zip").exists()
    with opened(home) as store:
        assert [person.id for person in store.people()] == [ADA.id]
    assert sorted(os.listdir(home / "var")) == ["gallery.db"]
