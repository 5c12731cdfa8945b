"""What a composed scene has besides faces: backdrops, things that are no face, covers, and the camera's faults.

Pure OpenCV and NumPy on uint8 BGR, from labelled photos and a random generator; runs in the loader's process.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from recognition.arrays import F32, U8

_LETTERS = "ABCDEFGHKMNOPRSTUXYZ0123456789%&@8O0"
_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_SCRIPT_COMPLEX)


@dataclass(frozen=True, slots=True, eq=False)
class LabelledPhoto:
    """A photo's file and what the teacher sees in it, in its pixels.

    boxes (n,4) float32 xyxy; landmarks (n,5,2) float32; doubtful (k,4): what may be a face, neither truth nor not.
    """

    data: bytes
    boxes: F32
    landmarks: F32
    doubtful: F32

    def pixels(self, reduction: int = 1) -> U8:
        """Decoded, 1, 2, 4 or 8 times smaller (the decoder's own averaging)."""
        flags = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}
        flag = flags.get(reduction, cv2.IMREAD_REDUCED_COLOR_8)
        return np.asarray(cv2.imdecode(np.frombuffer(self.data, np.uint8), flag), dtype=np.uint8)


def pick(photos: Sequence[LabelledPhoto], rng: np.random.Generator) -> LabelledPhoto:
    return photos[int(rng.integers(len(photos)))]


def faceless_patch(photos: Sequence[LabelledPhoto], rng: np.random.Generator) -> U8:
    """A part of a photo beside all its faces, sure or doubtful; a plain colour where there is no such part."""
    for _ in range(6):
        photo = pick(photos, rng)
        picture = photo.pixels()
        high, wide = picture.shape[:2]
        taken = np.concatenate((photo.boxes, photo.doubtful))
        left = int(taken[:, 0].min()) if len(taken) else wide
        right = int(taken[:, 2].max()) if len(taken) else 0
        low = int(taken[:, 3].max()) if len(taken) else 0
        free = [(0, 0, left, high), (right, 0, wide, high), (0, low, wide, high)]
        x0, y0, x1, y1 = free[int(rng.integers(3))]
        if x1 - x0 >= 30 and y1 - y0 >= 30:
            return picture[max(0, y0) : y1, max(0, x0) : x1]
    return np.full((32, 32, 3), rng.integers(0, 256, 3), np.uint8)


