"""Scenes composed from labelled photos of one face each: photos and a random generator in, a picture and its truth out.

Pure OpenCV and NumPy; about 10 ms a scene in the loader's process. Faces are pasted at all sizes, turned, mirrored,
cut off at edges, as whole photos, as cut-out heads or as heads with shoulders, beside things that are no faces.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from recognition.arrays import F32, U8
from recognition.training import scene_parts
from recognition.training.scene_parts import LabelledPhoto

LEAST_PX = 8.0  # smaller faces are neither truth nor background
_SEEN_WELL, _SEEN_AT_ALL = 0.6, 0.15
_MOSAICS = 0.3
_MOSAIC_SIDES = (0.4, 0.25, 0.2, 0.15)  # how often 1, 2, 3, 4 photos across
_MIRRORED = (1, 0, 2, 4, 3)


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """picture (side,side,3) uint8 BGR; boxes (n,4) float32 xyxy px, also beyond the edges; landmarks (n,5,2) float32.

    doubtful (k,4): what a detector may call a face or not: hidden, tiny, or unsure to the teacher.
    """

    picture: U8
    boxes: F32
    landmarks: F32
    doubtful: F32


class _Canvas:
    """A scene under work."""

    def __init__(self, picture: U8) -> None:
        self.picture = picture
        self.boxes: list[F32] = []
        self.landmarks: list[F32] = []
        self.doubtful: list[F32] = []

    def crosses(self, region: tuple[int, int, int, int], most: float = 0.0) -> bool:
        """Whether the region (x0,y0,x1,y1) hides more than a share of any face that is there."""
        for x0, y0, x1, y1 in (*self.boxes, *self.doubtful):
            wide = min(x1, region[2]) - max(x0, region[0])
            high = min(y1, region[3]) - max(y0, region[1])
            if wide > 0 and high > 0 and wide * high > most * (x1 - x0) * (y1 - y0):
                return True
        return False


def compose(photos: Sequence[LabelledPhoto], side: int, rng: np.random.Generator) -> Scene:
    """One scene of side x side pixels, as a camera sees it; the same generator state gives the same scene."""
    return as_seen(arrange(photos, side, rng), rng)


def as_seen(scene: Scene, rng: np.random.Generator) -> Scene:
    """The scene through a camera, with its light and its faults."""
    picture = scene_parts.seen_by_camera(scene.picture, rng)
    return Scene(picture, scene.boxes, scene.landmarks, scene.doubtful)


def mirrored(scene: Scene) -> Scene:
    """Left and right changed places; left landmarks are the ones on the left of the new picture."""
    side = scene.picture.shape[1]
    landmarks = scene.landmarks[:, list(_MIRRORED)]
    landmarks = np.stack((side - 1 - landmarks[..., 0], landmarks[..., 1]), axis=-1)
    boxes, doubtful = (
        np.column_stack((side - 1 - part[:, 2], part[:, 1], side - 1 - part[:, 0], part[:, 3]))
        for part in (scene.boxes, scene.doubtful)
    )
    return Scene(np.ascontiguousarray(scene.picture[:, ::-1]), boxes, landmarks, doubtful)


def arrange(photos: Sequence[LabelledPhoto], side: int, rng: np.random.Generator) -> Scene:
    """One scene of side x side pixels, before a camera spoils it."""
    canvas = _Canvas(scene_parts.backdrop(photos, side, rng))
    if rng.random() < _MOSAICS:
        _tile(canvas, photos, int(rng.choice(4, p=_MOSAIC_SIDES)) + 1, rng)
        heights = []
    else:
        heights = _face_heights(side, rng)
        for _ in range(int(rng.integers(0, 4))):
            _paste_decoy(canvas, photos, rng)
    for height in sorted(heights, reverse=True):
        for _ in range(3):
            if _paste_photo(canvas, scene_parts.pick(photos, rng), height, rng):
                break
    for _ in range(int(rng.integers(0, 3))):
        _paste_decoy(canvas, photos, rng)
    for box, points in zip(canvas.boxes, canvas.landmarks, strict=True):
        if rng.random() < 0.15:
            scene_parts.cover(canvas.picture, box, points, rng)
    return Scene(
        canvas.picture,
        np.array(canvas.boxes, np.float32).reshape(-1, 4),
        np.array(canvas.landmarks, np.float32).reshape(-1, 5, 2),
        np.array(canvas.doubtful, np.float32).reshape(-1, 4),
    )


def _tile(canvas: _Canvas, photos: Sequence[LabelledPhoto], across: int, rng: np.random.Generator) -> None:
    """Whole photos side by side, as in a mosaic (Bochkovskiy et al. 2020): faces among what is really around them."""
    edges = np.linspace(0, canvas.picture.shape[0], across + 1).round().astype(int)
    for top, bottom in pairwise(edges):
        for left, right in pairwise(edges):
            photo = scene_parts.pick(photos, rng)
            pixels = photo.pixels()
            cell = np.array([right - left, bottom - top], float)
            shown = np.array([pixels.shape[1], pixels.shape[0]]) / rng.uniform(1.0, 1.6)
            scale = float((cell / shown).max())
            middle = shown / 2 + rng.uniform(0, 1, 2) * (np.array([pixels.shape[1], pixels.shape[0]]) - shown)
            mirror = bool(rng.random() < 0.5)
            box = np.concatenate((middle, middle)).astype(np.float32)
            matrix = _placement(box, scale, float(rng.normal(0, 4)), cell / 2 + (left, top), mirror)
            mask = np.full((bottom - top, right - left), 255, np.uint8)
            room = canvas.picture[top:bottom, left:right]
            _blend(room, pixels, matrix, (left, top), 1, mask, rng)
            _record(canvas, photo, matrix, mask, (left, top), 0.0, mirror)


def _face_heights(side: int, rng: np.random.Generator) -> list[float]:
    """How large a scene's faces are to be: many small ones, a few medium ones, one close up, or none."""
    kind = rng.random()
    if kind < 0.3:
        least, most, count = LEAST_PX, 40.0, int(rng.integers(5, 14))
    elif kind < 0.57:
        least, most, count = 16.0, side * 0.4, int(rng.integers(2, 6))
    elif kind < 0.95:
        close = float(np.exp(rng.uniform(np.log(side * 0.3), np.log(side * 1.1))))
        return [close, *(float(rng.uniform(10, 60)) for _ in range(int(rng.integers(0, 3))))]
    else:
        return []
    return [float(np.exp(rng.uniform(np.log(least), np.log(most)))) for _ in range(count)]


