"""The one embedder of the training: faces -> unit vectors by the same network, and the same way, as at inference.

On the event loop. Tests put another CropEmbedder in the place of the RecogniserEmbedder.
"""

import asyncio
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from recognition import embed
from recognition.arrays import F32, U8
from recognition.image import ArrayImage, Image
from recognition.photos import central_face
from recognition.recogniser import Recogniser
from recognition.specs.spec import EmbedderSpec

_LANE = "train"


@dataclass(frozen=True, slots=True)
class EmbedderFacts:
    """Which network made the embeddings and how its input is made: (x - mean) / std of pixels 0..255.

    image_size: width, height. signature: of detector and embedder together, see Recogniser.signature.
    """

    network: str
    detector: str
    image_size: tuple[int, int]
    crop: str
    color_order: str
    mean: float
    std: float
    device: str
    space: str
    embedding_size: int
    signature: str


@dataclass(frozen=True, slots=True, eq=False)
class CropFace:
    """(d,) float32 unit vector, zeros where the network gave nothing usable; whether a face was found in the crop."""

    embedding: F32
    is_found: bool


class CropEmbedder(Protocol):
    """What makes embeddings of faces for the training."""

    @property
    def facts(self) -> EmbedderFacts: ...

    async def embed_crop(self, crop: Image) -> CropFace:
        """A picture cut out around one face, without landmarks."""
        ...

    async def embed_chip(self, chip: Image, landmarks: F32) -> F32:
        """A kept chip and its landmarks (5,2) -> (d,) float32 unit vector, zeros where it gave nothing usable."""
        ...


class RecogniserEmbedder:
    """A recogniser as CropEmbedder; open it with max_batch 1: a face's last bits may hang on who shares its batch."""

    def __init__(self, recogniser: Recogniser) -> None:
        self._recogniser = recogniser
        self._spec: EmbedderSpec = recogniser.embedder.spec
        network_input = self._spec.input
        self.facts = EmbedderFacts(
            network=self._spec.name,
            detector=recogniser.detector.spec.name,
            image_size=network_input.size,
            crop=self._spec.crop,
            color_order=network_input.color_order,
            mean=network_input.mean,
            std=network_input.std,
            device=recogniser.embedder.runner.device,
            space=self._spec.space,
            embedding_size=self._spec.embedding_size,
            signature=recogniser.signature,
        )

    async def embed_crop(self, crop: Image) -> CropFace:
        """As CropEmbedder. The face nearest to the middle is cut out as of any picture; where none is found, whoever
        cut this crop has seen one: the whole of it, padded to a square, goes in. Raises what Recogniser.detect() does.
        """
        roomy = ArrayImage(await asyncio.to_thread(_with_room, crop.bgr()))
        found = await self._recogniser.detect(roomy, _LANE)
        landmarks = central_face(found.detections, roomy)
        if len(landmarks):
            embedded = await self._recogniser.embed(roomy, landmarks, _LANE)
            return CropFace(embedded.embeddings[0], is_found=True)
        whole = letterboxed(crop.bgr(), self._spec.input.size)
        runner = self._recogniser.embedder.runner
        (embedding,) = await asyncio.to_thread(runner.predict_embeddings, whole[None])
        return CropFace(embedding, is_found=False)

    async def embed_chip(self, chip: Image, landmarks: F32) -> F32:
        """As CropEmbedder. Raises what Recogniser.embed() does."""
        embedded = await self._recogniser.embed(chip, landmarks[None], _LANE)
        return np.asarray(embedded.embeddings[0], np.float32)


def usable(embedding: F32) -> bool:
    """Whether it is a finite vector of length 1: what is not resembles nobody."""
    return bool(np.isfinite(embedding).all()) and bool(embed.usable(embedding[None])[0])


def letterboxed(pixels: U8, size: tuple[int, int]) -> U8:
    """(h,w,3) uint8 -> as large as fits into `size` (width, height), in the middle, black around it."""
    height, width = pixels.shape[:2]
    scale = min(size[0] / width, size[1] / height)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    resized = cv2.resize(pixels, inner, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    canvas[top : top + inner[1], left : left + inner[0]] = resized
    return canvas


def _with_room(pixels: U8) -> U8:
    """Black around it, half its size on each side: a face that fills its crop is one that detectors miss."""
    height, width = pixels.shape[:2]
    rows, columns = height // 2, width // 2
    roomy = cv2.copyMakeBorder(pixels, rows, rows, columns, columns, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    return np.asarray(roomy, np.uint8)
