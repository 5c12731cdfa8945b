"""Whether what a detector found is a face, and which way up: the detector looks again at each face laid upright.

Detectors are taught upright faces, and find upside-down ones too, with five landmarks as if they stood upright
(of 250 photos turned by 180 degrees nano_det finds 94 %, YuNet 99 %): landmarks alone do not tell. A face that
stands upright is surer of itself than the same face in any other turn. So each is cut out by its landmarks, the
detector sees it in all four turns, and what is best has to be the turn in which it was found.
Pure NumPy and OpenCV; runs on the CPU pool.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from recognition import detect
from recognition.align import in_picture, loose_template, loose_tiles
from recognition.arrays import F32, U8
from recognition.detect import Prepared
from recognition.faces import Detections
from recognition.image import ArrayImage, Image
from recognition.quality import head_pose
from recognition.specs.spec import DetectorSpec

TURNS = 4
_CLOCKWISE = (cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_COUNTERCLOCKWISE)
_TILE_PX = 128
_MARGIN = 2.0
_LEAST_SCORE = 0.02
# Of a tile's side: how far from its middle a face's middle may be, and how high the face at least is.
_OFF_MIDDLE, _LEAST_HEIGHT = 0.2, 0.25
# How far the landmarks' middle may be from where it was, of the tile's side, and how much larger or smaller they are:
# of upright faces of lfw_train 99.7 % are within .034 and 1.18, of those tilted by 30 to 45 degrees .098 and 1.55.
_OFF_OWN, _OTHER_SIZE = 0.1, 1.6
# Log-odds by which upright has to lead every other turn. Chosen on lfw_train (docs/accuracy.md): a face that was
# found by a score of SURE or more needs LEAD, a less sure one LEAD_FOR_DOUBT more for each unit of log-odds below.
LEAD, LEAD_FOR_DOUBT, SURE = 0.15, 0.3, 0.91
# From so many degrees of roll on, landmarks are better taken from the upright tile: detectors bend those of a tilted
# head towards upright ones. Median cosine to the upright photo (EdgeFace-XXS) at 45 degrees: nano_det .82 -> .96,
# YuNet .38 -> .80, SCRFD-500M .93 -> .98; at 15 degrees it falls by .02.
TILTED = 25.0


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """What a second look says of n faces.

    turn: (n,) degrees clockwise by which each has to be turned to stand upright, 0 for an upright one; NaN where it is
    hardly a face in any turn, or where turns are too much alike to tell. landmarks: (n,5,2) image px, better ones for
    heads that are tilted.
    """

    turn: F32
    landmarks: F32


def at_once(spec: DetectorSpec) -> int:
    """How many faces fit into one input of this detector."""
    columns, rows = _grid(spec)
    return columns * rows // TURNS


def prepare(spec: DetectorSpec, image: Image, landmarks: F32, *, trim: bool) -> Prepared:
    """Up to at_once() faces (k,5,2), each in four tiles turned clockwise by 0, 90, 180, 270 -> the network's input."""
    tile = _tile_px(spec)
    columns, _ = _grid(spec)
    rows = -(-TURNS * len(landmarks) // columns)
    picture: U8 = np.zeros((rows * tile, columns * tile, 3), np.uint8)
    places = (divmod(number, columns) for number in range(TURNS * len(landmarks)))
    for upright in loose_tiles(image, landmarks, tile, _MARGIN):
        for turned in (upright, *(cv2.rotate(upright, turn) for turn in _CLOCKWISE)):
            y, x = (tile * place for place in next(places))
            picture[y : y + tile, x : x + tile] = turned
    return detect.prepare(spec, ArrayImage(picture), trim=trim, scale=1.0)


def least_that_tells(found: Detections, least_score: float) -> float:
    """Below it no look changes what judged() says of these faces: it is less than any lead over the best turn leaves.

    Of what is seen in four turns, most is that faint: to suppress it all would be most of a look's work.
    """
    if not len(found):
        return least_score
    left = log_odds(np.float32(least_score)) - _lead_wanted(found).max()
    return max(_LEAST_SCORE, 0.99 / (1 + math.exp(-left)))


def parse(
    spec: DetectorSpec, outputs: list[F32], prepared: Prepared, landmarks: F32, least_score: float = _LEAST_SCORE
) -> tuple[F32, F32]:
    """The raw outputs for prepare()'s input -> (k,4) float32: the score of each face in each turn, 0 for none of
    `least_score`; and (k,5,2): its landmarks as seen upright, in image pixels (those of before where it was not seen
    upright).
    """
    tile = _tile_px(spec)
    columns, _ = _grid(spec)
    found = detect.parse(spec, outputs, prepared, least_score)
    middles = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    places = np.floor(middles / tile)
    corners = np.float32(tile) * places
    numbers = (places[:, 1] * columns + places[:, 0]).astype(int)
    there = (places[:, 0] >= 0) & (places[:, 0] < columns)
    there &= np.abs(middles - corners - tile / 2).max(axis=1) <= _OFF_MIDDLE * tile
    there &= found.boxes[:, 3] - found.boxes[:, 1] >= _LEAST_HEIGHT * tile
    there &= (numbers % TURNS != 0) | _same_face(found.landmarks - corners[:, None], tile)
    scores, seen = np.zeros((len(landmarks), TURNS), np.float32), landmarks.copy()
    for at in np.flatnonzero(there).tolist():
        face, turn = divmod(int(numbers[at]), TURNS)
        if not 0 <= face < len(landmarks) or scores[face, turn]:
            continue  # the surest came first
        scores[face, turn] = found.scores[at]
        if turn == 0:
            seen[face] = in_picture(found.landmarks[at] - corners[at], landmarks[face], tile, _MARGIN)
    return scores, seen


def _same_face(landmarks: F32, tile: int) -> NDArray[np.bool_]:
    """Which landmarks (m,5,2) in a tile lie where the face that it was cut for has its own, turned or not."""
    template = loose_template(tile, _MARGIN)
    middle = template.mean(axis=0)
    off = np.hypot(*(landmarks.mean(axis=1) - middle).T)
    spread = np.sqrt(((landmarks - landmarks.mean(axis=1, keepdims=True)) ** 2).sum(axis=(1, 2)))
    ratio = spread / np.sqrt(((template - middle) ** 2).sum())
    return np.asarray((off <= _OFF_OWN * tile) & (ratio >= 1 / _OTHER_SIZE) & (ratio <= _OTHER_SIZE))


def judged(found: Detections, looks: F32, seen: F32, least_score: float) -> Looked:
    """Detections, their looks (n,4) and landmarks as seen then (n,5,2) -> what that says of each."""
    best = looks.argmax(axis=1)
    others = np.where(np.arange(TURNS) == best[:, None], np.float32(0.0), looks).max(axis=1)
    lead = log_odds(looks.max(axis=1)) - log_odds(others)
    told = (looks.max(axis=1) >= least_score) & (lead >= _lead_wanted(found))
    turn = np.where(told, 90.0 * best, np.nan).astype(np.float32)
    tilted = (turn == 0) & (np.abs(head_pose(seen)[2]) >= TILTED)
    return Looked(turn, np.where(tilted[:, None, None], seen, found.landmarks))


def _lead_wanted(found: Detections) -> F32:
    doubt = np.maximum(0.0, log_odds(np.float32(SURE)) - log_odds(found.scores))
    return np.asarray(LEAD + LEAD_FOR_DOUBT * doubt)


def log_odds(scores: F32 | np.float32) -> F32:
    kept = np.clip(scores, 0.01, 0.99)
    return np.asarray(np.log(kept / (1 - kept)), dtype=np.float32)


def _tile_px(spec: DetectorSpec) -> int:
    return min(_TILE_PX, min(spec.input.size) // 2)


def _grid(spec: DetectorSpec) -> tuple[int, int]:
    """Columns and rows of tiles; four columns where they fit: then a face is a row, and few faces a small picture."""
    tile = _tile_px(spec)
    width, height = spec.input.size
    columns = min(TURNS, width // tile)
    return columns, height // tile
