"""The API alone, in this process: what it answers, what it needs, and that it leaves nothing behind."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from recognition.checks.portraits import read_portraits
from recognition.errors import WeightsMissing
from streamer.access.token_file import make_token, revoke_token
from streamer.errors import ConfigInvalid, HttpUnprotected, PortInUse
from streamer.model_layer.manual_choice import ModelChoice, write_choice
from streamer.process import make_data_folder
from streamer.running.api_only import ApiService, running_api
from streamer.settings import HttpSettings, PathsSettings, RecognitionSettings, Settings
from tests.recognition.fakes import until
from tests.streamer.access.keys import bearer
from tests.twin import TWIN, write_twin

RERANK = {"probe": [1, 0], "candidates": [{"id": "a", "embedding": [1, 0]}, {"id": "b", "embedding": [0, 1]}]}


def settings_in(folder: Path, http: dict[str, Any] | None = None, **recognition: Any) -> Settings:
    return Settings(
        paths=PathsSettings(models=(folder / "weights",), data=folder / "var"),
        recognition=RecognitionSettings(**{"runners": 1, "device": "cpu", "poll_s": 0.01, **recognition}),
        http=HttpSettings(**{"port": 0, **(http or {})}),
    )


@asynccontextmanager
async def asked(settings: Settings) -> AsyncIterator[tuple[ApiService, httpx.AsyncClient]]:
    async with (
        running_api(settings) as service,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.http_port}", timeout=60) as client,
    ):
        yield service, client


async def test_it_is_ready_without_data_and_writes_none(tmp_path):
    async with asked(settings_in(tmp_path)) as (_, client):
        assert (await client.get("/healthz")).status_code == 200
        ready = (await client.get("/readyz")).json()
        assert (ready["ready"], set(ready["parts"])) == (True, {"models", "rerank", "tokens"})
        assert {model["name"] for model in ready["models"]} == {"nano_det", "nano_embed"}
        assert "whosthere_loop_lag_seconds" in (await client.get("/metrics")).text
        assert (await client.post("/api/v1/rerank", json=RERANK)).status_code == 401
    assert not (tmp_path / "var").exists()


async def test_tokens_are_those_of_the_data_folder_and_nothing_is_written_there(tmp_path):
    settings = settings_in(tmp_path)
    make_data_folder(settings.paths.data)
    viewer, operator = (bearer(make_token(settings.tokens_path, role, role)[1]) for role in ("viewer", "operator"))
    before = set(settings.paths.data.iterdir())
    async with asked(settings) as (service, client):
        assert (await client.post("/api/v1/rerank", json=RERANK, headers=viewer)).status_code == 403
        scores = (await client.post("/api/v1/rerank", json=RERANK, headers=operator)).json()["scores"]
        assert [one["id"] for one in scores] == ["a", "b"]
        for path in ("/api/v1/people", "/api/v1/events", "/watch/door", "/whep/door"):
            assert (await client.get(path, headers=operator)).status_code == 404, path
        revoke_token(settings.tokens_path, "operator")
        await until(lambda: len(service.tokens) == 1)
        assert (await client.post("/api/v1/rerank", json=RERANK, headers=operator)).status_code == 401
    assert set(settings.paths.data.iterdir()) == before


async def test_the_configured_embedder_serves_whatever_the_ladder_has_and_a_choice_by_hand_is_followed(tmp_path):
    write_twin(tmp_path / "weights")
    settings = settings_in(tmp_path, embedder=TWIN, ladder=("nano_embed",), requirement="speed", minimum_stay_s=0)
    async with asked(settings) as (service, _):
        assert service.models.recogniser.embedder.name == TWIN
        write_choice(settings.model_choice_path, ModelChoice("nano_embed"))
        await until(lambda: service.models.recogniser.embedder.name == "nano_embed")
        write_choice(settings.model_choice_path, ModelChoice(None))
        await until(lambda: service.models.recogniser.embedder.name == TWIN)
    assert [found.name for found in settings.paths.data.iterdir()] == ["model-choice.json"]


async def test_faces_are_recognised_and_models_switched_beside_a_gallery_that_it_can_not_open(tmp_path):
    write_twin(tmp_path / "weights")
    settings = settings_in(tmp_path)
    make_data_folder(settings.paths.data)
    settings.gallery_path.write_text("sealed under a key that is not here")
    operator = bearer(make_token(settings.tokens_path, "operator", "operator")[1])
    eileen, stranger = (portrait.file.read_bytes() for portrait in read_portraits()[:2])
    async with asked(settings) as (service, client):
        client.headers.update(operator)

        async def answer(path: str, **sent: Any) -> dict[str, Any]:
            found = await client.post(f"/api/v1/face-recognition/{path}", **sent)
            assert found.status_code == 200, found.text
            return found.json()

        first, again, other = [
            (await answer("extract-embedding", files={"image": photo}))["embedding"]
            for photo in (eileen, eileen, stranger)
        ]
        assert (await answer("compare-faces", json={"embedding1": first, "embedding2": again}))["is_match"] is True
        gallery = [{"id": "stranger", "embedding": other}, {"id": "eileen", "embedding": again}]
        asks = {"query_embedding": first, "gallery_embeddings": gallery, "threshold": None}
        best, *_ = (await answer("match-face", json=asks))["matches"]
        assert (best["identity_id"], best["is_match"]) == ("eileen", True)
        assert best["match_threshold"] == pytest.approx(
            service.models.recogniser.embedder.spec.identification_threshold
        )
        switched = await answer("switch-model", json={"model_name": TWIN})
        assert switched == {"success": True, "current_model": TWIN}
        told = (await client.get("/api/v1/face-recognition/statistics")).json()
        assert (told["current_model"], told["total_recognitions"]) == (TWIN, 5)
    assert settings.gallery_path.read_text() == "sealed under a key that is not here"


async def test_a_port_is_shared_where_that_is_asked_for(tmp_path, free_port):
    shared = settings_in(tmp_path, {"port": free_port, "reuse_port": True})
    async with asked(shared) as (one, _), asked(shared) as (other, _):
        assert one.http_port == other.http_port == free_port
        with pytest.raises(PortInUse):
            async with asked(settings_in(tmp_path, {"port": free_port})):
                pass


@pytest.mark.parametrize(
    ("http", "recognition", "error"),
    [
        ({"enabled": False}, {}, ConfigInvalid),
        ({"host": "0.0.0.0"}, {}, HttpUnprotected),
        ({}, {"embedder": "arcface_r100"}, WeightsMissing),
    ],
    ids=["HTTP is switched off", "open to the network", "no weights"],
)
async def test_what_it_can_not_do_without_ends_its_start(tmp_path, http, recognition, error):
    with pytest.raises(error):
        async with asked(settings_in(tmp_path, http, **recognition)):
            pass
