"""What was measured here is kept, found again, and goes before what specs say; other weights' and machines' is not."""

import json
import logging
import stat
import threading
from pathlib import Path

import pytest

from recognition.errors import FiguresUnwritable
from recognition.reason import Reason
from recognition.selection.candidates import BatchCap, Cost, Load, Measurement
from recognition.selection.measurements import BatchFigures, LocalMeasurements, candidate, device_figures, hardware_of
from recognition.selection.selector import choose
from recognition.specs.files import load_specs
from recognition.specs.spec import BatchNeeds, Needs

HERE = {"cpu": "a processor", "cuda:0": "a card"}
SPEC = load_specs()["nano_embed"].model_copy(update={"needs": None})
BUCKETS = {1: BatchFigures(20.5, 3.0), 8: BatchFigures(31.0, 24.0)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "var" / "model-figures.json"


def keep(file: Path, spec=SPEC, device="cpu", buckets=BUCKETS, hardware=HERE, command="whosthere models bench") -> None:
    LocalMeasurements(file, hardware).keep(spec, device, buckets, measured_at=1763674512.5, command=command)


def changed(**what):
    return SPEC.model_copy(update=what)


def test_what_was_measured_is_found_again_with_when_and_by_which_command(file):
    keep(file)
    found = LocalMeasurements(file, HERE).find(SPEC, "cpu")
    assert found.buckets == BUCKETS
    assert (found.measured_at, found.command) == (1763674512.5, "whosthere models bench")
    assert (found.device, found.hardware, found.weights_digest) == ("cpu", "a processor", SPEC.weights_digest)


def test_what_another_process_writes_is_seen_at_the_next_look(file):
    local = LocalMeasurements(file, HERE)
    assert local.find(SPEC, "cpu") is None
    keep(file)
    assert local.find(SPEC, "cpu").buckets == BUCKETS
    keep(file, buckets={1: BatchFigures(21.0, 2.5)})
    assert local.find(SPEC, "cpu").buckets == {1: BatchFigures(21.0, 2.5)}


@pytest.mark.parametrize(
    "other",
    [
        changed(weights_digest="0" * 64),
        changed(weights_digest=None),
        changed(name="nano_embed_2"),
        changed(precision="fp16"),
        changed(engine="torch"),
        changed(runtime="triton"),
    ],
)
def test_figures_of_other_weights_or_of_another_way_to_run_them_are_not_used(file, other):
    keep(file)
    assert LocalMeasurements(file, HERE).find(other, "cpu") is None


def test_figures_of_another_device_or_other_hardware_are_not_used(file):
    keep(file)
    assert LocalMeasurements(file, HERE).find(SPEC, "cuda:0") is None
    assert LocalMeasurements(file, {"cpu": "another processor"}).find(SPEC, "cpu") is None


def test_of_one_model_the_last_figures_stay_and_those_of_its_former_weights_go(file):
    keep(file, spec=changed(weights_digest="0" * 64))
    keep(file, device="cuda:0")
    keep(file)
    local = LocalMeasurements(file, HERE)
    assert local.find(changed(weights_digest="0" * 64), "cpu") is None
    assert local.find(SPEC, "cpu") is not None
    assert local.find(SPEC, "cuda:0") is not None
    assert len(json.loads(file.read_text())["figures"]) == 2


def test_nobody_else_may_read_the_file_and_nothing_is_left_beside_it(file):
    keep(file)
    keep(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(left.name for left in file.parent.iterdir()) == [file.name, f"{file.name}.lock"]


def test_many_that_write_at_once_keep_each_others_models(file):
    names = [f"model_{number}" for number in range(24)]
    together = threading.Barrier(6)

    def write(mine: list[str]) -> None:
        together.wait()
        for name in mine:
            keep(file, changed(name=name))

    threads = [threading.Thread(target=write, args=(names[part::6],)) for part in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    local = LocalMeasurements(file, HERE)
    assert [name for name in names if local.find(changed(name=name), "cpu") is None] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "[]",
        '{"format": "whosthere.model-figures/2", "figures": []}',
        '{"format": "whosthere.model-figures/1", "figures": [{"model": "nano_embed"}]}',
    ],
)
def test_a_broken_file_is_told_of_once_and_set_aside_by_the_next_write(file, caplog, text):
    file.parent.mkdir()
    file.write_text(text)
    local = LocalMeasurements(file, HERE)
    with caplog.at_level(logging.WARNING):
        assert local.find(SPEC, "cpu") is None
        assert local.find(SPEC, "cpu") is None
    assert len(caplog.records) == 1
    assert str(file) in caplog.text
    assert file.read_text() == text
    with caplog.at_level(logging.WARNING):
        keep(file)
    assert "model-figures.json.broken" in caplog.text
    assert file.with_name("model-figures.json.broken").read_text() == text
    assert local.find(SPEC, "cpu").buckets == BUCKETS


@pytest.mark.parametrize("number", ["-1", "NaN", "Infinity", "1e999", '"much"'])
def test_no_figure_is_taken_that_can_be_none(file, caplog, number):
    keep(file)
    file.write_text(file.read_text().replace("20.5", number))
    assert LocalMeasurements(file, HERE).find(SPEC, "cpu") is None
    assert "figures.0.buckets.1.memory_mib" in caplog.text


def test_unknown_keys_are_not_carried_on(file):
    keep(file)
    tree = json.loads(file.read_text())
    tree["owner"] = "somebody"
    tree["figures"][0]["buckets"]["1"]["watts"] = 9
    file.write_text(json.dumps(tree))
    assert LocalMeasurements(file, HERE).find(SPEC, "cpu").buckets == BUCKETS
    keep(file, device="cuda:0")
    assert "somebody" not in file.read_text()
    assert "watts" not in file.read_text()


def test_a_folder_that_can_not_be_written(tmp_path):
    (tmp_path / "var").write_text("a file")
    with pytest.raises(FiguresUnwritable, match=r"paths\.data"):
        keep(tmp_path / "var" / "model-figures.json")


def test_figures_of_weights_that_nobody_could_name_are_a_bug(file):
    with pytest.raises(ValueError, match="which weights"):
        keep(file, changed(weights_digest=None))
    assert not file.exists()


def test_this_machines_processor_has_a_name_and_a_card_that_is_not_there_has_none():
    assert hardware_of("cpu") in Path("/proc/cpuinfo").read_text() or hardware_of("cpu") == "unknown"
    assert hardware_of("cuda:99") == "unknown"


def needs(**by_device) -> Needs:
    tables = {
        device: {bucket: BatchNeeds(memory_mib=mib, run_ms=ms) for bucket, (mib, ms) in table.items()}
        for device, table in by_device.items()
    }
    return Needs(measured_on="another machine", **tables)


def told(memory_mib: float, run_ms: float, *, here: bool) -> Cost:
    return Cost(Measurement(memory_mib, measured=here), Measurement(run_ms, measured=here))


def test_where_nobody_measured_there_is_no_figure(file):
    figures = device_figures(SPEC, "cpu", LocalMeasurements(file, HERE))
    assert figures.costs == {bucket: Cost() for bucket in (1, 2, 4, 8)}
    assert device_figures(SPEC, "cuda:0", None).costs == {bucket: Cost() for bucket in (1, 2, 4, 8, 16, 32)}


def test_what_was_measured_here_goes_before_what_the_spec_says(file):
    keep(file)
    spec = changed(needs=needs(cpu={1: (90.0, 9.0), 2: (95.0, 18.0)}, cuda={1: (300.0, 1.0)}))
    local = LocalMeasurements(file, HERE)
    assert device_figures(spec, "cpu", local).costs == {
        1: told(20.5, 3.0, here=True),
        2: told(95.0, 18.0, here=False),
        4: Cost(),
        8: told(31.0, 24.0, here=True),
    }
    assert device_figures(spec, "cuda:0", local).costs[1] == told(300.0, 1.0, here=False)


def test_no_larger_batches_than_are_wanted_are_told_of():
    assert list(device_figures(SPEC, "cpu", None, max_batch=3).costs) == [1, 2]
    assert list(device_figures(SPEC, "cpu", None, max_batch=4).costs) == [1, 2, 4]


def test_a_server_has_a_cards_batches_and_nobodys_figures(file):
    keep(file)
    spec = changed(needs=needs(cpu={1: (90.0, 9.0)}, cuda={1: (300.0, 1.0)}))
    costs = device_figures(spec, "triton", LocalMeasurements(file, HERE)).costs
    assert costs == {bucket: Cost() for bucket in (1, 2, 4, 8, 16, 32)}


def test_memory_that_could_not_be_told_here_is_the_specs(file):
    keep(file, buckets={1: BatchFigures(None, 3.0)})
    local = LocalMeasurements(file, HERE)
    assert device_figures(SPEC, "cpu", local).costs[1] == Cost(None, Measurement(3.0, measured=True))
    spec = changed(needs=needs(cpu={1: (90.0, 9.0)}))
    assert device_figures(spec, "cpu", local).costs[1] == Cost(
        Measurement(90.0, measured=False), Measurement(3.0, measured=True)
    )


def test_what_the_manager_knows_of_a_device_is_passed_on():
    bar = BatchCap("insufficient_memory", "it did not fit", 4)
    figures = device_figures(SPEC, "cpu", None, runners=2, held_mib=20.0, idle=True, bar=bar)
    assert (figures.runners, figures.held_mib, figures.idle, figures.bar) == (2, 20.0, True, bar)
    assert figures.open_buckets == [1, 2]


def test_a_candidates_accuracy_is_what_its_spec_says_was_measured():
    specs = load_specs()
    devices = {"cpu": device_figures(SPEC, "cpu", None)}
    assert candidate(specs["nano_embed"], devices).accuracy == Measurement(0.73, measured=False)
    assert candidate(specs["arcface_r100"], devices).accuracy is None
    assert candidate(specs["nano_det"], devices).accuracy is None
    missing = Reason("weights_missing", "nowhere")
    assert candidate(SPEC, devices, missing).unavailable == missing


def test_the_choice_follows_what_was_measured_here(file):
    """By its spec the one is faster; here the other is."""
    one, other = (
        changed(name=name, needs=needs(cpu={1: (20.0, run_ms)})) for name, run_ms in (("one", 2.0), ("other", 4.0))
    )

    def chosen() -> str:
        local = LocalMeasurements(file, HERE)
        candidates = [candidate(spec, {"cpu": device_figures(spec, "cpu", local)}) for spec in (one, other)]
        return choose(candidates, {"cpu": 1000.0}, "speed", Load()).best.place.model

    assert chosen() == "one"
    keep(file, one, buckets={1: BatchFigures(20.0, 6.0)})
    assert chosen() == "other"
