"""The models of a service without its cameras: what was chosen by hand, what is told of it, what would begin."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gallery.errors import GalleryUnreadable
from gallery.index.faiss_index import FaceIndex
from gallery.storage.store import PersonStore
from recognition.checks.portraits import read_portraits
from recognition.errors import CodedError, InsufficientMemory, SelfTestFailed, WeightsMissing
from recognition.models.manager import ModelManager
from recognition.reason import Reason
from recognition.selection.candidates import Placement
from recognition.selection.measurements import BatchFigures, LocalMeasurements
from recognition.specs.files import load_specs
from recognition.specs.profile import BatchBuckets
from recognition.specs.spec import BatchNeeds, Needs, signature_of
from streamer.model_layer.layer import ModelLayer, open_models
from streamer.model_layer.manual_choice import ModelChoice, write_choice
from streamer.model_layer.resolved import resolved_models
from streamer.model_layer.setup import make_manager, open_for_enrolment
from streamer.pipeline.live_gallery import LiveGallery
from streamer.process import make_data_folder
from streamer.settings import PathsSettings, RecognitionSettings, Settings
from streamer.telemetry.metrics import Metrics
from tests.ensembles import ensemble, tiny_model
from tests.fragile import faces, fragile_model
from tests.galleries import open_store
from tests.gallery.fakes import negative_of, photo_of, unit
from tests.recognition.fakes import until
from tests.recognition.scripted_memory import ScriptedMemory
from tests.streamer.scripted_gpu import ScriptedGpu
from tests.twin import TWIN, write_twin

OURS = load_specs()


def settings_in(tmp_path: Path, **recognition: Any) -> Settings:
    return Settings(
        paths=PathsSettings(models=(tmp_path / "weights",), data=tmp_path / "var"),
        recognition=RecognitionSettings(**{"runners": 1, "device": "cpu", "poll_s": 0.01, **recognition}),
    )


@asynccontextmanager
async def running(
    settings: Settings, manager: ModelManager | None = None, metrics: Metrics | None = None
) -> AsyncIterator[tuple[ModelLayer, list[dict[str, Any]]]]:
    """The layer looking after itself, and all that it tells."""
    make_data_folder(settings.paths.data)
    metrics, told = metrics or Metrics(), []
    async with (
        open_models(settings, metrics, manager) as layer,
        LiveGallery.open(settings, layer.recogniser, metrics) as live_gallery,
    ):
        await layer.attach(live_gallery, told.append)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(layer.run())
            yield layer, told
            task.cancel()


def choose(settings: Settings, name: str | None) -> None:
    write_choice(settings.model_choice_path, ModelChoice(name))


def written(settings: Settings) -> object:
    return json.loads(settings.manifest_path.read_text())


def enrolled_for(settings: Settings, space: str, dim: int) -> None:
    with open_store(settings.gallery_path) as store:
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
    enrolled_for(settings, "nano_embed.2", 256)
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
    with open_store(settings.gallery_path) as store:
        assert store.uncovered(f"{TWIN}.1") == 0


async def test_faces_that_are_not_somebody_get_templates_of_every_embedder(tmp_path):
    write_twin(tmp_path / "weights")
    settings = settings_in(tmp_path, ladder=(TWIN,))
    make_data_folder(settings.paths.data)
    enrolled_for(settings, "nano_embed.2", 256)
    async with running(settings) as (layer, _), asyncio.TaskGroup() as tasks:
        background = tasks.create_task(layer.keep_covered())
        with open_store(settings.gallery_path) as store:
            await until(lambda: store.uncovered(f"{TWIN}.1") == 0)
            (person,) = store.people()
            store.add_negative(person.id, negative_of(unit(5, 256), space="nano_embed.2"))
            assert store.lacking(f"{TWIN}.1") == (0, 1)
            await until(lambda: store.lacking(f"{TWIN}.1") == (0, 0))
            assert store.list_negatives(person.id)[0].spaces == ("nano_embed.2", f"{TWIN}.1")
        background.cancel()


async def test_two_that_have_to_agree_wait_for_the_templates_of_each(tmp_path):
    weights = tmp_path / "weights"
    members = [tiny_model(weights, name, dim=64, seed=seed, threshold=0.5) for seed, name in enumerate(("one", "two"))]
    settings = settings_in(tmp_path, ladder=(ensemble(weights, "both", members).name,))
    make_data_folder(settings.paths.data)
    enrolled_for(settings, "nano_embed.2", 256)
    tiny = make_manager(settings, portraits=False)
    async with running(settings, tiny) as (layer, _):
        assert layer.embedder.choice.why_not("both").code == "people_not_covered"
        async with asyncio.TaskGroup() as tasks:
            background = tasks.create_task(layer.keep_covered())
            await until(lambda: layer.embedder.choice.why_not("both").code != "people_not_covered")
            background.cancel()
    with open_store(settings.gallery_path) as store:
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
    enrolled_for(settings, "nano_embed.2", 256)
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


# What the world does.


class Trouble:
    """Calls of a method of a class that fail with an error while it is set; how many did."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, of: type, method: str) -> None:
        self.error: CodedError | None = None
        self.met = 0
        real = getattr(of, method)

        def call(*args: Any, **kwargs: Any) -> Any:
            if self.error is not None:
                self.met += 1
                raise type(self.error)(str(self.error))
            return real(*args, **kwargs)

        monkeypatch.setattr(of, method, call)

    async def met_again(self, times: int = 3) -> None:
        since = self.met
        await until(lambda: self.met >= since + times)


