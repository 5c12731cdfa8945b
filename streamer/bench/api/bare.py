"""The limit of /embeddings: what the bare networks take for the same pictures, a plain pass and each face embedded.

No HTTP, no JPEG, no scaling, no parsing; as many threads as cores. Pictures are prepared on the benchmark's loop and
the recogniser's threads, bare_s() blocks.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from recognition import detect, embed
from recognition.arrays import F32
from recognition.image import read_image
from recognition.recogniser import Recogniser
from recognition.specs.devices import usable_cores
from streamer.bench.limit import drained_s


@dataclass(frozen=True, slots=True, eq=False)
class Tensors:
    """A picture as the networks want it: scene (1,3,h,w), faces (k,3,h,w), both as they are of this very picture."""

    scene: F32
    faces: F32


async def tensors_of(recogniser: Recogniser, file: Path) -> Tensors:
    """A file as one glance sees it."""
    image = read_image(file)
    found = await recogniser.glance(image, "bench")
    detector, embedder = recogniser.detector, recogniser.embedder
    prepared = detect.prepare(detector.spec, image, trim=recogniser.trims)
    crops = embed.crops(embedder.spec, image, found.detections.landmarks)
    return Tensors(prepared.tensor[None], embed.prepare(embedder.spec, crops))


def bare_s(recogniser: Recogniser, pictures: Sequence[Tensors], count: int) -> float:
    """Seconds for `count` pictures, one after another and again from the first."""
    detector, embedder = recogniser.detector, recogniser.embedder
    work: deque[Callable[[], object]] = deque()
    for number in range(count):
        picture = pictures[number % len(pictures)]
        work.append(partial(detector.runner.run, picture.scene))
        for start in range(0, len(picture.faces), embedder.max_batch):
            work.append(partial(embedder.runner.run, picture.faces[start : start + embedder.max_batch]))
    return drained_s(work, usable_cores())
