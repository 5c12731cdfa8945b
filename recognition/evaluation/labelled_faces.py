"""Every photo of a labelled set embedded by several models at once: what measurements across people are made of.

On the event loop; minutes for thousands of photos. Personal data: what `saved` writes stays with the photos.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recognition.arrays import F32
from recognition.evaluation.pairs import PeoplesPhotos
from recognition.photos import central_face
from recognition.recogniser import Recogniser, RecogniserConfig, open_recogniser

_WORKERS = 8


@dataclass(frozen=True, slots=True, eq=False)
class LabelledFaces:
    """n photos, a person's side by side. people (n,): each photo's person; found (n,): False where it shows no face;
    quality (n,), upright (n,) of its face; embeddings: by space (n,d) float32 unit vectors.
    """

    people: NDArray[np.str_]
    found: NDArray[np.bool_]
    quality: F32
    upright: NDArray[np.bool_]
    embeddings: Mapping[str, F32]

    def save(self, file: Path) -> None:
        """Raises OSError."""
        np.savez(
            file,
            people=self.people,
            found=self.found,
            quality=self.quality,
            upright=self.upright,
            allow_pickle=False,
            **{f"in {space}": vectors for space, vectors in self.embeddings.items()},
        )

    @classmethod
    def saved(cls, file: Path) -> "LabelledFaces":
        """What save() wrote. Raises OSError, KeyError."""
        with np.load(file) as data:
            vectors = {name.removeprefix("in "): data[name] for name in data.files if name.startswith("in ")}
            return cls(data["people"], data["found"], data["quality"], data["upright"], vectors)

    def usable(self, min_quality: float) -> NDArray[np.bool_]:
        """(n,): which faces a decision would be made on."""
        return self.found & self.upright & (self.quality >= min_quality)


async def embed_photos(
    config: RecogniserConfig, photos: PeoplesPhotos, progress: Callable[[int, int], None]
) -> LabelledFaces:
    """The central face of each photo, in the spaces of the configuration's embedder and its in_every_space.

    Raises what open_recogniser raises, and an ImageError for a photo that can't be read.
    """
    config = replace(config, queue_limit=max(config.queue_limit, 4 * _WORKERS))
    total, embeddings = len(photos), dict[str, F32]()
    found, upright = np.zeros(total, np.bool_), np.zeros(total, np.bool_)
    quality = np.zeros(total, np.float32)
    done = 0
    async with open_recogniser(config) as recogniser:

        async def work(places: Iterator[int]) -> None:
            nonlocal done
            for place in places:
                seen = await _face(recogniser, photos, place)
                done += 1
                progress(done, total)
                if seen is None:
                    continue
                found[place], quality[place], upright[place], vectors = True, *seen
                for space, vector in vectors.items():
                    embeddings.setdefault(space, np.zeros((total, len(vector)), np.float32))[place] = vector

        places = iter(range(total))
        async with asyncio.TaskGroup() as tasks:
            for number in range(_WORKERS):
                tasks.create_task(work(places), name=f"embed {number}")
    names = np.array(photos.people)[photos.person]
    return LabelledFaces(names, found, quality, upright, embeddings)


async def _face(
    recogniser: Recogniser, photos: PeoplesPhotos, place: int
) -> tuple[float, bool, Mapping[str, F32]] | None:
    image = await asyncio.get_running_loop().run_in_executor(recogniser.pool, photos.image, place)
    seen = await recogniser.detect(image, "photo")
    landmarks = central_face(seen.detections, image)
    if not len(landmarks):
        return None
    row = int(np.argmin(np.abs(seen.detections.landmarks - landmarks[0]).sum(axis=(1, 2))))
    vectors = {one.space: one.embeddings[0] for one in await recogniser.in_every_space(image, landmarks)}
    return float(seen.quality.score[row]), int(seen.quality.turn[row]) == 0, vectors
