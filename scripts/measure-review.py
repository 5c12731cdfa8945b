#!/usr/bin/env python3
"""What a look at the review costs: the first one, and after a visit came, goes on or is erased; Markdown on stdout.

    python scripts/measure-review.py [--visits 10000] [--people 4000]

Kept visits of unknown people who are made up, five faces each, in a file of the service's own, by the rates of
`nano_embed`; on one thread, as the service does it. Blocks, most of the time to write the visits.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from recognition.specs.spec import EmbedderSpec
from streamer.kept_visits.visit import VisitChange, VisitFace
from streamer.kept_visits.visits_file import VisitsFile
from streamer.model_layer.setup import make_manager
from streamer.review.cluster import Review
from streamer.review.reading import Queue
from streamer.settings_reading import load
from tests.streamer.kept_visits.made import NOW, change, event, keys_in, visit_id

AT_ONCE, FACES, SPREAD = 500, 5, 0.75  # two faces of one person have a cosine of 1 / (1 + SPREAD²)


class Street:
    """Strangers who pass by, and how they look each time."""

    def __init__(self, people: int, spec: EmbedderSpec) -> None:
        self._random = np.random.default_rng(1)
        self._size, self._space = spec.embedding_size, spec.space
        self._looks = self._unit(people)

    def visit(self, who: int | None = None, of: str = "", seq: int = 1) -> VisitChange:
        """Of this one, or anybody; `of`: more of that visit."""
        who = int(self._random.integers(len(self._looks))) if who is None else who
        event_id = of or visit_id()
        told = event(event_id, seq, None, NOW + float(event_id[-6:]) + seq, decision="unknown")
        seen = self._looks[who] + SPREAD * self._unit(FACES)
        seen /= np.linalg.norm(seen, axis=1, keepdims=True)
        faces = tuple(VisitFace(one, 0.5 + 0.1 * seq, self._space, "made up") for one in seen.astype(np.float32))
        return change(event_id, told, is_first=not of, faces=faces, pictures={})

    def _unit(self, count: int) -> np.ndarray:
        found = self._random.normal(size=(count, self._size))
        return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))


def main() -> None:
    asking = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asking.add_argument("--visits", type=int, default=10_000)
    asking.add_argument("--people", type=int, default=4_000)
    asked = asking.parse_args()
    specs = make_manager(load()).specs.values()
    spec = next(one for one in specs if isinstance(one, EmbedderSpec) and one.name == "nano_embed")
    street, queue = Street(asked.people, spec), Queue()
    with (
        tempfile.TemporaryDirectory() as around,
        VisitsFile(Path(around) / "v.db", keys_in(Path(around)), make=True) as file,
    ):
        file.unlock(encrypt=True)
        for first in range(0, asked.visits, AT_ONCE):
            file.write([street.visit() for _ in range(min(AT_ONCE, asked.visits - first))])
        file.take_over()  # all are over
        sys.stdout.write("| a look | s | processor s | clusters |\n|---|---|---|---|\n")

        def look() -> Review:
            return queue.look(file, spec.space, {spec.space: spec.thresholds})

        tell("the first", look)
        tell("nothing is new", look)
        file.write([one := street.visit(who=3)])
        tell("a visit came", look)
        file.write([street.visit(who=3, of=one.event_id, seq=2)])
        tell("better faces of it", look)
        largest = look().clusters[0].event_ids
        file.erase(largest)
        tell(f"a cluster of {len(largest)} was erased", look)


def tell(what: str, look: Callable[[], Review]) -> None:
    began_s, used_s = time.perf_counter(), time.process_time()
    clusters = len(look().clusters)
    took = f"{time.perf_counter() - began_s:.2f} | {time.process_time() - used_s:.2f}"
    sys.stdout.write(f"| {what} | {took} | {clusters} |\n")


if __name__ == "__main__":
    main()