async def test_a_gallery_that_can_not_be_read_for_a_while_is_told_once_and_stops_nothing(tmp_path, monkeypatch, caplog):
    write_twin(tmp_path / "weights")
    settings = settings_in(tmp_path, ladder=(TWIN,), minimum_stay_s=0)
    gallery = Trouble(monkeypatch, PersonStore, "uncovered")
    async with running(settings) as (layer, told), asyncio.TaskGroup() as tasks:
        background = tasks.create_task(layer.keep_covered())
        gallery.error = GalleryUnreadable("the disk is gone")
        await gallery.met_again()
        choose(settings, TWIN)
        await until(lambda: told[-1]["embedder"]["name"] == TWIN)
        await gallery.met_again()
        assert caplog.messages == ["who has templates can't be told: the disk is gone"]
        caplog.set_level(logging.INFO)
        gallery.error = None
        enrolled_for(settings, "nano_embed.2", 256)
        await until(lambda: f"model {TWIN}: 1 templates made of kept photos" in caplog.messages)
        background.cancel()


async def test_a_gallery_that_can_not_be_read_keeps_out_a_model_of_which_nothing_is_known(tmp_path, monkeypatch):
    write_twin(tmp_path / "weights")
    settings = settings_in(tmp_path)
    gallery = Trouble(monkeypatch, PersonStore, "uncovered")
    async with running(settings) as (_, told):
        gallery.error = GalleryUnreadable("the disk is gone")
        choose(settings, TWIN)
        await until(lambda: told[-1]["by_hand"] == TWIN)
        assert told[-1]["by_hand_refused"] == {"code": "gallery_unreadable", "why": "the disk is gone"}
        gallery.error = None
        await until(lambda: told[-1]["embedder"]["name"] == TWIN)


async def test_a_step_within_the_ladder_needs_no_gallery(tmp_path, monkeypatch):
    """Every index is there from the start, and follows the gallery: out of memory does not wait for a disk."""
    write_twin(tmp_path / "weights")
    settings = settings_in(tmp_path, ladder=(TWIN,))
    async with running(settings) as (_, told):
        index = Trouble(monkeypatch, FaceIndex, "sync")
        index.error = GalleryUnreadable("the disk is gone")
        choose(settings, TWIN)
        await until(lambda: told[-1]["embedder"]["name"] == TWIN)


