"""/embeddings with 8 pictures a request from 8 clients: ours, the peer's endpoint and the bare networks, in turns.

A running service and pictures go in, one row a kind of pictures comes out. On the benchmark's loop, which is the
service's; clients and the peer are processes of their own.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recognition.recogniser import Recogniser
from streamer.bench.api.bare import Tensors, bare_s, tensors_of
from streamer.bench.api.load import CLIENTS, Body, Place, ask_all
from streamer.bench.api.peer_server import PeerServer
from streamer.bench.api.pictures import A_REQUEST
from streamer.bench.gallery.networks import recorded

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
    found: dict[str, list[Rate]] = {"ours": [], "peer": [], "peer_in_threads": [], "limit": []}
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}: the peer, the peer in threads, ours, the bare networks")
        found["peer"].append(await rate(peer.place, pictures.bodies, slice_s, peer.cpu_s))
        found["peer_in_threads"].append(await rate(peer.in_threads, pictures.bodies, slice_s, peer.cpu_s))
        found["ours"].append(await rate(ours, pictures.bodies, slice_s, time.process_time))
        found["limit"].append(await asyncio.to_thread(bare_rate, recogniser, tensors, slice_s))
    return row_of(found) | {"share_of_own_runs": await _share_of_own_runs(recogniser, ours, pictures)}


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


def row_of(found: Mapping[str, Sequence[Rate]]) -> dict[str, Any]:
    """Each one's best rate and least CPU time, and ours held to them."""
    best = {who: max(rates, key=lambda one: one.images_per_s) for who, rates in found.items()}
    cpu_ms = {who: min(one.cpu_ms for one in rates) for who, rates in found.items()}
    row: dict[str, Any] = {}
    for who, one in best.items():
        row |= {
            f"{who}_images_per_s": round(one.images_per_s, 1),
            f"{who}_cpu_ms": round(cpu_ms[who], 2),
            f"{who}_faces": round(one.faces, 2),
            f"{who}_p95_ms": round(one.p95_ms, 1),
        }
    for who in ("peer", "peer_in_threads"):
        row[f"ratio_to_{who}"] = round(best["ours"].images_per_s / best[who].images_per_s, 2)
        row[f"ratio_to_{who}_by_cpu"] = round(cpu_ms[who] / cpu_ms["ours"], 2)
    row["share_of_limit"] = round(best["ours"].images_per_s / best["limit"].images_per_s, 3)
    row["share_of_limit_by_cpu"] = round(cpu_ms["limit"] / cpu_ms["ours"], 3)
    return row
