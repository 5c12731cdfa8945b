"""An embedder on a server that goes away and comes back, with another one in the ladder, and without."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from recognition.errors import TritonUnavailable
from recognition.models.manager import ModelManager
from recognition.models.providers import default_providers
from recognition.reason import Reason
from recognition.specs.files import load_specs
from recognition.specs.profile import SpecProfile, TritonModel
from recognition.specs.spec import EmbedderSpec
from streamer.model_layer.layer import ModelLayer, open_models
from streamer.model_layer.switcher import SHORTLY_S
from streamer.model_layer.triton_monitor import AWAY_S, TritonMonitor
from streamer.telemetry.metrics import Metrics
from tests.fragile import faces
from tests.recognition.fakes import until
from tests.streamer.model_layer.test_layer import running, settings_in
from tests.streamer.scripted_server import ScriptedServer
from tests.twin import TWIN, write_twin

ASK = SpecProfile(runtime="triton", triton=TritonModel(model="nano_embed", version="1"))


@pytest.fixture
def server() -> ScriptedServer:
    return ScriptedServer()


@pytest.fixture
def manager(tmp_path: Path, server: ScriptedServer) -> Callable[[], ModelManager]:
    """nano_embed on the server, and its twin here, which is not as good."""

    def make() -> ModelManager:
        specs = load_specs(beside=[tmp_path / "weights"])
        twin = specs[TWIN]
        assert isinstance(twin, EmbedderSpec)
        rows = tuple(row.model_copy(update={"tmr": 0.5}) for row in twin.thresholds.table)
        worse = twin.model_copy(update={"thresholds": twin.thresholds.model_copy(update={"table": rows})})
        specs = {**specs, TWIN: worse}
        providers = [server, *default_providers()]
        return ModelManager([tmp_path / "weights"], specs=specs, profiles={"nano_embed": ASK}, providers=providers)

    write_twin(tmp_path / "weights")
    return make


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamer.model_layer.triton_monitor.AWAY_S", 0.05)
    monkeypatch.setattr("streamer.model_layer.triton_monitor.SHORTLY_S", 1.0)
    monkeypatch.setattr("streamer.model_layer.triton_monitor.LOOK_S", 0.02)
    monkeypatch.setattr("streamer.model_layer.switcher.SHORTLY_S", 1.0)


async def served_by(layer: ModelLayer, name: str) -> None:
    """Ask as a camera does until this embedder answers."""

    async def answered() -> str | None:
        try:
            return (await layer.recogniser.embed(*faces(120), "a")).model
        except TritonUnavailable:
            return None

    found: list[str | None] = []
    async with asyncio.timeout(10):
        while found[-1:] != [name]:
            found.append(await answered())
            await asyncio.sleep(0.001)


async def test_a_server_that_goes_away_is_done_without_until_it_is_back(tmp_path, manager, server):
    settings = settings_in(tmp_path, ladder=(TWIN,), minimum_stay_s=0)
    async with running(settings, manager()) as (layer, told):
        assert (told[0]["embedder"]["name"], told[0]["embedder"]["device"]) == ("nano_embed", "triton")
        assert layer.fault is None
        server.up = False
        with pytest.raises(TritonUnavailable):
            await layer.recogniser.embed(*faces(120), "a")
        assert "connection refused" in layer.fault
        await served_by(layer, TWIN)
        assert (told[-1]["embedder"]["name"], told[-1]["reason"]) == (TWIN, "triton_unavailable")
        assert layer.fault is None
        shown = {"nano_embed": "triton_unavailable", TWIN: None, "nano_det": None}
        await until(lambda: {state.name: state.code for state in layer.readiness()} == shown)
        loads = server.loads
        await until(lambda: server.loads >= loads + 2)
        assert layer.recogniser.embedder.name == TWIN
        server.up = True
        await until(lambda: told[-1]["embedder"]["name"] == "nano_embed")
        assert told[-1]["reason"] == "better"
        await served_by(layer, "nano_embed")


async def test_a_server_that_is_away_at_the_start_stops_none_where_another_embedder_is_there(tmp_path, manager, server):
    server.up = False
    settings = settings_in(tmp_path, ladder=(TWIN,), minimum_stay_s=0)
    async with running(settings, manager()) as (_, told):
        assert told[0]["embedder"]["name"] == TWIN
        server.up = True
        await until(lambda: told[-1]["embedder"]["name"] == "nano_embed")


async def test_a_server_alone_is_waited_for(tmp_path, manager, server):
    settings = settings_in(tmp_path)
    async with running(settings, manager()) as (layer, told):
        server.up = False
        for _ in range(3):
            with pytest.raises(TritonUnavailable):
                await layer.recogniser.embed(*faces(120), "a")
            looked = layer.embedder.choice
            await until(lambda looked=looked: layer.embedder.choice is not looked)
        server.up = True
        await until(lambda: layer.fault is None)  # although no face has come since
        await served_by(layer, "nano_embed")
        assert {document["embedder"]["name"] for document in told} == {"nano_embed"}
    server.up = False
    with pytest.raises(TritonUnavailable):
        async with open_models(settings, Metrics(), manager()):
            pass


def test_only_a_server_that_fails_all_the_time_is_away(monkeypatch):
    monkeypatch.undo()
    held: list[tuple[str, str | None]] = []

    class Switcher:
        def hold_back(self, model: str, why: Reason, device: str, for_s: float) -> None:
            held.append((model, why.code))
            assert for_s == SHORTLY_S

    now_s = 0.0
    servers = TritonMonitor(None, Switcher(), 8, lambda: now_s)
    down, up = Reason("triton_unavailable", "away"), None
    servers.watch("a", "triton", down)
    now_s = AWAY_S - 0.1
    servers.watch("a", "triton", up)
    servers.watch("a", "triton", down)
    now_s = 2 * AWAY_S - 0.2
    servers.watch("a", "triton", Reason("insufficient_memory", "out of memory"))
    servers.watch("a", "triton", down)
    now_s += AWAY_S - 0.1
    servers.watch("b", "triton", down)
    servers.watch("a", "triton", down)
    assert held == []
    now_s += AWAY_S
    servers.watch("a", "triton", down)
    assert held == [("a", "triton_unavailable")]