async def test_templates_that_could_not_be_made_are_tried_again(tmp_path, caplog):
    write_twin(tmp_path / "weights")
    settings = settings_in(tmp_path, ladder=(TWIN,))
    make_data_folder(settings.paths.data)
    enrolled_for(settings, "nano_embed.2", 256)
    weights = tmp_path / "weights" / f"{TWIN}.onnx"
    right = weights.read_bytes()
    weights.write_bytes(right[:-1])
    async with running(settings) as (layer, _), asyncio.TaskGroup() as tasks:
        background = tasks.create_task(layer.keep_covered())
        await until(lambda: any(m.startswith(f"model {TWIN}: no templates made") for m in caplog.messages))
        weights.write_bytes(right)
        await until(lambda: layer.covering.coverage.lacking.get(TWIN) == 0)
        background.cancel()


async def test_a_choice_of_an_ensemble_whose_members_are_not_there_is_refused(tmp_path):
    one, two = (tiny_model(tmp_path / "weights", name, dim=64, seed=1, threshold=0.9) for name in ("one", "two"))
    ensemble(tmp_path / "weights", "pair", [one, two])
    (tmp_path / "weights" / "specs" / "face_embedding" / "two.yaml").unlink()
    settings = settings_in(tmp_path)
    async with running(settings) as (layer, told), asyncio.TaskGroup() as tasks:
        background = tasks.create_task(layer.keep_covered())
        choose(settings, "pair")
        await until(lambda: told[-1]["by_hand"] == "pair")
        assert told[-1]["by_hand_refused"]["code"] == "model_not_found"
        background.cancel()
    async with running(settings) as (_, told):
        assert told[-1]["by_hand_refused"]["code"] == "model_not_found", "it stops no start either"
    choose(settings, None)


async def test_a_manifest_that_can_not_be_written_is_written_once_it_can(tmp_path, caplog):
    settings = settings_in(tmp_path)
    async with running(settings) as (_, told):
        await until(settings.manifest_path.is_file)
        settings.manifest_path.unlink()
        settings.manifest_path.mkdir()
        choose(settings, "nobody")
        await until(lambda: told[-1]["by_hand"] == "nobody")
        await until(lambda: any("can't be written" in m for m in caplog.messages))
        settings.manifest_path.rmdir()
        await until(lambda: settings.manifest_path.is_file() and written(settings)["by_hand"] == "nobody")
        failed = [m for m in caplog.messages if "can't be written" in m]
        assert len(failed) == 1


async def test_an_embedder_of_no_use_is_done_without_for_as_long_as_it_is(tmp_path, monkeypatch):
    """It was chosen by hand, and the one that might serve instead came later than the fault."""
    (tmp_path / "weights").mkdir()
    fragile_model(tmp_path / "weights", "nan")
    settings = settings_in(tmp_path, minimum_stay_s=0)
    monkeypatch.setattr("streamer.model_layer.switcher.HELD_BACK_S", 0.02)
    async with running(settings, make_manager(settings, portraits=False)) as (layer, told):
        choose(settings, "fragile")
        await until(lambda: told[-1]["embedder"]["name"] == "fragile")
        layer.embedder.hooks.refused = lambda name: Reason("scripted", "") if name == "nano_embed" else None
        await layer.recogniser.embed(*faces(*[0] * 12), "a")
        await until(lambda: layer.recogniser.fault is not None)
        looked = [layer.embedder.choice]
        for _ in range(5):
            await until(lambda: layer.embedder.choice is not looked[-1])
            looked.append(layer.embedder.choice)
            await asyncio.sleep(0.02)
        layer.embedder.hooks.refused = lambda _: None
        await until(lambda: told[-1]["embedder"]["name"] == "nano_embed")
        assert told[-1]["by_hand_refused"]["code"] == "unhealthy"


# A GPU that other programs use.


