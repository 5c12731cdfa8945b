"""`calibrate` and `people look-alikes` as a user types them."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gallery.people import NewTemplate, OwnThreshold
from tests.command import assert_refused, whosthere
from tests.gallery.fakes import near, photo_of, unit
from tests.seeded import opened, seeded

SPACE, DIM = "nano_embed.2", 256


def home_with(folder: Path, people: int, photos: int = 2, alike: float | None = None, **config: object) -> Path:
    """Made-up people; the first two resemble each other so much."""
    home = seeded(folder / "home", recognition={"detector": "nano_det", "embedder": "nano_embed"}, **config)
    with opened(home) as store:
        for number in range(people):
            face = unit(number, DIM)
            if alike is not None and number == 1:
                face = near(unit(0, DIM), alike)
            shots = [photo_of(near(face, 0.97, place), 100 * number + place, SPACE) for place in range(photos)]
            store.add_person(f"Person {number}", shots)
    return home


def test_thresholds_are_written_to_the_gallery_and_counted_from_then_on(tmp_path):
    home = home_with(tmp_path, 30)
    done = whosthere("calibrate", "--fpir", "0.01", "--json", cwd=home)
    assert done.code == 0, done.err
    space = done.document["spaces"][SPACE]

    assert (done.document["fpir"], done.document["people"], done.document["written"]) == (0.01, 30, True)
    assert 0.3 < space["threshold"] < 0.55
    assert 0.005 < space["expected_fpir"] <= 0.01
    assert 0 < space["expected_fnir"] < 0.5
    assert len(done.document["look_alikes"]) == 10
    assert not (home / "calibration").exists()
    with opened(home) as store:
        assert list(store.calibrations()) == [SPACE]
    (line,) = [one for one in whosthere("check", cwd=home).out.splitlines() if " calibration: " in one]
    assert f"{SPACE}: threshold {space['threshold']:.3f}, calibrated for FPIR 0.01 with 30 people" in line


def test_a_threshold_of_ones_own_is_held_against_the_calibration(tmp_path):
    home = home_with(tmp_path, 30)
    usual = whosthere("calibrate", "--fpir", "0.01", "--json", cwd=home).document["spaces"][SPACE]["threshold"]
    for cosine, is_told in ((usual - 0.01, True), (usual + 0.01, False), (0.575, False)):
        done = whosthere("people", "set", "Person 3", "--threshold", f"{cosine}", cwd=home)
        assert (done.code, "strangers are more often taken" in done.err) == (0, is_told), cosine


def test_a_dry_run_writes_nothing(tmp_path):
    home = home_with(tmp_path, 30)
    done = whosthere("calibrate", "--fpir", "0.01", "--dry-run", "--json", cwd=home)
    assert (done.code, done.document["written"]) == (0, False)
    with opened(home) as store:
        assert store.calibrations() == {}
        assert "calibrated" not in [entry.action for entry in store.audit_entries()]


def test_what_is_shown_is_there_to_be_read(tmp_path):
    home = home_with(tmp_path, 30, alike=0.8)
    done = whosthere("calibrate", "--fpir", "0.01", "--out", "pictures", cwd=home)
    assert done.code == 0, done.err

    assert re.search(rf"{re.escape(SPACE)} +0\.\d{{3}} +0\.0\d+ \(asked 0\.01\)", done.out)
    for told in ("how often which cosine", "----- named from 0.", "what a rarer false name costs", "0.01 <"):
        assert told in done.out
    first = next(line for line in done.out.splitlines() if "at the threshold" in line)
    assert {"Person 0", "Person 1"} == set(re.findall(r"Person \d", first))
    assert "whosthere people merge PERSON INTO" in done.out
    assert "the gallery has these thresholds now" in done.complaints
    for name in ("scores", "det"):
        assert (home / "pictures" / f"{SPACE}-{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("people", "fpir", "code"),
    [
        (5, "0", "fpir_invalid"),
        (5, "1", "fpir_invalid"),
        (5, "-0.5", "fpir_invalid"),
        (0, "0.01", "calibration_too_few"),
        (1, "0.01", "calibration_too_few"),
        (30, "1e-9", "calibration_too_rare"),
    ],
)
def test_what_can_not_be_is_refused_in_one_line(tmp_path, people, fpir, code):
    home = home_with(tmp_path, people)
    assert_refused(whosthere("calibrate", f"--fpir={fpir}", "--json", cwd=home), code)
    with opened(home) as store:
        assert store.calibrations() == {}


def test_no_number_is_wrong_usage(tmp_path):
    assert whosthere("calibrate", "--fpir", "few", cwd=home_with(tmp_path, 2)).code == 2


def test_own_thresholds_that_let_too_many_through_are_named(tmp_path):
    home = home_with(tmp_path, 10)
    with opened(home) as store:
        who = store.people()[3].id
        store.change(who, lambda profile: replace(profile, threshold=OwnThreshold(SPACE, 0.1)))
    refused = whosthere("calibrate", "--fpir", "0.01", cwd=home)
    assert refused.code == 1
    assert refused.complaints[-1].endswith("[calibration_unreachable]")
    assert who in refused.complaints[-1]


def test_a_configured_threshold_is_said_to_count(tmp_path):
    home = home_with(tmp_path, 30, gallery={"threshold": 0.7})
    done = whosthere("calibrate", "--fpir", "0.01", cwd=home)
    assert done.code == 0
    assert any("gallery.threshold (0.700) is set and counts" in line for line in done.complaints)
    check = whosthere("check", cwd=home).out
    assert "threshold 0.700 of gallery.threshold" in check
    assert "that is not used" in check


def test_an_embedder_that_nobody_measured_is_calibrated_from_the_gallery(tmp_path):
    """Of the ladder; one of its spaces, in which nobody has templates, is told of and ends nothing."""
    home = seeded(
        tmp_path / "home", recognition={"embedder": "nano_embed", "ladder": ["adaface_ir18", "facenet_casia"]}
    )
    space, rng = "adaface_ir18.1", np.random.default_rng(4)
    with opened(home) as store:
        for number in range(60):
            look = rng.standard_normal(512).astype(np.float32)
            other = NewTemplate(space, "s", look / np.linalg.norm(look))
            store.add_person(f"Person {number}", [photo_of(unit(number, DIM), number, SPACE, others=[other])])
    done = whosthere("calibrate", "--fpir", "0.01", "--json", cwd=home)
    assert done.code == 0, done.err

    assert done.document["spaces"][space]["measured"] is False
    assert done.document["spaces"][space]["expected_fnir"] is None
    assert [one["code"] for one in done.document["not_calibrated"].values()] == ["calibration_too_few"]


def test_who_is_alike_is_listed(tmp_path):
    home = home_with(tmp_path, 6, alike=0.7)
    done = whosthere("people", "look-alikes", "--json", cwd=home)
    assert done.code == 0, done.err
    first, second = done.document["look_alikes"][:2]

    assert {one["name"] for one in first["people"]} == {"Person 0", "Person 1"}
    assert first["similarity"] == pytest.approx(0.7, abs=0.05)
    assert (first["limits"], second["limits"]) == (True, False)
    assert "Person 0" in whosthere("people", "look-alikes", cwd=home).out


def test_a_calibration_that_somebody_changed_fails_the_check(tmp_path):
    home = home_with(tmp_path, 10)
    assert whosthere("calibrate", "--fpir", "0.01", "--json", cwd=home).code == 0
    with opened(home) as store:
        store._db.execute("UPDATE meta SET value = replace(value, '0.05', '0.01') WHERE key LIKE 'calibration:%'")
    check = whosthere("check", cwd=home)
    (line,) = [one for one in check.out.splitlines() if " calibration: " in one]
    assert "was changed by somebody without its key" in line
    assert check.code == 1
