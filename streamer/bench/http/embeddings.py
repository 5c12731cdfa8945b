"""/embeddings with 8 pictures a request from 8 clients: ours, the peer's endpoint and the bare networks, in turns.

A running service and pictures go in, one row a kind of pictures comes out. On the benchmark's loop, which is the
service's; clients and the peer are processes of their own.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recognition.recogniser import Recogniser
from streamer.bench.gallery.networks import recorded
from streamer.bench.http.bare import Tensors, bare_s, tensors_of
from streamer.bench.http.load import CLIENTS, Body, Place, ask_all
from streamer.bench.http.peer_server import PeerServer
from streamer.bench.http.pictures import A_REQUEST

PATH = "/api/v1/embeddings"


@dataclass(frozen=True, slots=True)
class Rate:
    """Pictures a second, CPU time of the server for one, faces found in one, p95 of a request of A_REQUEST."""

    images_per_s: float
    cpu_ms: float
    faces: float
    p95_ms: float


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """One kind of pictures, as files and as the requests that carry them."""

    files: Sequence[Path]
    bodies: Sequence[Body]


async def compared(
    recogniser: Recogniser,
    ours: Place,
    peer: PeerServer,
    pictures: Pictures,
    rounds: int,
    slice_s: float,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Each one's best round. Raises BenchFailed where an answer is an error."""
    tensors = [await tensors_of(recogniser, file) for file in pictures.files]
    by_ours: list[Rate] = []
    by_peer: list[Rate] = []
    by_bare: list[Rate] = []
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}: the peer, ours, the bare networks")
        by_peer.append(await rate(peer.place, pictures.bodies, slice_s, peer.cpu_s))
        by_ours.append(await rate(ours, pictures.bodies, slice_s, time.process_time))
        by_bare.append(await asyncio.to_thread(bare_rate, recogniser, tensors, slice_s))
    return _row(by_ours, by_peer, by_bare) | {"share_of_own_runs": await _share_of_own_runs(recogniser, ours, pictures)}


async def rate(place: Place, bodies: Sequence[Body], slice_s: float, cpu_s: Callable[[], float]) -> Rate:
    """Of about so long, by as many requests as fit after those that warm it up."""
    warm_up = await ask_all(place, bodies, 2 * CLIENTS)
    requests = max(2 * CLIENTS, round(slice_s * warm_up.requests / warm_up.seconds))
    before_s = cpu_s()
    answered = await ask_all(place, bodies, requests)
    images = A_REQUEST * answered.requests
    return Rate(
        images / answered.seconds, 1e3 * (cpu_s() - before_s) / images, answered.faces / images, answered.p95_ms
    )


def bare_rate(recogniser: Recogniser, tensors: Sequence[Tensors], slice_s: float) -> Rate:
    """Of about so long. Blocks."""
    count = max(len(tensors), round(slice_s * len(tensors) / bare_s(recogniser, tensors, len(tensors))))
    before_s = time.process_time()
    seconds = bare_s(recogniser, tensors, count)
    faces = sum(len(one.faces) for one in tensors) / len(tensors)
    return Rate(count / seconds, 1e3 * (time.process_time() - before_s) / count, faces, 0.0)


async def _share_of_own_runs(recogniser: Recogniser, ours: Place, pictures: Pictures) -> float:
    """Of the time that requests took, what the very runs that they made take bare."""
    runs = recorded(recogniser)
    answered = await ask_all(ours, pictures.bodies, max(2 * CLIENTS, len(pictures.bodies)))
    return round(await asyncio.to_thread(runs.replay_s) / answered.seconds, 3)


def _row(by_ours: Sequence[Rate], by_peer: Sequence[Rate], by_bare: Sequence[Rate]) -> dict[str, Any]:
    ours, peer, bare = (max(rates, key=lambda one: one.images_per_s) for rates in (by_ours, by_peer, by_bare))
    least_ours, least_peer, least_bare = (min(one.cpu_ms for one in rates) for rates in (by_ours, by_peer, by_bare))
    return {
        "ours_images_per_s": round(ours.images_per_s, 1),
        "peer_images_per_s": round(peer.images_per_s, 1),
        "limit_images_per_s": round(bare.images_per_s, 1),
        "ratio_to_peer": round(ours.images_per_s / peer.images_per_s, 2),
        "share_of_limit": round(ours.images_per_s / bare.images_per_s, 3),
        "ours_cpu_ms": round(least_ours, 2),
        "peer_cpu_ms": round(least_peer, 2),
        "limit_cpu_ms": round(least_bare, 2),
        "ratio_to_peer_by_cpu": round(least_peer / least_ours, 2),
        "share_of_limit_by_cpu": round(least_bare / least_ours, 3),
        "ours_faces": round(ours.faces, 2),
        "peer_faces": round(peer.faces, 2),
        "limit_faces": round(bare.faces, 2),
        "ours_p95_ms": round(ours.p95_ms, 1),
        "peer_p95_ms": round(peer.p95_ms, 1),
    }