def on_a_gpu(settings: Settings, gpu: ScriptedGpu, figures: dict[tuple[str, str], tuple[float, float]]) -> ModelManager:
    """Our own models, on a scripted GPU and the CPU; `figures`: MiB and ms in batches of one, by model and device."""
    one = BatchBuckets(cpu=(1,), cuda=(1,))
    specs = {name: OURS[name].model_copy(update={"batch_buckets": one, "needs": None}) for name in OUR_NAMES}
    local = LocalMeasurements(settings.figures_path)
    for (name, device), (mib, ms) in figures.items():
        local.keep(specs[name], device, {1: BatchFigures(mib, ms)}, measured_at=0, command="a test")
    return ModelManager([], specs=specs, providers=[gpu], reader=gpu.memory)


OUR_NAMES = ("nano_det", "nano_embed")
QUICK = {
    (name, device): (100.0, 1.0 if device == "cuda:0" else 20.0) for name in OUR_NAMES for device in ("cuda:0", "cpu")
}


async def test_a_detector_for_which_there_is_no_room_leaves_the_gpu_to_the_embedder(tmp_path):
    """Its figures say that it fits; the card says no."""
    settings = settings_in(tmp_path, device="auto")
    gpu = ScriptedGpu(ScriptedMemory(cuda_0=2000, cpu=8000), {"nano_det": 5000, "nano_embed": 100})
    async with open_models(settings, Metrics(), on_a_gpu(settings, gpu, QUICK)) as layer:
        places = [served.place for _, served in layer.seated()]
        assert places == [Placement("nano_det", "cpu", 1), Placement("nano_embed", "cuda:0", 1)]
        assert {h.owner: h.users for h in layer.manager.ledger.holdings()} == {"nano_det": 1, "nano_embed": 1}
    assert gpu.memory.ours["cuda:0"] == 0


async def test_an_embedder_that_could_not_begin_on_the_gpu_begins_on_the_cpu_and_is_told_of_until_it_is_there(
    tmp_path, caplog
):
    caplog.set_level(logging.INFO)
    settings = settings_in(tmp_path, device="auto", minimum_stay_s=0)
    gpu = ScriptedGpu(ScriptedMemory(cuda_0=1000, cpu=8000), {"nano_det": 100, "nano_embed": 950})
    metrics = Metrics()

    def shown(reason: str) -> float | None:
        labels = {"model": "nano_embed", "reason": reason}
        return metrics.registry.get_sample_value("whosthere_model_fallback", labels)

    async with running(settings, on_a_gpu(settings, gpu, QUICK), metrics) as (layer, told):
        assert (told[0]["embedder"]["device"], told[0]["embedder"]["fallback"]) == ("cpu", "out_of_memory")
        assert shown("out_of_memory") == 1
        assert any(m.startswith("model nano_embed: on the CPU: nano_embed ran out of memory") for m in caplog.messages)
        gpu.holds_mib = {"nano_embed": 100}
        await until(lambda: told[-1]["embedder"]["device"] == "cuda:0")
        await until(lambda: shown("out_of_memory") == 0)
        assert told[-1]["embedder"]["fallback"] is None
        assert layer.fault is None


async def test_a_detector_that_runs_out_of_memory_goes_on_on_the_cpu_and_back(tmp_path):
    settings = settings_in(tmp_path, device="auto", minimum_stay_s=0)
    gpu = ScriptedGpu(ScriptedMemory(cuda_0=1000, cpu=8000), {"nano_det": 100, "nano_embed": 100})
    async with running(settings, on_a_gpu(settings, gpu, QUICK)) as (layer, told):
        assert told[0]["detector"]["device"] == "cuda:0"
        gpu.memory.others["cuda:0"] = 1000
        image = read_portraits()[0].image()
        found = await asyncio.gather(*(layer.recogniser.detect(image, f"camera{number}") for number in range(8)))
        assert [len(one.detections) for one in found] == [1] * 8
        assert (told[-1]["detector"]["device"], told[-1]["detector"]["reason"]) == ("cpu", "out_of_memory")
        gpu.memory.others["cuda:0"] = 0
        await until(lambda: told[-1]["detector"]["device"] == "cuda:0")
        assert len((await layer.recogniser.detect(image, "door")).detections) == 1


