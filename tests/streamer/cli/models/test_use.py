"""`models use` as a user types it, where no service runs; what a running one does about it is in tests/live."""

import json
from pathlib import Path

import pytest
import yaml

from recognition.specs.files import load_specs
from streamer.model_layer.manual_choice import ModelChoice, answers, read_choice
from streamer.process import service_runs
from tests.command import assert_refused, whosthere
from tests.galleries import open_store
from tests.gallery.fakes import photo_of, unit
from tests.twin import TWIN, write_twin


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a configuration that has two embedders; of a third one the file is none of its weights."""
    write_twin(tmp_path / "weights")
    (tmp_path / "weights" / load_specs()["edgeface_xxs"].file).write_text("no weights\n")
    recognition = {"device": "cpu", "ladder": [TWIN]}
    (tmp_path / "whosthere.yaml").write_text(
        yaml.safe_dump({"paths": {"models": ["weights"]}, "recognition": recognition})
    )
    return tmp_path


def chosen(home: Path) -> str | None:
    return read_choice(home / "var" / "model-choice.json").embedder


def test_where_no_service_runs_it_is_for_the_next_start(home):
    ended = whosthere("models", "use", TWIN, "--json", cwd=home)
    assert (ended.code, ended.err) == (0, "")
    assert ended.document == {
        "chosen": TWIN,
        "outcome": "next_start",
        "serving": None,
        "refused": None,
        "file": str(home / "var" / "model-choice.json"),
    }
    assert chosen(home) == TWIN
    given_back = whosthere("models", "use", "auto", cwd=home)
    assert "no service runs with this data folder" in given_back.out
    assert chosen(home) is None


def test_an_alias_is_written_as_the_name_that_it_stands_for(home):
    (home / "weights" / "specs" / "face_embedding" / f"{TWIN}.yaml").rename(
        file := home / "weights" / "specs" / "face_embedding" / "adaface_ir101.yaml"
    )
    spec = yaml.safe_load(file.read_text()) | {"name": "adaface_ir101"}
    file.write_text(yaml.safe_dump(spec))
    assert whosthere("models", "use", "adaface", "--set", "recognition.ladder=[]", cwd=home).code == 0
    assert chosen(home) == "adaface_ir101"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("nano_embde", "model_not_found"),
        ("nano_det", "model_not_found"),
        ("arcface_r100", "weights_missing"),
        ("edgeface_xxs", "weights_digest_mismatch"),
    ],
)
def test_what_can_not_serve_is_refused_and_the_choice_stays(home, name, code):
    assert whosthere("models", "use", TWIN, cwd=home).code == 0
    assert_refused(whosthere("models", "use", name, cwd=home), code)
    assert chosen(home) == TWIN


def test_an_embedder_that_could_not_name_people_is_refused_until_it_can(home):
    with open_store(home / "var" / "gallery.db") as store:
        ada = store.add_person("Ada", [photo_of(unit(1, 256), 1, space="nano_embed.2")])
        store.add_person("Grace", [photo_of(unit(2, 256), 2, space="nano_embed.2")])
        (photo,) = (photo for photo in store.photos_without_template(f"{TWIN}.1") if photo.person_id == ada.id)
        store.add_template(photo.id, f"{TWIN}.1", "0" * 16, unit(1, 256), 0.9)
    line = assert_refused(whosthere("models", "use", TWIN, cwd=home), "people_not_covered")
    assert f"1 of 2 people have no template in its space; whosthere gallery reindex {TWIN} makes them" in line
    assert chosen(home) is None
    assert whosthere("models", "use", "nano_embed", cwd=home).code == 0
    assert whosthere("gallery", "reindex", TWIN, cwd=home).code == 0
    assert whosthere("models", "use", TWIN, cwd=home).code == 0


def test_what_is_not_in_the_ladder_is_told_of(home):
    ended = whosthere("models", "use", TWIN, "--set", "recognition.ladder=[]", cwd=home)
    assert ended.code == 0
    assert ended.complaints == [
        f"{TWIN} is not in recognition.ladder: name it there, and enrolment makes its templates at once"
    ]


def test_a_data_folder_that_can_not_be_written(home):
    (home / "var").write_text("a file\n")
    assert_refused(whosthere("models", "use", TWIN, cwd=home), "data_folder_unwritable")


@pytest.mark.parametrize(
    ("told", "chosen", "is_answer"),
    [
        ({"by_hand": None}, "b", False),
        ({"by_hand": "b", "by_hand_refused": None, "embedder": {"name": "a"}}, "b", False),
        ({"by_hand": "b", "by_hand_refused": None, "embedder": {"name": "b"}}, "b", True),
        ({"by_hand": "b", "by_hand_refused": {"code": "c", "why": "w"}, "embedder": {"name": "a"}}, "b", True),
        ({"by_hand": "b", "by_hand_refused": None, "embedder": {"name": "b"}}, None, False),
        ({"by_hand": None, "by_hand_refused": None, "embedder": {"name": "b"}}, None, True),
        ({}, "b", False),
    ],
)
def test_what_counts_as_an_answer(told, chosen, is_answer):
    assert answers(json.loads(json.dumps(told)), chosen) is is_answer


def test_a_lock_that_nobody_holds_is_no_service(tmp_path):
    assert not service_runs(tmp_path)
    (tmp_path / "lock").touch()
    assert not service_runs(tmp_path)
    assert read_choice(tmp_path / "none.json") == ModelChoice()