def _paste_decoy(canvas: _Canvas, photos: Sequence[LabelledPhoto], rng: np.random.Generator) -> None:
    side = canvas.picture.shape[0]
    size = int(np.exp(rng.uniform(np.log(10), np.log(side * 0.5))))
    thing = scene_parts.decoy(photos, size, rng)
    high, wide = thing.shape[:2]
    x, y = int(rng.integers(0, max(1, side - wide))), int(rng.integers(0, max(1, side - high)))
    if not canvas.crosses((x, y, x + wide, y + high)):
        room = canvas.picture[y : y + high, x : x + wide]
        room[:] = thing[: room.shape[0], : room.shape[1]]


def _paste_photo(canvas: _Canvas, photo: LabelledPhoto, height: float, rng: np.random.Generator) -> bool:
    """The photo with its first face that high, somewhere; False where there is no room for it."""
    if not len(photo.boxes):
        return False
    side = canvas.picture.shape[0]
    scale = height / float(photo.boxes[0, 3] - photo.boxes[0, 1])
    turn = float(rng.normal(0, 12)) if rng.random() < 0.75 else float(rng.uniform(-45, 45))
    reach = min(height * 0.35, side * 0.3)
    target = rng.uniform(reach, side - reach, 2) if rng.random() < 0.85 else rng.uniform(0, side, 2)
    reduction = next((r for r in (8, 4, 2) if scale * r <= 0.95), 1)
    pixels = photo.pixels(reduction)
    mirror = bool(rng.random() < 0.5)
    matrix = _placement(photo.boxes[0], scale, turn, target, mirror)
    outline = _outline(photo, pixels.shape[1] * reduction, pixels.shape[0] * reduction, rng)
    placed = outline @ matrix[:, :2].T + matrix[:, 2]
    x0, y0 = (int(part) for part in np.clip(np.floor(placed.min(axis=0)), 0, side))
    x1, y1 = (int(part) for part in np.clip(np.ceil(placed.max(axis=0)), 0, side))
    if x1 - x0 < 4 or y1 - y0 < 4 or canvas.crosses((x0, y0, x1, y1), most=0.3):
        return False
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    cv2.fillPoly(mask, [np.round(placed - (x0, y0)).astype(np.int32)], 255)
    _blend(canvas.picture[y0:y1, x0:x1], pixels, matrix, (x0, y0), reduction, mask, rng)
    _record(canvas, photo, matrix, mask, (x0, y0), turn, mirror)
    return True


