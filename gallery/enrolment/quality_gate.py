"""The quality gate of enrolment: the faces of one photo in, those that may be enrolled out, or the reason why none.

Pure; any thread. Messages are one line without the photo's name: what was wrong, what to do.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gallery.enrolment.choice import BY_FAR
from gallery.errors import FaceDoubtful, FaceNotUpright, NoFace, QualityTooLow
from recognition.arrays import F32
from recognition.faces import Quality
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
    return found.at(upright(found.quality))


def upright(quality: Quality) -> NDArray[np.bool_]:
    """Which faces stand upright. Raises FaceNotUpright and FaceDoubtful where there are faces and none of them does."""
    turns = quality.turn
    if not len(turns) or (turns == 0).any():
        return np.asarray(turns == 0)
    turn = float(turns[np.argmax(quality.size_px)])
    if np.isnan(turn):
        raise FaceDoubtful(
            "what was found is hardly a face (a drawing, a pattern, or too little of one); give a photo that shows "
            "a face from the front"
        )
    way = "is upside down" if turn == 180 else "lies on its side"
    raise FaceNotUpright(f"the face {way}, and the photo turned shows none; give a photo of an upright face")


@dataclass(frozen=True, slots=True)
class Passed:
    """The faces of a photo, by their numbers, that are good enough, the most prominent first; there is one at least.

    `clear`: the first one is the only face of the photo, or by far the most prominent of all.
    """

    faces: tuple[int, ...]
    clear: bool


def pass_faces(prominence: F32, quality: Quality, gate: Gate, pick: Pick = None) -> Passed:
    """The faces of a photo that may be its person's; see choice.prominence().

    Raises NoFace, and QualityTooLow where the face that it must be, or the most prominent of several, is not good
    enough. `pick`: the most prominent one is the person's, whatever the others are.
    """
    if not len(prominence):
        raise NoFace("no face was found; give a photo that shows the face large and from the front")
    first, *rest = np.argsort(-prominence, kind="stable").tolist()
    if pick or not rest or prominence[first] >= BY_FAR * prominence[rest[0]]:
        check_face(quality, first, gate)
        return Passed((first, *(face for face in rest if _good(quality, face, gate) and not pick)), clear=True)
    good = tuple(face for face in (first, *rest) if _good(quality, face, gate))
    if not good:
        check_face(quality, first, gate)
    return Passed(good, clear=False)


def _good(quality: Quality, face: int, gate: Gate) -> bool:
    return bool(quality.size_px[face] >= gate.min_face_px and quality.score[face] >= gate.min_quality)


def check_face(quality: Quality, face: int, gate: Gate) -> None:
    """Raises QualityTooLow, which names what is worst about the face."""
    size_px, score = float(quality.size_px[face]), float(quality.score[face])
    if size_px < gate.min_face_px:
        raise QualityTooLow(
            f"the face is too small, {size_px:.0f} px high where {gate.min_face_px:.0f} are wanted; "
            "give a photo from nearer or with more pixels"
        )
    if score < gate.min_quality:
        worst = _worst_part(quality, face)
        raise QualityTooLow(f"{worst} (quality {score:.2f} where {gate.min_quality:.2f} is wanted)")


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
