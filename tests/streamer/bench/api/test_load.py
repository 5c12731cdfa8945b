"""Clients that are a process of their own send what they were given, and tell what they got or why nothing."""

import asyncio

import pytest

from streamer.bench.api.load import Place, ask_all, full_load
from streamer.bench.api.pictures import uploads
from streamer.errors import BenchFailed
from tests.streamer.bench.api.served import Seen, embeddings_server


@pytest.fixture
def files(tmp_path):
    files = [tmp_path / f"{number}.jpg" for number in range(20)]
    for number, file in enumerate(files):
        file.write_bytes(bytes([number]) * (1 + number) + b"\r\n--whosthere")
    return files


@pytest.mark.parametrize(("requests", "clients", "faces"), [(1, 1, 0), (3, 2, 1), (7, 8, 3)])
async def test_each_request_is_sent_once_and_each_answer_counted(tmp_path, files, requests, clients, faces):
    seen, bodies = Seen(), uploads(files, tmp_path / "sent")
    assert [body.file.name for body in bodies] == ["000.multipart", "008.multipart", "016.multipart"]
    async with embeddings_server(seen, faces) as port, asyncio.timeout(60):
        answered = await ask_all(Place(port, "/embeddings", "the-secret"), bodies, requests, clients)
    sent = [file.read_bytes() for number in range(requests) for file in files[8 * (number % 3) :][:8]]
    assert sorted(seen.images) == sorted(sent)
    assert (answered.requests, answered.refused, answered.faces) == (requests, 0, faces * len(sent))
    assert 0 < answered.p50_ms <= answered.p95_ms <= 1e3 * answered.seconds
    assert seen.tokens == {"Bearer the-secret"}


@pytest.mark.parametrize("refusals", [1, 2, 5])
async def test_who_is_told_to_come_again_comes_again(tmp_path, files, refusals):
    seen = Seen()
    seen.refusals = [429] * refusals
    async with embeddings_server(seen) as port, asyncio.timeout(60):
        answered = await ask_all(Place(port, "/embeddings"), uploads(files, tmp_path / "sent"), 3, 2)
    assert (answered.requests, answered.refused, seen.requests) == (3, refusals, 3)
    assert seen.tokens == {None}


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/embeddings", 503, "/embeddings: answered 503: refused"),
        ("/embeddings", 401, "/embeddings: answered 401: refused"),
        ("/nothing", None, "/nothing: answered 404"),
        ("/errors", None, "an image of ours was refused: {'code': 'image_unreadable'}"),
    ],
)
async def test_an_answer_that_is_none_ends_it(tmp_path, files, path, status, told):
    seen = Seen()
    seen.refusals = [] if status is None else [status]
    async with embeddings_server(seen) as port, asyncio.timeout(60):
        with pytest.raises(BenchFailed, match=told):
            await ask_all(Place(port, path), uploads(files, tmp_path / "sent"), 50, 3)


async def test_nobody_there_ends_it(tmp_path, files):
    async with embeddings_server(Seen()) as port:
        pass
    with pytest.raises(BenchFailed, match="refused"):
        await ask_all(Place(port, "/embeddings"), uploads(files, tmp_path / "sent"), 5)


@pytest.mark.parametrize("least", [1, 5, 30])
async def test_full_load_goes_on_until_it_is_left(tmp_path, files, least):
    seen, told, bodies = Seen(), [], uploads(files, tmp_path / "sent")
    seen.least = least
    async with (
        asyncio.timeout(60),
        embeddings_server(seen, 2) as port,
        full_load(Place(port, "/embeddings"), bodies, told),
    ):
        await seen.enough.wait()
    (answered,) = told
    assert answered.requests == seen.requests >= least
    assert answered.faces == 2 * len(seen.images)
