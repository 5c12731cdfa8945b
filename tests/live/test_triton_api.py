"""The API with both its models on a real Triton server, which is killed and started again while nobody asks it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest

from recognition.checks.portraits import read_portraits
from recognition.specs.files import load_specs
from recognition.specs.profile import SpecProfile, TritonModel
from recognition.specs.weights import find_weights
from streamer.access.token_file import make_token
from streamer.process import make_data_folder
from streamer.running.api_only import running_api
from streamer.settings import TritonSettings
from tests.live.service import until
from tests.live.triton_server import PATIENT_S, TritonServer, nano_detector, nano_embedder, need_triton
from tests.streamer.access.keys import bearer
from tests.streamer.running.test_api_only import settings_in

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

IMAGES = [portrait.file for portrait in read_portraits()]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TritonServer]:
    need_triton()
    weights = find_weights(load_specs()["nano_embed"], [])
    with TritonServer(tmp_path, [nano_embedder("nano_embed", weights), nano_detector()]) as running:
        yield running


def on(server: TritonServer | None, deadline_s: float) -> dict[str, Any]:
    """Settings of `recognition`; None: both models in this process."""
    if server is None:
        return {}
    profiles = {
        name: SpecProfile(runtime="triton", triton=TritonModel(model=name, version="1"))
        for name in ("nano_det", "nano_embed")
    }
    return {"profiles": profiles, "triton": TritonSettings(url=server.url, deadline_s=deadline_s, retries=0)}


class Asked:
    """The API alone, by its only client."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def embeddings(self) -> httpx.Response:
        files = [("images", (file.name, file.read_bytes(), "image/jpeg")) for file in IMAGES]
        return await self._client.post("/api/v1/embeddings", files=files)

    async def faces(self) -> np.ndarray:
        """(6, 256): the one face of each portrait."""
        answer = await self.embeddings()
        assert answer.status_code == 200, answer.text
        return np.array([image["faces"][0]["embedding"] for image in answer.json()["images"]], np.float32)

    async def readiness(self) -> tuple[int, str | None]:
        """The status of /readyz, and what it says of the models."""
        answer = await self._client.get("/readyz")
        return answer.status_code, answer.json()["parts"]["models"]["reason"]

    async def triton(self) -> dict[str, Any] | None:
        """As /healthz says it, which is 200 whatever that is."""
        answer = await self._client.get("/healthz")
        assert answer.status_code == 200
        return answer.json()["triton"]


@asynccontextmanager
async def asked(folder: Path, server: TritonServer | None, deadline_s: float = PATIENT_S) -> AsyncIterator[Asked]:
    settings = settings_in(folder, {}, **on(server, deadline_s))
    make_data_folder(settings.paths.data)
    _, secret = make_token(settings.tokens_path, folder.name, "operator")
    async with (
        running_api(settings) as service,
        httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{service.http_port}", headers=bearer(secret), timeout=2 * PATIENT_S
        ) as client,
    ):
        yield Asked(client)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Asked]:
    async with asked(tmp_path / "here", None) as one:
        yield one


@pytest.fixture
async def there(tmp_path: Path, server: TritonServer) -> AsyncIterator[Asked]:
    async with asked(tmp_path / "there", server) as one:
        yield one


def connections_to(server: TritonServer) -> Counter[str]:
    found = psutil.Process().net_connections("tcp")
    return Counter(one.status for one in found if one.raddr and one.raddr.port == server.port)


async def test_embeddings_through_a_server_are_those_of_this_process_over_one_connection_a_model(here, there, server):
    assert await here.triton() is None
    assert await there.triton() == {"ok": True, "reason": None}
    ours, theirs = await asyncio.gather(here.faces(), there.faces())
    assert ours.shape == theirs.shape == (6, 256)
    assert (ours * theirs).sum(axis=1).min() > 0.999
    assert connections_to(server) == {"ESTABLISHED": 2}
    await asyncio.gather(*(there.faces() for _ in range(4)))
    assert connections_to(server) == {"ESTABLISHED": 2}


async def test_a_killed_server_is_told_of_although_nobody_asks_and_taken_again_when_it_is_back(there, server):
    before = await there.faces()
    assert await there.readiness() == (200, None)
    await asyncio.to_thread(server.kill)
    try:

        async def is_unready() -> bool:
            status, reason = await there.readiness()
            return status == 503 and "Triton" in (reason or "")

        await until(is_unready)
        told = await there.triton()
        assert told is not None
        assert told["ok"] is False
        answer = await there.embeddings()
        assert answer.headers["content-type"] == "application/problem+json"
        assert (answer.status_code, answer.json()["code"]) == (503, "triton_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
    finally:
        await asyncio.to_thread(server.ensure)

    async def is_ready() -> bool:
        return await there.readiness() == (200, None)

    await until(is_ready, PATIENT_S)
    assert await there.triton() == {"ok": True, "reason": None}
    assert (before * await there.faces()).sum(axis=1).min() > 0.999


async def test_a_server_that_hangs_is_waited_for_no_longer_than_its_deadline(server, tmp_path):
    """Requests that come meanwhile are all answered, each with a problem, and the loop is free."""
    async with asked(tmp_path / "there", server, deadline_s=3.0) as there:
        before = await there.faces()
        server.hang()
        try:
            async with asyncio.timeout(60):
                found = await asyncio.gather(*(there.embeddings() for _ in range(6)))
            assert {(answer.status_code, answer.json()["code"]) for answer in found} == {(503, "triton_unavailable")}
            assert (await there.readiness())[0] == 503
        finally:
            server.go_on()

        async def is_ready() -> bool:
            await asyncio.to_thread(server.ensure)
            return await there.readiness() == (200, None)

        await until(is_ready, PATIENT_S)
        assert (before * await there.faces()).sum(axis=1).min() > 0.999