def _placement(box: F32, scale: float, turn: float, target: NDArray[np.float64], mirror: bool) -> NDArray[np.float64]:
    """2x3: photo pixels -> scene pixels, with the box's middle at the target."""
    angle = np.deg2rad(turn)
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if mirror:
        matrix[:, 0] *= -1
    middle = np.array([box[0] + box[2], box[1] + box[3]]) / 2
    return np.column_stack((matrix, target - matrix @ middle))


def _outline(photo: LabelledPhoto, wide: int, high: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """What of the photo is pasted, a polygon in its pixels: all of it, the head, or head and shoulders."""
    kind = rng.random()
    if kind < 0.45:
        return np.array([[0, 0], [wide, 0], [wide, high], [0, high]], np.float64)
    x0, y0, x1, y1 = photo.boxes[0].astype(float)
    across, down = (x1 - x0) * rng.uniform(0.62, 1.0), (y1 - y0) * rng.uniform(0.62, 0.95)
    middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2 - 0.08 * (y1 - y0)])
    round_ = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    oval = middle + np.column_stack((across * np.cos(round_), down * np.sin(round_)))
    if kind >= 0.7:
        shoulders = rng.uniform(1.0, 1.8) * (x1 - x0)
        low = min(high, y1 + rng.uniform(0.3, 1.2) * (y1 - y0))
        oval = np.concatenate((oval, [(middle[0] - shoulders, low), (middle[0] + shoulders, low)]))
        oval = cv2.convexHull(oval.astype(np.float32))[:, 0].astype(np.float64)
    return np.clip(oval, 0, (wide, high))


def _blend(
    room: U8,
    pixels: U8,
    matrix: NDArray[np.float64],
    origin: tuple[int, int],
    reduction: int,
    mask: U8,
    rng: np.random.Generator,
) -> None:
    """The photo over the room (a view of the scene that starts at origin), its edge hard or soft."""
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ np.full(2, (reduction - 1) / 2) - origin
    moved[:, :2] *= reduction
    size = (room.shape[1], room.shape[0])
    warped = cv2.warpAffine(pixels, moved, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    if rng.random() < 0.6:
        soft = float(rng.uniform(0.5, 1.0 + 0.03 * max(size)))
        mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), min(soft, 6.0)), dtype=np.uint8)
    weight = mask.astype(np.float32) / 255
    room[:] = cv2.blendLinear(np.asarray(warped, dtype=np.uint8), np.ascontiguousarray(room), weight, 1 - weight)


def _record(
    canvas: _Canvas,
    photo: LabelledPhoto,
    matrix: NDArray[np.float64],
    mask: U8,
    origin: tuple[int, int],
    turn: float,
    mirror: bool,
) -> None:
    """Add the photo's faces to the truth, as far as they can be seen within the pasted part."""
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    for box, points in zip(photo.boxes, photo.landmarks, strict=True):
        placed = _turned_box(box, matrix, scale, turn)
        seen = _share_within(placed, mask, origin)
        if seen >= _SEEN_WELL and placed[3] - placed[1] >= LEAST_PX:
            moved = points @ matrix[:, :2].T + matrix[:, 2]
            canvas.boxes.append(placed)
            canvas.landmarks.append((moved[list(_MIRRORED)] if mirror else moved).astype(np.float32))
        elif seen >= _SEEN_AT_ALL:
            canvas.doubtful.append(placed)
    for box in photo.doubtful:
        placed = _turned_box(box, matrix, scale, turn)
        if _share_within(placed, mask, origin) > 0:
            canvas.doubtful.append(placed)


def _turned_box(box: F32, matrix: NDArray[np.float64], scale: float, turn: float) -> F32:
    """The box around the ellipse that fills the given box, after the placement."""
    middle = matrix[:, :2] @ [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2] + matrix[:, 2]
    across, down = scale * (box[2] - box[0]) / 2, scale * (box[3] - box[1]) / 2
    cos, sin = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    half = np.array([np.hypot(across * cos, down * sin), np.hypot(across * sin, down * cos)])
    return np.concatenate((middle - half, middle + half)).astype(np.float32)


def _share_within(box: F32, mask: U8, origin: tuple[int, int]) -> float:
    """Which share of the box the mask (at origin in the scene) shows."""
    x0, y0, x1, y1 = (round(float(part)) for part in box)
    left, top = origin
    part = mask[max(0, y0 - top) : max(0, y1 - top), max(0, x0 - left) : max(0, x1 - left)]
    return float(np.count_nonzero(part)) / max(1, (x1 - x0) * (y1 - y0))
