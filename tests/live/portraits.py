"""Enrolment photos of somebody in a clip whose people nobody has named: the same face, found again by likeness.

A clip and a recogniser go in; three photos, and where that person is seen, come out.
"""

from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

from recognition.faces import iou
from recognition.image import ArrayImage
from recognition.recogniser import Recogniser

EVERY = 5  # frames; neighbours hardly differ
SAME = 0.45  # cosine; people in these clips who differ stay below .3
APART = 20  # frames between two photos
MARGIN = 0.6  # of the box, on each side


@dataclass(frozen=True)
class Seen:
    """One face of one frame."""

    frame: int
    picture: np.ndarray
    box: np.ndarray
    quality: float
    embedding: np.ndarray


@dataclass(frozen=True)
class Portraits:
    """photos: of the one who is seen most and best. boxes: (n,4) xyxy px, where in the clip that is."""

    photos: list[Path]
    boxes: np.ndarray

    def is_seen_at(self, box: list[int]) -> bool:
        """Whether this person is at this place of the picture at some time of the clip."""
        return bool(iou(np.array([box], np.float32), self.boxes).max() > 0.4)


async def take_portraits(clip: Path, recogniser: Recogniser, folder: Path) -> Portraits:
    """Write three photos at different times, cut from the clip with a wide margin, into `folder`."""
    faces = await faces_of(clip, recogniser)
    embeddings = np.stack([face.embedding for face in faces])
    alike = embeddings @ embeddings.T > SAME
    centre = int((alike @ np.array([face.quality for face in faces])).argmax())
    person = [faces[index] for index in np.flatnonzero(alike[centre])]
    best: list[Seen] = []
    for face in sorted(person, key=lambda face: -face.quality):
        if len(best) < 3 and all(abs(face.frame - other.frame) >= APART for other in best):
            best.append(face)
    folder.mkdir()
    photos = [folder / f"{face.frame}.jpg" for face in best]
    for photo, face in zip(photos, best, strict=True):
        cv2.imwrite(str(photo), cut(face), [cv2.IMWRITE_JPEG_QUALITY, 95])
    return Portraits(photos, np.stack([face.box for face in person]))


async def faces_of(clip: Path, recogniser: Recogniser) -> list[Seen]:
    found = []
    with av.open(str(clip)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number % EVERY:
                continue
            picture = frame.to_ndarray(format="bgr24")
            faces = await recogniser.faces(ArrayImage(picture))
            for box, quality, embedding in zip(
                faces.detections.boxes, faces.quality.score, faces.embeddings, strict=True
            ):
                found.append(Seen(number, picture, box, float(quality), embedding))
    return found


def cut(face: Seen) -> np.ndarray:
    height, width = face.picture.shape[:2]
    x1, y1, x2, y2 = face.box
    x, y = MARGIN * (x2 - x1), MARGIN * (y2 - y1)
    return face.picture[
        round(max(y1 - y, 0)) : round(min(y2 + y, height)), round(max(x1 - x, 0)) : round(min(x2 + x, width))
    ]