def backdrop(photos: Sequence[LabelledPhoto], side: int, rng: np.random.Generator) -> U8:
    """(side,side,3) without a face: patches of photos, smooth colour, or a rough texture."""
    kind = rng.random()
    if kind < 0.12:
        cells = int(rng.integers(2, 40))
        knots = rng.integers(0, 256, (cells, cells, 3)).astype(np.uint8)
        mode = (cv2.INTER_CUBIC, cv2.INTER_LINEAR, cv2.INTER_NEAREST)[int(rng.integers(3))]
        return np.asarray(cv2.resize(knots, (side, side), interpolation=mode), dtype=np.uint8)
    picture = _fitted(faceless_patch(photos, rng), side, side, rng)
    for _ in range(int(rng.integers(0, 5))):
        wide, high = (int(part) for part in rng.integers(side // 6, side, 2))
        x, y = int(rng.integers(0, side - wide // 2)), int(rng.integers(0, side - high // 2))
        patch = _fitted(faceless_patch(photos, rng), wide, high, rng)
        room = picture[y : y + high, x : x + wide]
        room[:] = patch[: room.shape[0], : room.shape[1]]
    return picture


def _fitted(patch: U8, wide: int, high: int, rng: np.random.Generator) -> U8:
    """The patch cut to a random part, perhaps mirrored, stretched to the size."""
    share = rng.uniform(0.4, 1, 2)
    rows, columns = (max(8, int(part * length)) for part, length in zip(share, patch.shape, strict=False))
    y = int(rng.integers(0, max(1, patch.shape[0] - rows)))
    x = int(rng.integers(0, max(1, patch.shape[1] - columns)))
    part = patch[y : y + rows, x : x + columns]
    part = part[:, ::-1] if rng.random() < 0.5 else part
    return np.asarray(cv2.resize(part, (wide, high), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def decoy(photos: Sequence[LabelledPhoto], size: int, rng: np.random.Generator) -> U8:
    """Something of about size x size that a weak detector takes for a face and that is none."""
    kind = int(rng.integers(8))
    if kind == 0:
        return _fitted(faceless_patch(photos, rng), size, int(size * rng.uniform(0.6, 1.6)), rng)
    if kind == 1:
        return _lettering(size, rng)
    face = _face(photos, rng)
    if face is None:
        return _lettering(size, rng)
    if kind in (6, 7):
        return _tinted(_fitted(faceless_patch(photos, rng), size, int(size * rng.uniform(0.6, 1.6)), rng), face)
    if kind in (2, 3):
        face = _scrambled(face, 2 + int(rng.integers(1, 4)), rng)
    elif kind == 4:
        high, wide = face.shape[:2]
        y, x = int(rng.integers(0, high * 2 // 3)), int(rng.integers(0, wide * 2 // 3))
        face = face[y : y + max(3, high // 3), x : x + max(3, wide // 3)]
    else:
        return _skin(face, size, rng)
    return np.asarray(
        cv2.resize(face, (size, int(size * rng.uniform(0.8, 1.4))), interpolation=cv2.INTER_AREA), np.uint8
    )


def _face(photos: Sequence[LabelledPhoto], rng: np.random.Generator) -> U8 | None:
    photo = pick(photos, rng)
    if not len(photo.boxes):
        return None
    x0, y0, x1, y1 = photo.boxes[0].astype(int)
    face = photo.pixels()[max(0, y0) : y1, max(0, x0) : x1]
    return face if min(face.shape[:2]) >= 12 else None


def _scrambled(face: U8, parts: int, rng: np.random.Generator) -> U8:
    """The face's tiles in another order: all of its textures, none of its shape."""
    high, wide = (length // parts for length in face.shape[:2])
    tiles = [face[r * high : r * high + high, c * wide : c * wide + wide] for r in range(parts) for c in range(parts)]
    order = np.roll(rng.permutation(parts * parts), 1)
    rows = [np.concatenate([tiles[i] for i in order[r * parts : r * parts + parts]], axis=1) for r in range(parts)]
    return np.concatenate(rows)


def _skin(face: U8, size: int, rng: np.random.Generator) -> U8:
    """An oval of the face's colours with soft shade and no features, on a colour of its own."""
    shades = cv2.resize(face, (3, 3), interpolation=cv2.INTER_AREA)
    smooth = cv2.resize(shades, (size, size), interpolation=cv2.INTER_CUBIC)
    out = np.full((size, size, 3), rng.integers(0, 256, 3), np.uint8)
    mask = np.zeros((size, size), np.uint8)
    axes = (int(size * rng.uniform(0.25, 0.5)), int(size * rng.uniform(0.3, 0.5)))
    cv2.ellipse(mask, (size // 2, size // 2), axes, float(rng.uniform(0, 180)), 0, 360, 255, -1)
    out[mask > 0] = smooth[mask > 0]
    return out


def _tinted(thing: U8, face: U8) -> U8:
    """Clothes and walls in the colours of skin: the thing's own folds and edges, lit and coloured like the face."""
    folds = cv2.cvtColor(thing, cv2.COLOR_BGR2LAB).astype(np.float32)
    skin = cv2.cvtColor(face, cv2.COLOR_BGR2LAB).reshape(-1, 3).astype(np.float32)
    folds = (folds - folds.mean(axis=(0, 1))) / (folds.std(axis=(0, 1)) + 1) * skin.std(axis=0) + skin.mean(axis=0)
    return np.asarray(cv2.cvtColor(np.clip(folds, 0, 255).astype(np.uint8), cv2.COLOR_LAB2BGR), dtype=np.uint8)


def _lettering(size: int, rng: np.random.Generator) -> U8:
    out = np.full((size, size, 3), rng.integers(0, 256, 3), np.uint8)
    for row in range(int(rng.integers(1, 4))):
        text = "".join(_LETTERS[int(i)] for i in rng.integers(0, len(_LETTERS), int(rng.integers(1, 6))))
        colour = tuple(int(part) for part in rng.integers(0, 256, 3))
        font, scale = _FONTS[int(rng.integers(3))], size / 60 * float(rng.uniform(0.5, 2))
        cv2.putText(out, text, (int(size * 0.05), int(size * (0.35 + 0.3 * row))), font, scale, colour, 1 + size // 30)
    return out


def cover(picture: U8, box: F32, landmarks: F32, rng: np.random.Generator) -> None:
    """Something over a face that leaves it one: a mask, dark glasses, or a thing in the way. Drawn in place."""
    wide, high = box[2] - box[0], box[3] - box[1]
    colour = tuple(int(part) for part in rng.integers(0, 256, 3))
    kind = int(rng.integers(3))
    if kind == 0:
        nose, down = landmarks[2], (landmarks[3] + landmarks[4] - landmarks[0] - landmarks[1]) / 2
        across = np.array([-down[1], down[0]], np.float32) * np.float32(0.55 * wide / (np.hypot(*down) + 1e-3))
        top = nose - down * rng.uniform(0.05, 0.35)
        low = nose + down * rng.uniform(0.9, 1.2)
        outline = np.array([top - across, top + across, low + across * 0.7, low - across * 0.7])
        cv2.fillPoly(picture, [outline.astype(np.int32)], colour, cv2.LINE_AA)
    elif kind == 1:
        dark = tuple(int(part) for part in rng.integers(0, 80, 3))
        radius = max(1, int(np.hypot(*(landmarks[1] - landmarks[0])) * rng.uniform(0.25, 0.42)))
        thick = -1 if rng.random() < 0.6 else max(1, radius // 5)
        for eye in landmarks[:2]:
            cv2.circle(picture, (int(eye[0]), int(eye[1])), radius, dark, thick, cv2.LINE_AA)
    else:
        share = rng.uniform(0.15, 0.4)
        x0, y0, x1, y1 = box
        corners = ((x0, y0, x0 + wide * share, y1), (x1 - wide * share, y0, x1, y1), (x0, y1 - high * share, x1, y1))
        a, b, c, d = (int(part) for part in corners[int(rng.integers(3))])
        cv2.rectangle(picture, (a, b), (c, d), colour, -1)


def seen_by_camera(picture: U8, rng: np.random.Generator) -> U8:
    """Light, colour, blur, low resolution, noise and JPEG, each now and then."""
    if rng.random() < 0.7:
        picture = _relit(picture, rng)
    side = picture.shape[0]
    if rng.random() < 0.15:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.4, 1.6))), dtype=np.uint8)
    elif rng.random() < 0.12:
        kernel = np.zeros((5, 5), np.float32)
        dx, dy = (int(part) for part in rng.integers(-2, 3, 2))
        cv2.line(kernel, (2 - dx, 2 - dy), (2 + dx, 2 + dy), 1.0)
        picture = np.asarray(cv2.filter2D(picture, -1, kernel / kernel.sum()), dtype=np.uint8)
    if rng.random() < 0.2:
        small = int(side * rng.uniform(0.4, 0.9))
        tiny = cv2.resize(picture, (small, small), interpolation=cv2.INTER_AREA)
        up = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST)[int(rng.integers(3))]
        picture = np.asarray(cv2.resize(tiny, (side, side), interpolation=up), dtype=np.uint8)
    if rng.random() < 0.2:
        picture = _noisy(picture, float(rng.uniform(2, 12)), rng)
    if rng.random() < 0.3:
        _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 85))])
        picture = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)
    return picture


def _noisy(picture: U8, deviation: float, rng: np.random.Generator) -> U8:
    noise = np.empty((picture.shape[0], picture.shape[1] * 3), np.int16)  # of one channel: else blue alone gets any
    cv2.setRNGSeed(int(rng.integers(2**31)))
    cv2.randn(noise, np.zeros(1), np.array([deviation]))
    return np.asarray(cv2.add(picture, noise.reshape(picture.shape), dtype=cv2.CV_8U), dtype=np.uint8)


def _relit(picture: U8, rng: np.random.Generator) -> U8:
    """Gamma, contrast, brightness and the light's colour by one table for each channel; now and then grey."""
    ramp = np.linspace(0, 1, 256) ** np.exp(rng.normal(0, 0.35))
    curve = (ramp - 0.5) * np.exp(rng.normal(0, 0.25)) + 0.5 + rng.normal(0, 0.08)
    table = np.clip(curve[:, None] * np.exp(rng.normal(0, 0.1, 3)) * 255, 0, 255).astype(np.uint8)
    if rng.random() < 0.12:
        picture = np.asarray(
            cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), dtype=np.uint8
        )
    return np.asarray(cv2.LUT(picture, table[:, None, :]), dtype=np.uint8)
