"""A rate is of the requests that were measured; a row holds each one's best round to the others'."""

import asyncio

import pytest

from streamer.bench.api.embeddings import Rate, rate, row_of
from streamer.bench.api.load import CLIENTS, Place
from streamer.bench.api.pictures import uploads
from tests.streamer.bench.api.served import Seen, embeddings_server


@pytest.mark.parametrize(("slice_s", "faces"), [(0.0, 0), (0.2, 1), (0.4, 4)])
async def test_a_rate_over_http(tmp_path, slice_s, faces):
    files = [tmp_path / f"{number}.jpg" for number in range(16)]
    for file in files:
        file.write_bytes(b"pixels")
    seen, clock = Seen(), iter((1.0, 3.0))
    async with embeddings_server(seen, faces) as port, asyncio.timeout(60):
        found = await rate(Place(port, "/embeddings"), uploads(files, tmp_path / "sent"), slice_s, lambda: next(clock))
    measured = seen.requests - 2 * CLIENTS
    assert measured >= 2 * CLIENTS
    assert found.faces == faces
    assert found.cpu_ms == pytest.approx(2000.0 / (8 * measured))
    assert found.images_per_s > 0
    assert found.p95_ms > 0


def test_a_row_is_of_the_best_rounds():
    ours = [Rate(40.0, 40.0, 1.5, 900.0), Rate(50.0, 38.0, 1.5, 800.0), Rate(45.0, 36.0, 1.5, 850.0)]
    peer = [Rate(10.0, 190.0, 1.25, 5000.0), Rate(12.5, 180.0, 1.25, 4000.0)]
    bare = [Rate(62.5, 30.0, 1.5, 0.0), Rate(55.0, 32.0, 1.5, 0.0)]
    threads = [Rate(25.0, 72.0, 1.25, 2000.0), Rate(20.0, 54.0, 1.25, 2500.0)]
    row = row_of({"ours": ours, "peer": peer, "peer_in_threads": threads, "limit": bare})
    assert (row["ours_images_per_s"], row["peer_images_per_s"], row["limit_images_per_s"]) == (50.0, 12.5, 62.5)
    assert (row["ratio_to_peer"], row["share_of_limit"]) == (4.0, 0.8)
    assert (row["ratio_to_peer_by_cpu"], row["share_of_limit_by_cpu"]) == (5.0, 0.833)
    assert (row["ours_faces"], row["peer_faces"], row["limit_faces"]) == (1.5, 1.25, 1.5)
    assert (row["ratio_to_peer_in_threads"], row["ratio_to_peer_in_threads_by_cpu"]) == (2.0, 1.5)
    assert (row["ours_p95_ms"], row["peer_p95_ms"]) == (800.0, 4000.0)
