"""The model layer's part of the benchmark: the promised keys, a row for what can't be measured, and the tables."""

import asyncio
from collections.abc import Iterator

import pytest

from recognition.architectures import find_architecture
from recognition.specs.devices import count_gpus
from recognition.specs.files import load_specs
from recognition.zoo.random_model import write_random_model
from streamer.bench import calm, full_load
from streamer.bench.full_load import Pace
from streamer.bench.gpu import GFLOP_A_FACE, Card, run_gpu, share_of, why_not
from streamer.bench.model_layer import ModelBenchOptions, run_model_layer
from streamer.bench.parts import Parts
from streamer.bench.switches import EMBEDDER
from streamer.cli.bench.model_tables import show_model_layer
from streamer.settings import Settings

QUICK = ModelBenchOptions(architectures=(), slice_s=0.0, cameras_s=0.05, steady_s=0.05)
FIGURES = {"bare_faces_per_s", "batched_faces_per_s", "ratio", "cpu_ratio", "batch_ms", "lost", "others_share"}
ANSWERS = {"faces_per_s", "p50_ms", "p95_ms", "lost"}
no_gpu = pytest.mark.skipif(bool(count_gpus()), reason="there is a GPU here: what is said without one can't be tried")


@pytest.fixture(scope="module", autouse=True)
def impatience() -> Iterator[None]:
    """Whether others disturb is nothing here: beside another test everything would be measured thrice as often."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calm, "PATIENCE", 1)
        patch.setattr(full_load, "LEAST_ROUNDS", 1)
        yield


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Settings:
    """Our own weights; of a larger model, a file that is none of its weights."""
    tmp_path = tmp_path_factory.mktemp("models")
    (tmp_path / load_specs()["mobileface_v2"].file).write_text("no weights\n")
    return Settings.model_validate({"paths": {"models": [str(tmp_path)], "data": str(tmp_path / "var")}})


@pytest.fixture(scope="module")
def document(settings):
    return asyncio.run(run_model_layer(settings, QUICK, Parts(lambda _: None)))


@no_gpu
def test_the_document_has_the_promised_keys(document):
    assert set(document) == {"models", "eight_cameras", "switches", "gpu"}
    rows = {(row["name"], row["device"]): row for row in document["models"]}
    assert set(rows) == {(name, device) for name in (EMBEDDER, "mobileface_v2") for device in ("cpu", "cuda:0")}
    ours = rows[EMBEDDER, "cpu"]
    assert (ours["ok"], ours["why"], ours["weights"], ours["family"]) == (True, None, "real", "arcface")
    assert (ours["engine"], ours["precision"]) == ("onnx", "int8")
    assert list(ours["buckets"]) == [str(size) for size in load_specs()[EMBEDDER].batch_buckets.cpu]
    assert all(set(figures) == FIGURES and figures["lost"] == 0 for figures in ours["buckets"].values())
    assert {row["why"] for row in document["models"] if row["device"] == "cuda:0"} == {"no GPU here"}
    broken = rows["mobileface_v2", "cpu"]
    assert (broken["ok"], broken["buckets"]) == (False, {})
    assert broken["why"].endswith("[weights_digest_mismatch]")
    (cpu, gpu) = document["eight_cameras"]
    assert set(cpu["batched"]) == set(cpu["single"]) == ANSWERS
    assert cpu["batched"]["lost"] == cpu["single"]["lost"] == 0
    assert (gpu["ok"], gpu["why"]) == (False, "no GPU here")
    assert document["switches"] == [], "there is nothing else to switch to"
    assert document["gpu"] == {"measured": False, "why": "no GPU here"}


@no_gpu
def test_the_tables_have_a_row_for_each_figure_and_say_what_is_missing(document, capsys):
    show_model_layer(document)
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines if line.startswith(f"{EMBEDDER} ")]
    assert [row[4] for row in rows if row[1] == "real"] == ["1", "2", "4", "8"]
    assert sum("batches of up to" in line or "one call a face" in line for line in lines) == 2
    assert f"not measured: no GPU here (mobileface_v2 on cuda:0, {EMBEDDER} on cuda:0)" in lines
    assert any(line.startswith("not measured: ") and "[weights_digest_mismatch]" in line for line in lines)
    assert "Not measured: no other embedder's weights are here." in lines
    assert lines[-1] == "ArcFace R100 on a GPU: not measured: no GPU here"


def test_the_table_of_a_gpu_has_what_failed_beside_what_was_measured(capsys):
    rate = {"precision": "bf16", "compiled": False, "bucket": 64, "faces_per_s": 9000.0, "share": 0.31, "why": None}
    failed = {**rate, "compiled": True, "faces_per_s": None, "share": None, "why": "no compiler"}
    gpu = {
        "measured": True,
        "card": "a card",
        "architecture": "arcface_r100",
        "weights": "random",
        "matrix_tflops": 700.0,
        "gflop_a_face": GFLOP_A_FACE,
        "rates": [rate, failed],
        "best": rate,
        "memory": {"ledger_mib": 1000.0, "nvml_mib": 1010.5},
        "published": {"faces_per_s": 1170, "what": "another one"},
    }
    show_model_layer({"models": [], "eight_cameras": [], "switches": [], "gpu": gpu})
    out = capsys.readouterr().out
    assert [line.split()[-2:] for line in out.splitlines() if line.startswith("bf16")] == [
        ["9000.0", "31.0%"],
        ["no", "compiler"],
    ]
    assert "1010.5 MiB by NVML, 1000.0 MiB in the ledger" in out


def test_a_share_is_of_the_matrix_rate():
    assert share_of(tflops=242.0, faces_per_s=1000.0) == pytest.approx(0.1)


async def test_who_wants_the_cpu_gets_no_gpu_measured():
    assert why_not("cpu") == "recognition.device is cpu"
    assert await run_gpu("cpu", Pace()) == {"measured": False, "why": "recognition.device is cpu"}


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("one_thread")
async def test_a_card_is_measured_as_it_is_and_compiled_and_the_ledger_beside_it(tmp_path):
    """On the CPU, where nothing is compiled: what is called, and in which order, is the same."""
    spec = write_random_model(find_architecture("arcface_mbf"), tmp_path, engine="torch")
    card = Card("cpu", spec, tmp_path, Pace(slice_s=0.0, rounds=1), buckets=(1, 2))
    rates = await card.rates("fp32", tflops=1.0)
    assert [(one.compiled, one.bucket) for one in rates[:2]] == [(False, 1), (False, 2)]
    assert {one.bucket for one in rates[2:]} >= {1}
    assert all(one.compiled for one in rates[2:])
    assert all(one.precision == "fp32" and one.why is None for one in rates)
    assert rates[0].share == pytest.approx(share_of(1.0, rates[0].faces_per_s), rel=0.01)
    assert (await card.memory())["ledger_mib"] > 0


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("one_thread")
async def test_what_a_card_can_not_do_is_in_its_row(tmp_path):
    spec = write_random_model(find_architecture("arcface_mbf"), tmp_path, engine="torch")
    rates = await Card("cuda:99", spec, tmp_path, Pace(slice_s=0.0, rounds=1), buckets=(1, 2)).rates("bf16", 1.0)
    assert [one.faces_per_s for one in rates] == [None] * len(rates)
    assert all("device cuda:99 was asked for" in one.why for one in rates)


@pytest.mark.thorough  # the same rows as `document` has, of random weights
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("one_thread")
async def test_an_architecture_has_rows_that_say_that_its_weights_are_random(settings):
    settings = settings.model_copy(update={"recognition": settings.recognition.model_copy(update={"device": "cpu"})})
    options = ModelBenchOptions(architectures=("arcface_mbf",), slice_s=0.0, cameras_s=0.05, steady_s=0.05)
    document = await run_model_layer(settings, options, Parts(lambda _: None))
    cpu, gpu = (row for row in document["models"] if row["name"] == "arcface_mbf")
    assert (cpu["weights"], cpu["ok"], cpu["device"]) == ("random", True, "cpu")
    assert all(set(figures) == FIGURES and figures["lost"] == 0 for figures in cpu["buckets"].values())
    assert (gpu["device"], gpu["ok"], gpu["why"]) == ("cuda:0", False, "recognition.device is cpu")
