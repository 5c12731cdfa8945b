"""/api/v1/models of a running service: which there are, which serve, and one that is chosen by hand."""

import pytest

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
    far = models["arcface_r100"]
    assert (far["available"], far["code"], far["serving"]) == (False, "weights_missing", False)
    assert str(api.service.settings.paths.data) not in answer.text


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
