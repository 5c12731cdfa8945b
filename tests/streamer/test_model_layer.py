"""The models of a service without its cameras: what was chosen by hand, what is told of it, what would begin."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gallery.store import PersonStore
from recognition.errors import WeightsMissing
from recognition.models.model_runner import signature_of
from recognition.models.spec import load_specs
from streamer.app import make_data_folder
from streamer.metrics import Metrics
from streamer.model_choice import ModelChoice, write_choice
from streamer.model_layer import ModelLayer, open_models, resolved_models
from streamer.roster import Roster
from streamer.settings import PathsSettings, RecognitionSettings, Settings
from tests.ensembles import ensemble, tiny_model
from tests.gallery.fakes import photo_of, unit
from tests.recognition.fakes import until
from tests.twin import TWIN, write_twin

OURS = load_specs()


def settings_in(tmp_path: Path, **recognition: Any) -> Settings:
    return Settings(
        paths=PathsSettings(models=(tmp_path / "weights",), data=tmp_path / "var"),
        recognition=RecognitionSettings(**{"runners": 1, "device": "cpu", "poll_s": 0.01, **recognition}),
    )


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[tuple[ModelLayer, list[dict[str, Any]]]]:
    """The layer looking after itself, and all that it tells."""
    make_data_folder(settings.paths.data)
    metrics, told = Metrics(), []
    async with open_models(settings, metrics) as layer, Roster.open(settings, layer.recogniser, metrics) as roster:
        await layer.attach(roster, told.append)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(layer.run())
            yield layer, told
            task.cancel()


def choose(settings: Settings, name: str | None) -> None:
    write_choice(settings.model_choice_path, ModelChoice(name))


def written(settings: Settings) -> object:
    return json.loads(settings.manifest_path.read_text())


def enrolled_for(settings: Settings, space: str, dim: int) -> None:
    with PersonStore(settings.gallery_path) as store:
        store.add_person("Ada", [photo_of(unit(1, dim), 1, space=space)])


async def test_a_choice_by_hand_is_followed_told_and_given_back(tmp_path):
    write_twin(tmp_path / "weights")
    settings = settings_in(tmp_path, ladder=(TWIN,), minimum_stay_s=0)
    async with running(settings) as (layer, told):
        assert (told[0]["by_hand"], told[0]["by_hand_refused"]) == (None, None)
        choose(settings, TWIN)
        await until(lambda: told[-1]["by_hand"] == TWIN)
        assert (told[-1]["embedder"]["name"], told[-1]["reason"]) == (TWIN, "by_hand")
        assert layer.recogniser.embedder.name == TWIN
        choose(settings, None)
        await until(lambda: told[-1]["by_hand"] is None)
        assert (told[-1]["embedder"]["name"], told[-1]["reason"]) == ("nano_embed", "better")
        await until(lambda: written(settings) == json.loads(json.dumps(told[-1])))


async def test_what_was_chosen_from_outside_the_ladder_is_left_with_the_choice(tmp_path):
    write_twin(tmp_path / "weights")
    settings = settings_in(tmp_path)
    async with running(settings) as (_, told):
        choose(settings, TWIN)
        await until(lambda: told[-1]["embedder"]["name"] == TWIN)
        choose(settings, None)
        await until(lambda: told[-1]["embedder"]["name"] == "nano_embed")
        assert told[-1]["reason"] == "not_in_ladder"


@pytest.mark.parametrize(("name", "code"), [("arcface_r100", "weights_missing"), ("nobody", "model_not_found")])
async def test_a_choice_that_can_not_be_is_told_with_the_reason_and_another_serves(tmp_path, caplog, name, code):
    settings = settings_in(tmp_path)
    async with running(settings) as (layer, told):
        choose(settings, name)
        await until(lambda: told[-1]["by_hand"] == name)
        assert told[-1]["embedder"]["name"] == "nano_embed"
        assert told[-1]["by_hand_refused"]["code"] == code
        count = len(told)
        looked = layer.embedder.choice
        await until(lambda: layer.embedder.choice is not looked)
        assert len(told) == count, "it is told once"
    assert len([message for message in caplog.messages if name in message]) == (code == "model_not_found")


async def test_whom_it_could_not_name_keeps_an_embedder_out_until_there_are_templates(tmp_path):
    write_twin(tmp_path / "weights")
    settings = settings_in(tmp_path, embedder=TWIN, ladder=("nano_embed",))
    make_data_folder(settings.paths.data)
    enrolled_for(settings, "nano_embed.1", 256)
    async with running(settings) as (layer, told):
        assert told[0]["embedder"]["name"] == "nano_embed", "although the other one is preferred"
        against = {other["model"]: other for other in told[0]["embedder"]["others"]}[TWIN]
        assert against["code"] == "people_not_covered"
        assert "1 of 1 people" in against["why"]
        choose(settings, TWIN)
        await until(lambda: told[-1]["by_hand"] == TWIN)
        assert told[-1]["by_hand_refused"]["code"] == "people_not_covered"
        async with asyncio.TaskGroup() as tasks:
            background = tasks.create_task(layer.keep_covered())
            await until(lambda: told[-1]["embedder"]["name"] == TWIN)
            background.cancel()
        assert (told[-1]["reason"], told[-1]["by_hand_refused"]) == ("by_hand", None)
    with PersonStore(settings.gallery_path) as store:
        assert store.uncovered(f"{TWIN}.1") == 0


async def test_two_that_have_to_agree_wait_for_the_templates_of_each(tmp_path):
    weights = tmp_path / "weights"
    members = [tiny_model(weights, name, dim=64, seed=seed, threshold=0.5) for seed, name in enumerate(("one", "two"))]
    settings = settings_in(tmp_path, ladder=(ensemble(weights, "both", members).name,))
    make_data_folder(settings.paths.data)
    enrolled_for(settings, "nano_embed.1", 256)
    async with running(settings) as (layer, _):
        assert layer.embedder.choice.why_not("both").code == "people_not_covered"
        async with asyncio.TaskGroup() as tasks:
            background = tasks.create_task(layer.keep_covered())
            await until(lambda: layer.embedder.choice.why_not("both").code != "people_not_covered")
            background.cancel()
    with PersonStore(settings.gallery_path) as store:
        assert [store.uncovered(member.space) for member in members] == [0, 0]


async def test_what_served_the_last_time_is_not_told_of_while_nothing_serves_yet(tmp_path):
    settings = settings_in(tmp_path)
    make_data_folder(settings.paths.data)
    settings.manifest_path.write_text('{"by_hand": null}')
    async with open_models(settings, Metrics()):
        assert not settings.manifest_path.exists()


async def test_missing_weights_are_no_matter_of_memory(tmp_path):
    with pytest.raises(WeightsMissing):
        async with open_models(settings_in(tmp_path, embedder="arcface_r100"), Metrics()):
            pass


def test_the_resolved_mapping_is_what_would_begin_and_reads_no_weights(tmp_path):
    spec = OURS["arcface_w600k_mbf"]
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / spec.file).write_text("no weights\n")
    found = resolved_models(settings_in(tmp_path, ladder=("arcface_w600k_mbf",)))
    assert found == json.loads(json.dumps(found))
    by_role = found["resolved"]
    assert {role: row["model"] for role, row in by_role.items()} == {
        "face_detection": "nano_det",
        "face_embedding": "arcface_w600k_mbf",
    }
    row = by_role["face_embedding"]
    assert (row["device"], row["precision"], row["weights_digest"]) == ("cpu", "fp32", spec.weights_digest)
    assert row["signature"] == signature_of(spec)
    assert "most accurate" in row["why"]
    assert found["signature"] == signature_of(OURS["nano_det"], spec)
    assert [(used["name"], used["device"]) for used in found["models_used"]] == [
        ("nano_det", "cpu"),
        ("arcface_w600k_mbf", "cpu"),
    ]
    assert not (tmp_path / "var").exists()


def test_the_resolved_mapping_follows_what_was_chosen_by_hand_and_who_has_templates(tmp_path):
    write_twin(tmp_path / "weights")
    settings = settings_in(tmp_path, ladder=(TWIN,))
    make_data_folder(settings.paths.data)
    choose(settings, TWIN)
    row = resolved_models(settings)["resolved"]["face_embedding"]
    assert (row["model"], row["reason"]) == (TWIN, "by_hand")
    enrolled_for(settings, "nano_embed.1", 256)
    assert resolved_models(settings)["resolved"]["face_embedding"]["model"] == "nano_embed"


async def test_what_nobody_measured_is_figured_by_its_first_load(tmp_path):
    write_twin(tmp_path / "weights", needs=None)
    settings = settings_in(tmp_path, embedder=TWIN)
    async with running(settings):
        pass
    (row,) = json.loads(settings.figures_path.read_text())["figures"]
    assert (row["model"], row["device"], row["command"]) == (TWIN, "cpu", "its first load")
    (figures,) = row["buckets"].values()
    assert figures["run_ms"] > 0
    before = settings.figures_path.read_bytes()
    async with running(settings):
        pass
    assert settings.figures_path.read_bytes() == before, "what is known is not guessed at again"


async def test_what_was_measured_for_the_spec_stays(tmp_path):
    settings = settings_in(tmp_path)
    async with running(settings):
        pass
    assert not settings.figures_path.exists()
