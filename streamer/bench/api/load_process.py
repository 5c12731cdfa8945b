"""Clients that post bodies to a server on loopback, a thread and a connection each, and count what they get.

Run as a program (python -m streamer.bench.api.load_process): a Job comes in as the first line of stdin; with
`requests` null it goes on until stdin ends. One JSON line comes out: an Answered, or why there is none.
"""

import http.client
import itertools
import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypedDict

import numpy as np
import orjson

WITHIN_S = 120.0  # for an answer
_LONGEST_BREAK_S = 5.0


class Job(TypedDict):
    """bodies: file and media type of each. token: without one nothing is sent. requests: of all clients together."""

    port: int
    path: str
    token: str | None
    bodies: list[tuple[str, str]]
    clients: int
    requests: int | None


@dataclass(frozen=True, slots=True)
class Answered:
    """requests that were answered within `seconds`, and how long those took, ms. refused: told to come again (429).

    faces: in the `images` of all answers, where they have such.
    """

    requests: int
    seconds: float
    p50_ms: float
    p95_ms: float
    refused: int
    faces: int


class _UnansweredError(Exception):
    """An answer that is none; its text says which."""


@dataclass(slots=True)
class _Tally:
    took_ms: list[float] = field(default_factory=list)
    refused: int = 0
    faces: int = 0
    failed: str = ""


def measured(job: Job, stop: threading.Event) -> Answered | str:
    """Everything asked; why not, in words, where an answer was an error. Blocks."""
    bodies = [(Path(file).read_bytes(), kind) for file, kind in job["bodies"]]
    numbers = iter(range(job["requests"])) if job["requests"] is not None else itertools.count()
    tallies = [_Tally() for _ in range(job["clients"])]
    threads = [threading.Thread(target=_client, args=(job, bodies, numbers, stop, tally)) for tally in tallies]
    began_s = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began_s
    if failed := next((tally.failed for tally in tallies if tally.failed), ""):
        return failed
    took_ms = [one for tally in tallies for one in tally.took_ms]
    p50, p95 = np.percentile(took_ms, [50, 95]) if took_ms else (0.0, 0.0)
    refused, faces = sum(tally.refused for tally in tallies), sum(tally.faces for tally in tallies)
    return Answered(len(took_ms), seconds, float(p50), float(p95), refused, faces)


def _client(
    job: Job, bodies: list[tuple[bytes, str]], numbers: Iterator[int], stop: threading.Event, tally: _Tally
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", job["port"], timeout=WITHIN_S)
    try:
        # next() of such an iterator is one step for the interpreter: no two threads get the same number.
        while not stop.is_set() and (number := next(numbers, None)) is not None:
            _ask(connection, job, *bodies[number % len(bodies)], stop, tally)
    except (_UnansweredError, OSError, http.client.HTTPException, ValueError) as error:
        tally.failed = f"{job['path']}: {error or type(error).__name__}"
        stop.set()
    finally:
        connection.close()


def _ask(
    connection: http.client.HTTPConnection, job: Job, body: bytes, kind: str, stop: threading.Event, tally: _Tally
) -> None:
    headers = {"Content-Type": kind} | ({"Authorization": f"Bearer {job['token']}"} if job["token"] else {})
    while not stop.is_set():
        began_s = time.perf_counter()
        connection.request("POST", job["path"], body, headers)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != http.client.TOO_MANY_REQUESTS:
            break
        tally.refused += 1
        stop.wait(min(float(answer.headers["Retry-After"] or 1.0), _LONGEST_BREAK_S))
    else:
        return
    if answer.status != http.client.OK:
        raise _UnansweredError(f"answered {answer.status}: {content[:300].decode(errors='replace')}")
    tally.took_ms.append(1e3 * (time.perf_counter() - began_s))
    for image in orjson.loads(content).get("images", ()):
        if "faces" not in image:
            raise _UnansweredError(f"an image of ours was refused: {str(image)[:300]}")
        tally.faces += len(image["faces"])


def _until_stdin_ends(stop: threading.Event) -> None:
    sys.stdin.read()
    stop.set()


def main() -> None:
    """The process itself."""
    job: Job = json.loads(sys.stdin.readline())
    stop = threading.Event()
    if job["requests"] is None:
        threading.Thread(target=_until_stdin_ends, args=(stop,), daemon=True).start()
    found = measured(job, stop)
    sys.stdout.write(json.dumps({"failed": found} if isinstance(found, str) else asdict(found)) + "\n")


if __name__ == "__main__":
    main()
