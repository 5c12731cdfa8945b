"""The limit: the ONNX Runtime calls that tracking leaves necessary, and the decode, bare over all cores.

One detection a frame, the embeddings that our run chose, and one thread that decodes the clip; no conversion, no
parsing, no tracking, no matching. Blocks while it runs: call it off the loop.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path

import av
import numpy as np

from recognition.arrays import F32
from recognition.runtimes.tensor_runner import TensorRunner


def replay(
    clip: Path,
    detector: TensorRunner,
    scene: F32,
    embedder: TensorRunner,
    faces: F32,
    crops: list[int],
    frames: int,
    threads: int,
) -> float:
    """Seconds for `frames` runs on `scene` (1,3,h,w), one embedder run on `faces` (k,3,h,w), again and again, for each
    size in `crops`, and the decode. Both are of mixed values: black ones take a network less time than pictures do.
    """
    crop = np.resize(faces, (max(crops, default=1), *faces.shape[1:]))
    work: deque[Callable[[], object]] = deque(partial(detector.run, scene) for _ in range(frames))
    work.extend(partial(embedder.run, crop[:size]) for size in crops)
    return drained_s(work, threads, threading.Thread(target=_decode, args=(clip,), name="limit-decode"))


def drained_s(work: deque[Callable[[], object]], threads: int, *beside: threading.Thread) -> float:
    """Seconds that so many threads need for all of it, and what runs beside them."""
    workers = [threading.Thread(target=_drain, args=(work,), name=f"limit-{n}") for n in range(threads)]
    started_s = time.perf_counter()
    for thread in (*beside, *workers):
        thread.start()
    for thread in (*beside, *workers):
        thread.join()
    return time.perf_counter() - started_s


def _drain(work: deque[Callable[[], object]]) -> None:
    while True:
        try:
            task = work.popleft()
        except IndexError:
            return
        task()


def _decode(clip: Path) -> None:
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        for _ in container.decode(stream):
            pass
