"""/api/v1/models of a running service: which there are, which serve, and one that is chosen by hand."""

import pytest

from streamer.api.v1.system.models import InUse, ModelView
from streamer.model_layer.described import Described
from tests.streamer.api.v1.api import refusal
from tests.streamer.api.v1.running import running


@pytest.fixture
async def api(tmp_path):
    async with running(tmp_path) as (service, api):
        api.service = service
        yield api


async def test_all_are_told_and_which_serve(api):
    answer = await api.ask("GET", "/api/v1/models", "viewer")
    models = {model["name"]: model for model in answer.json()["models"]}
    assert {name for name, model in models.items() if model["serving"]} == {"nano_det", "nano_embed"}
    assert (models["nano_embed"]["kind"], models["nano_embed"]["available"]) == ("embedder", True)
    assert models["nano_embed"]["space"] == "nano_embed.2"
    held = {name: model["held_mib"] for name, model in models.items() if model["held_mib"] is not None}
    assert set(held) == {"nano_det", "nano_embed"}
    assert all(0 <= mib < 2000 for mib in held.values()), held  # 0: what others left behind was enough
    assert set(answer.json()["free_mib"]) >= {"cpu"}
    assert 0 < answer.json()["free_mib"]["cpu"] < 1e7
    far = models["arcface_r100"]
    assert (far["available"], far["code"], far["serving"]) == (False, "weights_missing", False)
    assert str(api.service.settings.paths.data) not in answer.text


async def test_what_a_model_takes_is_told_of_where_it_serves(api):
    """A GPU is there and would be chosen, yet it serves on the CPU."""
    row = Described(api.service.settings, api.service.models.manager).row(api.service.models.recogniser.embedder.spec)
    name, row["device"] = row["name"], "cuda:0"
    row["figures"] = {
        "cpu": {"1": {"item_ms": 2.0, "memory_mib": 30.0}, "8": {"item_ms": 2.5, "memory_mib": 45.0}},
        "cuda:0": {"1": {"item_ms": 0.5, "memory_mib": 400.0}, "8": {"item_ms": 0.1, "memory_mib": 440.0}},
    }
    for serving, told in (
        ({}, (440.0, 0.1, None)),  # in the best batch size
        ({name: ("cpu", 8)}, (45.0, 2.5, 44.0)),
        ({name: ("cpu", 4)}, (30.0, 2.0, 44.0)),  # in which nobody measured it
        ({name: ("triton", 8)}, (None, None, None)),
    ):
        shown = ModelView.of(row, InUse(serving, {(name, "cpu"): 44.04}))
        assert (shown.memory_mib, shown.item_ms, shown.held_mib) == told


async def test_one_is_shown_with_a_tag(api):
    shown = await api.ask("GET", "/api/v1/models/nano_det", "viewer")
    assert (shown.status_code, shown.json()["serving"], shown.json()["space"]) == (200, True, None)
    again = await api.ask("GET", "/api/v1/models/nano_det", headers={"If-None-Match": shown.headers["etag"]})
    assert again.status_code == 304


async def test_a_model_that_nobody_knows(api):
    for name in ("nobody", "nano", "a" * 200):
        assert refusal(await api.ask("GET", f"/api/v1/models/{name}")) == (404, "model_not_found"), name
        assert refusal(await api.ask("POST", f"/api/v1/models/{name}/use")) == (404, "model_not_found"), name


async def test_one_is_chosen_by_hand_and_given_back(api):
    used = await api.ask("POST", "/api/v1/models/nano_embed/use", "operator")
    assert used.status_code == 200, used.text
    assert (used.json()["chosen"], used.json()["serving"]) == ("nano_embed", "nano_embed")
    auto = await api.ask("POST", "/api/v1/models/auto/use", "operator")
    assert (auto.json()["chosen"], auto.json()["serving"]) == (None, "nano_embed")
    missing = await api.ask("POST", "/api/v1/models/arcface_r100/use", "operator")
    assert refusal(missing) == (503, "weights_missing")
    assert refusal(await api.ask("POST", "/api/v1/models/auto/use", "viewer"))[0] == 403
