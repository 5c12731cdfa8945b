"""`gallery reindex` as a user types it: templates of kept photos for embedders that came later."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from recognition.specs.files import load_specs
from recognition.specs.spec import signature_of
from tests.command import assert_refused, whosthere
from tests.ensembles import ensemble
from tests.faces import KNOWN, NAME
from tests.galleries import open_store
from tests.twin import TWIN, write_twin

OURS = load_specs()


@pytest.fixture(scope="module")
def enrolled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where somebody was enrolled for nano_embed; a second embedder's weights came later."""
    home = tmp_path_factory.mktemp("enrolled")
    configured(home)
    ended = whosthere("enrol", NAME, KNOWN.file, cwd=home)
    assert ended.code == 0, ended.err
    write_twin(home / "weights")
    return home


@pytest.fixture
def home(enrolled: Path) -> Path:
    """The same; with nobody's template in the second space."""
    configured(enrolled)
    return enrolled


def configured(home: Path, **recognition: object) -> None:
    config = {"paths": {"models": ["weights"]}, "recognition": {"device": "cpu", **recognition}}
    (home / "whosthere.yaml").write_text(yaml.safe_dump(config))


def test_the_ladder_gets_its_templates_by_the_models_that_made_them(home):
    configured(home, ladder=[TWIN])
    ended = whosthere("gallery", "reindex", "--json", cwd=home)
    assert ended.code == 0, ended.err
    ours, twin = ended.document["models"]
    assert (ours["name"], ours["added"], ours["people_without_template"]) == ("nano_embed", 0, 0)
    assert (twin["name"], twin["ok"], twin["space"], twin["added"]) == (TWIN, True, f"{TWIN}.1", 1)
    assert (twin["skipped"], twin["unusable"], twin["people"], twin["people_without_template"]) == (0, [], 1, 0)
    assert f"{TWIN}: photos: 1 of 1 in" in ended.err
    with open_store(home / "var" / "gallery.db") as store:
        (made,) = store.templates(f"{TWIN}.1").matrix
        (first,) = store.templates("nano_embed.2").matrix
    with closing(sqlite3.connect(home / "var" / "gallery.db")) as db:
        ((signature,),) = db.execute("SELECT signature FROM templates WHERE space = ?", (f"{TWIN}.1",))
    assert made @ first > 0.98, "the same network, and its chip is the photo's own face"
    twin_spec = load_specs(beside=[home / "weights"])[TWIN]
    assert signature == signature_of(OURS["nano_det"], twin_spec)

    again = whosthere("gallery", "reindex", TWIN, cwd=home)
    assert again.out == f"{TWIN}: 0 made; 1 of 1 people have a template\n"
    assert again.err == "", "nothing was loaded for it"


def test_where_one_can_not_be_had_the_others_are_done(home):
    weights = home / "weights"
    names = [write_twin(weights, name) for name in ("one", "two")]
    known = load_specs(beside=[weights])
    ensemble(weights, "both", [known[name] for name in names])
    ended = whosthere("gallery", "reindex", "arcface_r100", "nobody", "nano_det", "both", cwd=home)
    assert ended.code == 1
    codes = [line.rpartition("[")[2] for line in ended.complaints if line.startswith("whosthere: ")]
    assert codes == ["weights_missing]", "model_not_found]", "model_not_found]"]
    assert ended.out.splitlines() == [
        "one: 1 made; 1 of 1 people have a template",
        "two: 1 made; 1 of 1 people have a template",
    ], "two that have to agree are matched each in its own space"


def test_a_photo_that_gives_nothing_is_told_of(home):
    """Its chip has been damaged in the gallery meanwhile."""
    write_twin(home / "weights", "three")
    with closing(sqlite3.connect(home / "var" / "gallery.db", isolation_level=None)) as db:
        ((chip, person_id),) = db.execute("SELECT chip, person_id FROM photos").fetchall()
        db.execute("UPDATE photos SET chip = ?", (b"no picture",))
        try:
            ended = whosthere("gallery", "reindex", "three", cwd=home)
            as_json = whosthere("gallery", "reindex", "three", "--json", cwd=home)
        finally:
            db.execute("UPDATE photos SET chip = ?", (chip,))
    assert ended.code == 0
    first, second = ended.out.splitlines()
    assert first == "three: 0 made; 0 of 1 people have a template (the others have no photo that gives one)"
    assert second.startswith(f"unusable  photo 1 of {person_id}: the kept picture is damaged")
    (row,) = as_json.document["models"]
    assert [(photo["photo"], photo["person"]) for photo in row["unusable"]] == [(1, person_id)]
    assert row["people_without_template"] == 1


def test_where_nobody_is_enrolled_there_is_nothing_to_do(tmp_path):
    configured(tmp_path)
    ended = whosthere("gallery", "reindex", cwd=tmp_path)
    assert (ended.code, ended.out, ended.err) == (0, "nano_embed: nobody is enrolled yet\n", "")


def test_a_gallery_that_can_not_be_read(tmp_path):
    configured(tmp_path)
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "gallery.db").write_text("no database, but long enough to be looked at as if it were one\n" * 9)
    assert_refused(whosthere("gallery", "reindex", cwd=tmp_path), "gallery_unreadable")
