"""What a teaching detector sees in photos: a set of photos in, photos with boxes and landmarks out, kept on disk.

Blocks for minutes the first time, for the reading of the files afterwards.
"""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from recognition.arrays import F32
from recognition.photos import PhotoSet
from recognition.training.scene_parts import LabelledPhoto
from recognition.training.teacher import TeachingDetector

_SURE, _DOUBTFUL = 0.6, 0.2


def load_labelled(
    photos: PhotoSet, names: Sequence[str], teacher: TeachingDetector, cache: Path, say: Callable[[str], None]
) -> list[LabelledPhoto]:
    """The named photos as the teacher sees them: sure faces, and doubtful ones that are neither face nor background."""
    listed = hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
    key = hashlib.sha256(f"{photos.digest} {teacher.spec.weights_digest} {listed} {_DOUBTFUL}".encode()).hexdigest()[
        :16
    ]
    file = cache / f"faces-{key}.npz"
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        say(f"asking the teacher about {len(names)} photos")
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(lambda name: teacher.detect(photos.read(name), _DOUBTFUL), names))
        np.savez(
            file,
            counts=np.array([len(one) for one in found]),
            scores=np.concatenate([one.scores for one in found]),
            boxes=np.concatenate([one.boxes for one in found]),
            landmarks=np.concatenate([one.landmarks for one in found]),
        )
    kept = np.load(file)
    ends = np.cumsum(kept["counts"])[:-1]
    parts = zip(names, *(np.split(kept[part], ends) for part in ("scores", "boxes", "landmarks")), strict=True)
    return [_labelled(photos.bytes_of(name), *seen) for name, *seen in parts]


def _labelled(data: bytes, scores: F32, boxes: F32, landmarks: F32) -> LabelledPhoto:
    """The largest face first: it is the one that a scene's sizes are about."""
    order = np.argsort(-(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    scores, boxes, landmarks = scores[order], boxes[order], landmarks[order]
    sure = scores >= _SURE
    return LabelledPhoto(data, boxes[sure], landmarks[sure], boxes[~sure])
