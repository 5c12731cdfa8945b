"""Faces whose middle lies where nothing counts are none: dropped before anybody follows, counts or enrols them.

A detector's answer goes in, what counts of it comes out; pure, on any thread.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gallery.enrolment.shots import FaceFinder
from recognition.arrays import F32
from recognition.faces import InSpace
from recognition.image import Image
from recognition.recogniser import Found
from recognition.serving.lanes import PHOTO
from streamer.motion.areas import Areas


@dataclass(frozen=True, slots=True)
class Within:
    """Of one camera. left_out: told how many faces were dropped."""

    areas: Areas
    left_out: Callable[[int], object] = lambda _: None

    def faces(self, found: Found, width: int, height: int) -> Found:
        """Those that count, of a picture of this size, px, as a person sees it."""
        boxes = found.detections.boxes
        counts = self.areas.counts((boxes[:, :2] + boxes[:, 2:]) / (2 * np.array((width, height), np.float32)))
        if counts.all():
            return found
        self.left_out(int(np.count_nonzero(~counts)))
        return found.at(np.flatnonzero(counts))


class FinderWithin:
    """A finder that finds no other faces."""

    def __init__(self, finder: FaceFinder, areas: Areas) -> None:
        self._finder = finder
        self._within = Within(areas)

    @property
    def space(self) -> str:
        return self._finder.space

    @property
    def spaces(self) -> tuple[str, ...]:
        return self._finder.spaces

    async def detect(self, image: Image, lane: str) -> Found:
        return self._within.faces(await self._finder.detect(image, lane), image.width, image.height)

    async def in_every_space(self, image: Image, landmarks: F32, lane: str = PHOTO) -> list[InSpace]:
        return await self._finder.in_every_space(image, landmarks, lane)


def finder_within(finder: FaceFinder, areas: Areas) -> FaceFinder:
    """The same finder where all of the picture counts."""
    return finder if areas.is_everything else FinderWithin(finder, areas)