async def test_templates_are_not_made_while_there_is_no_room_for_the_model(tmp_path, caplog):
    """The kernel would end the service."""
    settings = settings_in(tmp_path, embedder="nano_embed", ladder=(TWIN,))
    memory = ScriptedMemory(cpu=8000)
    write_twin(tmp_path / "weights")
    make_data_folder(settings.paths.data)
    enrolled_for(settings, "nano_embed.2", 256)
    specs = load_specs(beside=[tmp_path / "weights"])
    needs = Needs(measured_on="a test", cpu={1: BatchNeeds(memory_mib=9000, run_ms=1)})
    specs[TWIN] = specs[TWIN].model_copy(update={"needs": needs})
    manager = ModelManager([tmp_path / "weights"], specs=specs, reader=memory)
    async with running(settings, manager) as (layer, _), asyncio.TaskGroup() as tasks:
        background = tasks.create_task(layer.keep_covered())
        await until(lambda: any("needs 9000 MiB on cpu" in message for message in caplog.messages))
        memory.total_mib["cpu"] = 10000
        await until(lambda: layer.covering.coverage.lacking[TWIN] == 0)
        background.cancel()


async def test_where_nothing_can_serve_that_is_shown_and_no_camera_waits_for_ever(tmp_path):
    """The embedder runs out of memory in batches of one, and there is no other place for it."""
    settings = settings_in(tmp_path, device="auto", minimum_stay_s=0)
    gpu = ScriptedGpu(ScriptedMemory(cuda_0=1000, cpu=0), {"nano_det": 100, "nano_embed": 100})
    async with running(settings, on_a_gpu(settings, gpu, QUICK)) as (layer, told):
        assert told[0]["embedder"]["device"] == "cuda:0"
        gpu.memory.others["cuda:0"] = 1000
        for _ in range(3):
            with pytest.raises(InsufficientMemory):
                await layer.recogniser.embed(*faces(120), "a")
            assert "out of memory" in layer.fault
        gpu.memory.others["cuda:0"] = 0
        assert (await layer.recogniser.embed(*faces(120), "a")).model == "nano_embed"
        assert layer.fault is None


def write_confused(folder: Path) -> str:
    """An embedder to whom everybody is one: what random weights make of faces."""
    return write_twin(folder, sample=None, thresholds=CONFUSED)


CONFUSED = {
    "measured_on": "a test: two strangers are one person from here on",
    "verification": 1e-3,
    "identification": 1e-5,
    "table": [{"fmr": fmr, "cosine": -0.9, "tmr": 0.99} for fmr in (1e-3, 1e-4, 1e-5)],
}


async def test_weights_that_take_strangers_for_one_serve_nobody(tmp_path, caplog):
    write_confused(tmp_path / "weights")
    alone = settings_in(tmp_path, embedder=TWIN)
    make_data_folder(alone.paths.data)
    with pytest.raises(SelfTestFailed, match=r"takes stranger_1\.jpg and eileen_collins\.jpg, two people, for one"):
        async with open_models(alone, Metrics()):
            pass
    with pytest.raises(SelfTestFailed):
        async with open_for_enrolment(alone):
            pass
    caplog.clear()
    beside = settings_in(tmp_path, embedder=TWIN, ladder=("nano_embed",))
    async with running(beside) as (layer, _):
        assert layer.recogniser.embedder.name == "nano_embed"
        assert "self_test_failed" in {refusal.code for refusal in layer.embedder.choice.refused}
    assert any("serves, not recognition.embedder: " in line for line in caplog.messages)
    async with open_for_enrolment(settings_in(tmp_path, ladder=(TWIN,))) as recogniser:
        assert recogniser.spaces == ("nano_embed.2",)
