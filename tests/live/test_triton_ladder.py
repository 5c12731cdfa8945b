"""A service's models with an embedder on a real Triton server, which is killed and started again, and one here."""

import asyncio
from pathlib import Path

import pytest

from recognition.checks.portraits import read_portraits
from recognition.errors import TritonUnavailable
from recognition.specs.files import load_specs
from recognition.specs.profile import SpecProfile, TritonModel
from recognition.specs.weights import find_weights
from streamer.model_layer.layer import ModelLayer
from streamer.settings import TritonSettings
from tests.live.triton_server import PATIENT_S, TritonServer, nano_embedder, need_triton
from tests.streamer.model_layer.test_layer import running, settings_in
from tests.twin import TWIN, write_twin

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]


async def answered_by(layer: ModelLayer, name: str) -> None:
    """Ask as a camera does until this embedder answers."""
    portrait = read_portraits()[0]
    found: list[str] = []
    async with asyncio.timeout(2 * PATIENT_S):
        while found[-1:] != [name]:
            try:
                found.append((await layer.recogniser.embed(portrait.image(), portrait.landmarks[None], "a")).model)
            except TritonUnavailable:
                await asyncio.sleep(0.01)


async def test_a_killed_server_is_left_for_another_embedder_and_taken_again(tmp_path: Path, monkeypatch) -> None:
    need_triton()
    monkeypatch.setattr("streamer.model_layer.triton_monitor.AWAY_S", 0.5)
    for module in ("switcher", "triton_monitor"):
        monkeypatch.setattr(f"streamer.model_layer.{module}.SHORTLY_S", 2.0)
    write_twin(tmp_path / "weights", thresholds=worse_than_nano())
    weights = find_weights(load_specs()["nano_embed"], [])
    with TritonServer(tmp_path, [nano_embedder("nano_embed", weights, version=2)]) as server:
        settings = settings_in(
            tmp_path,
            ladder=(TWIN,),
            minimum_stay_s=0,
            profiles={"nano_embed": SpecProfile(runtime="triton", triton=TritonModel(model="nano_embed", version="2"))},
            triton=TritonSettings(url=server.url, deadline_s=PATIENT_S),
        )
        try:
            async with running(settings) as (layer, told):
                assert told[0]["embedder"]["device"] == "triton"
                await answered_by(layer, "nano_embed")
                await asyncio.to_thread(server.kill)
                await answered_by(layer, TWIN)
                assert told[-1]["reason"] == "triton_unavailable"
                await asyncio.to_thread(server.start)
                await answered_by(layer, "nano_embed")
                assert told[-1]["reason"] == "better"
        finally:
            await asyncio.to_thread(server.ensure)


def worse_than_nano() -> dict[str, object]:
    """The thresholds of nano_embed, at which fewer people are told apart."""
    found = load_specs()["nano_embed"].thresholds.model_dump(mode="json")
    return {**found, "table": [{**row, "tmr": 0.5} for row in found["table"]]}
