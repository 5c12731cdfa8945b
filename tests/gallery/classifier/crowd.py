"""People made of numbers, and the embedder that knows them: a crop's colour says whose it is."""

from collections.abc import Sequence

import cv2
import numpy as np

from gallery.classifier.embedding import CropFace, EmbedderFacts
from recognition.arrays import F32, U8
from recognition.image import Image
from tests.gallery.fakes import SPACE, near, unit

DIM = 64
FACTS = EmbedderFacts(
    "fake_embed", "fake_det", (112, 112), "arcface", "rgb", 127.5, 127.5, "cpu", SPACE, DIM, "0123456789abcdef"
)


def faces(sizes: Sequence[int], cosine: float = 0.8, seed: int = 0) -> tuple[F32, list[str]]:
    """So many faces of each of people p0, p1, ...: (n,d), and whose each is."""
    found = [
        near(unit(100 + person), cosine, seed=1000 * person + number + seed)
        for person, size in enumerate(sizes)
        for number in range(size)
    ]
    return np.stack(found), [f"p{person:03}" for person, size in enumerate(sizes) for _ in range(size)]


def crop(person: int, number: int) -> U8:
    """(48,40,3): the person's colour, and a pixel by which crops differ."""
    pixels = np.full((48, 40, 3), (16 * person, 128, 8), np.uint8)
    pixels[:8, :8] = (16 * person, 128, 16 + 8 * number)
    return pixels


def encoded(person: int, number: int, kind: str = ".png") -> bytes:
    return cv2.imencode(kind, crop(person, number))[1].tobytes()


class ColourEmbedder:
    """Replaces the network: whose face it is, a crop's blue says; `broken`: for whom it gives NaN."""

    facts = FACTS

    def __init__(self, broken: frozenset[int] = frozenset(), faceless: frozenset[int] = frozenset()) -> None:
        self.broken, self.faceless = broken, faceless
        self.asked = 0

    async def embed_crop(self, crop: Image) -> CropFace:
        self.asked += 1
        pixels = crop.bgr()
        person = round(int(pixels[-1, -1, 0]) / 16)
        if person in self.broken:
            return CropFace(np.full(DIM, np.nan, np.float32), is_found=True)
        embedding = near(unit(100 + person), 0.8, seed=int(pixels[0, 0, 2]))
        return CropFace(embedding, is_found=person not in self.faceless)

    async def embed_chip(self, chip: Image, landmarks: F32) -> F32:
        self.asked += 1
        return unit(int(chip.bgr()[0, 0, 0]))
