"""How long networks take, side by side in one run: works or specs in, milliseconds of each out.

Blocks for seconds, in the calling thread alone; its own clock leaves out what other programs take.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

from recognition import embed
from recognition.training.teacher import TeachingEmbedder

_ROUNDS = 40


def by_turns(works: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """The median of each one's milliseconds; by turns, so that all see the same machine."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(_ROUNDS):
        for name, work in works.items():
            began_s = time.thread_time()
            work()
            times[name].append(time.thread_time() - began_s)
    return {name: round(1e3 * median(row), 3) for name, row in times.items()}


def embedder_milliseconds(names: Sequence[str], weights_folders: Sequence[Path]) -> dict[str, float]:
    """One face through each embedder's network alone. Raises what specs and weights raise."""
    works: dict[str, Callable[[], object]] = {}
    for name in names:
        embedder = TeachingEmbedder(name, weights_folders)
        width, height = embedder.spec.input.size
        crop = np.random.default_rng(0).integers(0, 256, (1, height, width, 3)).astype(np.uint8)
        works[name] = partial(embedder.run, embed.prepare(embedder.spec, crop))
    return by_turns(works)
