"""The quality gate of enrolment: the faces of one photo in, the one to enrol out, or the reason why not.

Pure; any thread. Messages are one line without the photo's name: what was wrong, what to do.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from gallery.errors import FaceDoubtful, FaceNotUpright, NoFace, QualityTooLow, SeveralFaces
from recognition.faces import Detections, Quality
from recognition.quality import BRIGHTNESS_GRADE, CONTRAST_GRADE, PITCH_GRADE, ROLL_GRADE, SIZE_GRADE, YAW_GRADE
from recognition.recogniser import Found

Pick = Literal["largest"] | None
Points = tuple[tuple[float, float], ...]

_DARK, _GLARING = 0.2, 0.75


@dataclass(frozen=True, slots=True)
class Gate:
    """The least that a face must have: Quality.size_px in pixels of the photo, Quality.score in [0,1]."""

    min_face_px: float
    min_quality: float


def standing(found: Found) -> Found:
    """The faces that stand upright (Quality.turn). Raises FaceNotUpright and FaceDoubtful where none of them does."""
    turns = found.quality.turn
    if not len(turns) or (turns == 0).any():
        return found.at(turns == 0)
    turn = float(turns[np.argmax(found.quality.size_px)])
    if np.isnan(turn):
        raise FaceDoubtful(
            "what was found is hardly a face (a drawing, a pattern, or too little of one); give a photo that shows "
            "a face from the front"
        )
    way = "is upside down" if turn == 180 else "lies on its side"
    raise FaceNotUpright(f"the face {way}, and the photo turned shows none; give a photo of an upright face")


def choose_face(found: Detections, quality: Quality, gate: Gate, pick: Pick = None) -> int:
    """Which face of a photo to enrol. Raises NoFace, SeveralFaces (unless the largest may be picked) and
    QualityTooLow, which names what is worst about the face.
    """
    if not len(found):
        raise NoFace("no face was found; give a photo that shows the face large and from the front")
    if len(found) > 1 and pick is None:
        raise SeveralFaces(
            f"{len(found)} faces were found; crop the photo to one, or take the largest with --pick largest"
        )
    boxes = found.boxes
    face = int(np.argmax((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])))
    size_px, score = float(quality.size_px[face]), float(quality.score[face])
    if size_px < gate.min_face_px:
        raise QualityTooLow(
            f"the face is too small, {size_px:.0f} px high where {gate.min_face_px:.0f} are wanted; "
            "give a photo from nearer or with more pixels"
        )
    if score < gate.min_quality:
        worst = _worst_part(quality, face)
        raise QualityTooLow(f"{worst} (quality {score:.2f} where {gate.min_quality:.2f} is wanted)")
    return face


def _worst_part(quality: Quality, face: int) -> str:
    brightness, contrast = float(quality.brightness[face]), float(quality.contrast[face])
    yaw, pitch, roll = (abs(float(angles[face])) for angles in (quality.yaw, quality.pitch, quality.roll))
    # Where it is dark or glaring there is little contrast too, and the light is what the user can change.
    light = "too flat, hardly any contrast; give a photo in clearer light"
    if brightness < _DARK:
        light = "too dark; give a photo with more light"
    elif brightness > _GLARING:
        light = "overexposed; give a photo with less light"
    parts = [
        (_grade(SIZE_GRADE, float(quality.size_px[face])), "too small; give a photo from nearer"),
        (_grade(BRIGHTNESS_GRADE, brightness) * _grade(CONTRAST_GRADE, contrast), light),
        (_grade(YAW_GRADE, yaw), f"turned away by about {yaw:.0f} degrees; give a photo from the front"),
        (_grade(PITCH_GRADE, pitch), f"bowed or raised by about {pitch:.0f} degrees; give one from the front"),
        (_grade(ROLL_GRADE, roll), f"tilted by about {roll:.0f} degrees; give a photo of a head that is upright"),
    ]
    # The score is the product of all grades; detail's is the one that Quality does not carry along.
    others = float(np.prod([grade for grade, _ in parts]))
    detail = float(quality.score[face]) / max(others, 1e-6)
    return "the face is " + min([*parts, (detail, "too blurred; give a sharper photo")])[1]


def _grade(points: Points, value: float) -> float:
    at, grades = zip(*points, strict=True)
    return float(np.interp(value, at, grades))
