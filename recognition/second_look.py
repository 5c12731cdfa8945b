"""Whether what a detector found is a face, and which way up: the detector looks again at each face laid upright.

Detectors are taught upright faces, and find upside-down ones too, with five landmarks as if they stood upright
(of 250 photos turned by 180 degrees nano_det finds 94 %, YuNet 99 %): landmarks alone do not tell. A face that
stands upright is surer of itself than the same face in any other turn. So each is cut out by its landmarks, the
detector sees it in all four turns, and what is best has to be the turn in which it was found.
Pure NumPy and OpenCV; runs on the CPU pool.
"""

import numpy as np

from recognition import detect
from recognition.align import loose_tiles
from recognition.arrays import F32, U8
from recognition.detect import Prepared
from recognition.faces import Detections
from recognition.image import ArrayImage, Image
from recognition.specs.spec import DetectorSpec

TURNS = 4
_TILE_PX = 128
_MARGIN = 2.0
_LEAST_SCORE = 0.02
# Of a tile's side: how far from its middle a face's middle may be, and how high the face at least is.
_OFF_MIDDLE, _LEAST_HEIGHT = 0.2, 0.25
# Log-odds by which upright has to lead every other turn. Chosen on lfw_train (docs/accuracy.md): a face that was
# found by a score of SURE or more needs LEAD, a less sure one LEAD_FOR_DOUBT more for each unit of log-odds below.
LEAD, LEAD_FOR_DOUBT, SURE = 0.25, 0.2, 0.91


def at_once(spec: DetectorSpec) -> int:
    """How many faces fit into one input of this detector."""
    columns, rows = _grid(spec)
    return columns * rows // TURNS


def prepare(spec: DetectorSpec, image: Image, landmarks: F32, *, trim: bool) -> Prepared:
    """Up to at_once() faces (k,5,2), each in four tiles turned clockwise by 0, 90, 180, 270 -> the network's input."""
    tile = _tile_px(spec)
    columns, _ = _grid(spec)
    upright = loose_tiles(image, landmarks, tile, _MARGIN)
    tiles = [np.rot90(face, -turn) for face in upright for turn in range(TURNS)]
    rows = -(-len(tiles) // columns)
    picture: U8 = np.zeros((rows * tile, columns * tile, 3), np.uint8)
    for number, turned in enumerate(tiles):
        y, x = (tile * place for place in divmod(number, columns))
        picture[y : y + tile, x : x + tile] = turned
    return detect.prepare(spec, ArrayImage(picture), trim=trim, scale=1.0)


def parse(spec: DetectorSpec, outputs: list[F32], prepared: Prepared, faces: int) -> F32:
    """The raw outputs for prepare()'s input -> (faces, 4) float32: the score of each face in each turn, 0 for none."""
    tile = _tile_px(spec)
    columns, _ = _grid(spec)
    found = detect.parse(spec, outputs, prepared, _LEAST_SCORE)
    middles = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    large = found.boxes[:, 3] - found.boxes[:, 1] >= _LEAST_HEIGHT * tile
    scores = np.zeros(faces * TURNS, np.float32)
    for number in range(faces * TURNS):
        y, x = divmod(number, columns)
        off = np.abs(middles - (np.array((x, y), np.float32) + 0.5) * tile).max(axis=1)
        scores[number] = found.scores[large & (off <= _OFF_MIDDLE * tile)].max(initial=0.0)
    return scores.reshape(faces, TURNS)


def turns(found: Detections, looks: F32, least_score: float) -> F32:
    """Detections and their looks (n,4) -> (n,) degrees clockwise that each has to be turned to stand upright.

    0 for an upright face; NaN where it is hardly a face in any turn, or where turns are too much alike to tell.
    """
    best = looks.argmax(axis=1)
    others = np.where(np.arange(TURNS) == best[:, None], np.float32(0.0), looks).max(axis=1)
    lead = _log_odds(looks.max(axis=1)) - _log_odds(others)
    doubt = np.maximum(0.0, _log_odds(np.float32(SURE)) - _log_odds(found.scores))
    told = (looks.max(axis=1) >= least_score) & (lead >= LEAD + LEAD_FOR_DOUBT * doubt)
    return np.where(told, 90.0 * best, np.nan).astype(np.float32)


def _log_odds(scores: F32 | np.float32) -> F32:
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
