"""Photos held against the gallery: one image in, its faces out, each with who it is by the service's own rules.

On the event loop. A photo's face is judged alone, where the service waits for several of a track.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gallery.enrolment.shots import FaceFinder
from gallery.matching.decide import NOBODY, Candidate
from recognition import embed
from recognition.align import quarters_to_upright
from recognition.arrays import F32
from recognition.image import Image
from recognition.recogniser import Recogniser
from recognition.serving.lanes import PHOTO
from streamer.pipeline.live_gallery import LiveGallery
from streamer.pipeline.tracking import KeptFace
from streamer.settings import Names


@dataclass(frozen=True, slots=True)
class StillFace:
    """box xyxy px; `person_id` only with `known`, `candidates` with `ambiguous`. Similarity and confidence: None of a
    `poor` face, and where nobody is enrolled: there is nothing to compare. `is_ignored`: no event tells of it.
    """

    box: tuple[float, float, float, float]
    quality: float
    decision: Literal["known", "unknown", "ambiguous", "poor"]
    person_id: str | None
    similarity: float | None
    threshold: float
    confidence: float | None
    candidates: tuple[Candidate, ...] = ()
    is_ignored: bool = False


async def identify_still(
    image: Image, recogniser: Recogniser, gallery: LiveGallery, min_quality: float, names: Names = "gallery"
) -> list[StillFace]:
    """The faces of a photo, the largest first; one of less than `min_quality` (or that no embedder can use) is poor.

    Raises what Recogniser.detect() and embed() raise.
    """
    found = await recogniser.detect(image, PHOTO)
    embedded = await recogniser.embed(image, found.detections.landmarks, PHOTO)
    boxes, quality = found.detections.boxes, found.quality.score
    good = (quality >= min_quality) & (found.quality.turn == 0) & embed.usable(embedded.embeddings)
    kept = [
        [KeptFace(embedding, float(score), embedded.model)] if passes else []
        for embedding, score, passes in zip(embedded.embeddings, quality, good, strict=True)
    ]
    verdicts = await gallery.identify(kept, names)
    faces = []
    for box, score, passes, verdict in zip(boxes, quality, good, verdicts, strict=True):
        match, asked = verdict.match, passes and verdict.match != NOBODY
        faces.append(
            StillFace(
                _corners(box),
                float(score),
                match.outcome if passes else "poor",
                match.person_id if passes else None,
                match.similarity if asked else None,
                verdict.threshold,
                verdict.confidence if asked else None,
                match.candidates if passes else (),
                verdict.is_ignored if passes else False,
            )
        )
    return [faces[place] for place in _largest_first(boxes)]


def _corners(box: F32) -> tuple[float, float, float, float]:
    left, top, right, bottom = (round(float(edge), 1) for edge in box)
    return left, top, right, bottom


def _largest_first(boxes: F32) -> Sequence[int]:
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return [int(place) for place in np.argsort(-areas, kind="stable")]


async def turns_of(image: Image, finder: FaceFinder) -> list[int]:
    """For each face of a picture that stands upright in one of its four turns: that turn, in degrees clockwise.

    Raises what Recogniser.detect() raises.
    """
    found = await finder.detect(image, PHOTO)
    landmarks = found.detections.landmarks[found.quality.turn == 0]
    return [90 * quarters for quarters in quarters_to_upright(landmarks)] if len(landmarks) else []
