"""Four processes of `serve --api-only` behind one port, on the data folder that a whole service holds."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from recognition.checks.portraits import read_portraits
from tests.live.servers import unused_port
from tests.live.service import ServiceProcess, until
from tests.streamer.access.keys import bearer
from tests.twin import TWIN, write_twin

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

MANY = 4
CLIENTS = 64  # the kernel deals connections out by chance: that one of four gets none of so many is 1 in 25 million
RERANK = {"probe": [1, 0], "candidates": [{"id": "a", "embedding": [1, 0]}, {"id": "b", "embedding": [0, 1]}]}


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[ServiceProcess]:
    """A service with the data folder's lock; its broker is away, which is no matter here."""
    write_twin(tmp_path / "weights")
    paths = {"data": "data", "models": ["weights"]}
    with ServiceProcess(tmp_path, {"mqtt": {"port": 1}, "paths": paths}) as running:
        yield running


@pytest.fixture
def port() -> int:
    return unused_port()


@pytest.fixture
def many(whole: ServiceProcess, tmp_path: Path, port: int) -> Iterator[list[ServiceProcess]]:
    """Behind one port; with a broker's login that is nowhere, and a camera that nobody opens."""
    config = {
        "http": {"port": port},
        "paths": {"data": str(whole.data), "models": [str(tmp_path / "weights")]},
        "mqtt": {"password": "${NOT_SET_ANYWHERE}"},
        "cameras": {"door": {"url": "rtsp://${CAM_USER}@192.0.2.9/h264"}},
    }
    with ExitStack() as running:
        processes = []
        for number in range(MANY):
            folder = tmp_path / f"api-{number}"
            folder.mkdir()
            service = ServiceProcess(folder, config, "--api-only", "--reuse-port")
            processes.append(running.enter_context(service))
        yield processes


async def until_all_listen(processes: list[ServiceProcess]) -> None:
    await until(lambda: all(one.http is not None for one in processes))


def token_of(service: ServiceProcess, name: str) -> dict[str, str]:
    return bearer(service.run("tokens", "make", name, "--role", "operator").strip())


async def model_of(address: str, headers: dict[str, str]) -> str:
    """By a connection of its own."""
    async with httpx.AsyncClient(base_url=address, timeout=30, headers=headers) as client:
        return (await client.get("/api/v1/face-recognition/statistics")).json()["current_model"]


async def answers(port: int, headers: dict[str, str], count: int) -> Counter[int]:
    """Statuses of so many requests, each on a connection of its own, made again where that was reset or one stops."""

    async def one() -> int:
        while True:
            try:
                async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
                    answer = await client.post("/api/v1/rerank", json=RERANK, headers=headers)
                if answer.status_code != 503 or answer.json()["code"] != "service_stopping":
                    return answer.status_code
            except httpx.TransportError:
                await asyncio.sleep(0.01)

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        made = [tasks.create_task(one()) for _ in range(count)]
    return Counter(task.result() for task in made)


async def test_each_answers_and_whoever_is_left_goes_on(whole, many, port):
    await until(lambda: whole.http)
    headers = token_of(whole, "others")
    await until_all_listen(many)
    async with AsyncExitStack() as held:
        address = f"http://127.0.0.1:{port}"
        clients = [
            await held.enter_async_context(httpx.AsyncClient(base_url=address, timeout=30)) for _ in range(CLIENTS)
        ]
        found = await asyncio.gather(
            *(client.post("/api/v1/rerank", json=RERANK, headers=headers) for client in clients)
        )
        assert {answer.status_code for answer in found} == {200}
        assert len({answer.text for answer in found}) == 1
        served = {
            connection.pid
            for connection in psutil.net_connections("tcp")
            if connection.status == psutil.CONN_ESTABLISHED and connection.laddr.port == port
        }
        assert served >= {one.pid for one in many}, "each has connections"

        async def batch(client: httpx.AsyncClient) -> tuple[list[list[float]], str]:
            """Of every portrait's face, and the models' signature."""
            files = [("images", portrait.file.read_bytes()) for portrait in read_portraits()]
            answer = await client.post("/api/v1/embeddings", files=files, headers=headers)
            assert answer.status_code == 200, answer.text
            found = answer.json()
            return [image["faces"][0]["embedding"] for image in found["images"]], found["model"]["signature"]

        batches = await asyncio.gather(*map(batch, clients[:8]))
        assert len({signature for _, signature in batches}) == 1
        together = np.array([embeddings for embeddings, _ in batches])  # (8, 6, 256)
        assert (together * together[0]).sum(axis=2).min() > 0.9999

        async def embedding(client: httpx.AsyncClient) -> list[float]:
            files = {"image": read_portraits()[0].file.read_bytes()}
            answer = await client.post("/api/v1/face-recognition/extract-embedding", files=files, headers=headers)
            assert answer.status_code == 200, answer.text
            return answer.json()["embedding"]

        first, *others = np.array(await asyncio.gather(*map(embedding, clients[:24])))
        assert (np.array(others) @ first).min() > 0.9999

    async with httpx.AsyncClient(base_url=address, timeout=60) as client:
        wanted = {"model_name": TWIN}
        switched = await client.post("/api/v1/face-recognition/switch-model", json=wanted, headers=headers)
        assert switched.json() == {"success": True, "current_model": TWIN}

    async def all_follow() -> bool:
        addresses = [str(whole.http), *[address] * 24]
        return set(await asyncio.gather(*(model_of(one, headers) for one in addresses))) == {TWIN}

    await until(all_follow)

    asking = asyncio.create_task(answers(port, headers, 200))
    assert await asyncio.to_thread(many[0].stop) == 0
    await asyncio.to_thread(many[1].kill)
    assert await asking == {200: 200}
    assert await answers(port, headers, 20) == {200: 20}

    many[0].start()
    await until_all_listen(many[:1])
    whole.run("tokens", "revoke", "others")

    async def refused() -> bool:
        return await answers(port, headers, 12) == {401: 12}

    await until(refused)
    assert (await whole.readiness())["models"]
    assert (whole.data / "models.json").is_file(), "what serves there is the whole service's to say"
    assert [one.stop() for one in (many[0], many[2], many[3])] == [0, 0, 0]
    for one in many:
        told = [line["message"] for line in one.log() if line["level"] in ("warning", "error")]
        assert all(message.startswith("HTTP lets nobody in yet") for message in told), told
