"""Distils a detector: photos and a teacher in, a student that finds the teacher's faces in scenes made of them out.

Blocks for hours. The teacher labels each clean photo once; scenes are composed beside the training step, and where
the faces in them are follows from how they were made. Each scene has its own seed: a resumed run sees the same ones.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from recognition import detect
from recognition.faces import Detections
from recognition.photos import PhotoSet
from recognition.training.assign import LANDMARK_WEIGHT, Truth, cells_of, detection_losses
from recognition.training.detector_net import INPUT_SCALE, STRIDES, NanoDetector, as_yunet
from recognition.training.from_onnx import begin
from recognition.training.loop import RunOptions
from recognition.training.matching_faces import GroundTruth, recall_at
from recognition.training.photo_labels import load_labelled
from recognition.training.scene_parts import LabelledPhoto
from recognition.training.scenes import Scene, arrange, as_seen, compose, mirrored
from recognition.training.teacher import TeachingDetector

_HELD_OUT_OF = 20  # people whose name's digest divides by it are never trained on: figures are theirs
_HELD_OUT_SCENES = 128
_HELD_OUT_SEED = 7_000_000
_FITTED_TO, _FITTED_SEED = 12, 6_000_000  # scenes
_MOST_FACES = 24
_REUSED = 24  # batches until the same scenes come again; even, so that they are as large
_FALSE_ALARMS = 0.1


class _Kind(NamedTuple):
    side: int
    scenes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorOptions(RunOptions):
    """What to distil. `scenes`: how many are an epoch; of two batches one has `batch` scenes of `side` pixels,
    one has fewer of `large_side`.
    """

    scenes: int = 2400
    side: int = 256
    large_side: int = 416
    batch: int = 16
    cache: Path | None = None


class _Batches(Dataset[tuple[Tensor, ...]]):
    """Number -> a batch of scenes and their padded truth; each number's batch is always the same.

    Small scenes and large ones come by turns, about as many pixels in each batch: with large ones alone half of the
    work would go to backgrounds, with small ones alone no large face would ever be whole. Composing costs as much as
    learning: each batch comes twice, many batches apart, mirrored and in other light.
    """

    def __init__(
        self, photos: Sequence[LabelledPhoto], kinds: tuple[_Kind, ...], seed: int, first: int, count: int
    ) -> None:
        self._photos, self._kinds, self._seed, self._first, self._count = photos, kinds, seed, first, count
        self._kept: dict[int, list[Scene]] = {}

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> tuple[Tensor, ...]:
        cv2.setNumThreads(1)
        place = self._first + number
        block, within = divmod(place, 2 * _REUSED)
        again, original = divmod(within, _REUSED)
        scenes = self._arranged(block * _REUSED + original)
        rng = np.random.default_rng((self._seed, place, 1))
        seen = [as_seen(mirrored(scene) if again else scene, rng) for scene in scenes]
        padded = (torch.stack(column) for column in zip(*map(_padded, seen), strict=True))
        return (torch.from_numpy(np.stack([scene.picture for scene in seen])), *padded)

    def _arranged(self, original: int) -> list[Scene]:
        """Composed, or remembered from their first use."""
        scenes = self._kept.pop(original, None)
        if scenes is None:
            kind = self._kinds[original % len(self._kinds)]
            rng = np.random.default_rng((self._seed, original))
            scenes = [arrange(self._photos, kind.side, rng) for _ in range(kind.scenes)]
            self._kept[original] = scenes
            while len(self._kept) > _REUSED:
                del self._kept[next(iter(self._kept))]
        return scenes


class DetectorTask:
    """SimOTA assignment, EIoU boxes, landmarks in units of the face's size."""

    name = "detector"

    def __init__(self, options: DetectorOptions, say: Callable[[str], None]) -> None:
        self._options = options
        self._photos = PhotoSet(options.data)
        self._teacher = TeachingDetector(options.teacher, options.weights_folders)
        names = self._photos.names
        labelled = load_labelled(self._photos, names, self._teacher, options.cache or options.out / "cache", say)
        held = [is_held_out(self._photos.person_of(name)) for name in names]
        self._train = [photo for photo, out in zip(labelled, held, strict=True) if not out]
        self._held = [photo for photo, out in zip(labelled, held, strict=True) if out]
        large = max(1, round(options.batch * (options.side / options.large_side) ** 2))
        self._kinds = (_Kind(options.side, options.batch), _Kind(options.large_side, large))
        self.net: nn.Module = NanoDetector()
        self._started_from = begin(self.net, options.start_from, INPUT_SCALE, self._example)

    @property
    def photos(self) -> Sequence[LabelledPhoto]:
        """Those that it trains on."""
        return self._train

    @property
    def steps_per_epoch(self) -> int:
        return max(1, round(self._options.scenes * len(self._kinds) / sum(kind.scenes for kind in self._kinds)))

    def batches(self, epoch: int, seed: int) -> Iterable[Sequence[Tensor]]:
        count = self.steps_per_epoch
        batches = _Batches(self._train, self._kinds, seed, epoch * count, count)
        workers = self._options.workers
        return DataLoader(batches, None, num_workers=workers, prefetch_factor=6 if workers else None)

    def losses(self, net: nn.Module, batch: Sequence[Tensor]) -> dict[str, Tensor]:
        pictures, boxes, landmarks, real, doubtful = batch
        levels = net(pictures.permute(0, 3, 1, 2).float())
        with torch.autocast(pictures.device.type, enabled=False):
            raw = torch.cat([level.float() for level in levels], dim=1)
            cells = cells_of(pictures.shape[1], pictures.shape[2], STRIDES, pictures.device)
            return detection_losses(raw, cells, Truth(boxes, landmarks, real, doubtful))

    def figures(self, net: nn.Module) -> dict[str, float]:
        """On scenes of the people held out: recall at .1 false alarms a scene, and the landmarks' error."""
        rngs = (np.random.default_rng((_HELD_OUT_SEED, number)) for number in range(_HELD_OUT_SCENES))
        side = self._options.large_side
        scenes = [compose(self._held, side, rng) for rng in rngs]
        found = [self._detect(net, scene) for scene in scenes]
        known = [GroundTruth(scene.boxes, scene.doubtful, side, side) for scene in scenes]
        recall = recall_at(found, known, _FALSE_ALARMS)
        return {
            "held_out_recall": recall.recall,
            "held_out_threshold": recall.threshold,
            "held_out_landmark_error": landmark_error(found, scenes),
        }

    def _example(self) -> Tensor:
        rngs = (np.random.default_rng((_FITTED_SEED, number)) for number in range(_FITTED_TO))
        pictures = [compose(self._train, self._options.large_side, rng).picture for rng in rngs]
        return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float()

    def facts(self) -> dict[str, Any]:
        options = self._options
        return {
            "data": options.data.name,
            "data_sha256": self._photos.digest,
            "photos": len(self._photos.names),
            "teacher": options.teacher,
            "teacher_sha256": self._teacher.spec.weights_digest,
            "held_out_photos": len(self._held),
            "scenes_per_epoch": options.scenes,
            "side": options.side,
            "large_side": options.large_side,
            "batch": options.batch,
            "landmark_weight": LANDMARK_WEIGHT,
            **({"started_from": self._started_from} if self._started_from else {}),
        }

    def _detect(self, net: nn.Module, scene: Scene) -> Detections:
        device = next(net.parameters()).device
        picture = torch.from_numpy(scene.picture).to(device)[None].permute(0, 3, 1, 2).float()
        outputs = [part.cpu().numpy() for part in as_yunet(net(picture))]
        prepared = detect.Prepared(np.empty((3, *scene.picture.shape[:2]), np.float32), 1.0)
        return detect.parse(self._teacher.spec, outputs, prepared, 0.05)


def is_held_out(person: str) -> bool:
    """Whether a person's photos are for figures and thresholds alone; decided by the name, one in twenty."""
    return int.from_bytes(hashlib.sha256(person.encode()).digest()[:4]) % _HELD_OUT_OF == 0


def landmark_error(found: Sequence[Detections], scenes: Sequence[Scene]) -> float:
    """Mean distance of the landmarks of found faces from the truth, in distances between the true eyes."""
    errors = []
    for detections, scene in zip(found, scenes, strict=True):
        for points, box in zip(scene.landmarks, scene.boxes, strict=True):
            near = np.abs(detections.boxes - box).max(axis=1) < 0.25 * (box[3] - box[1])
            if near.any():
                away = np.hypot(*(detections.landmarks[int(near.argmax())] - points).T)
                errors.append(float(away.mean() / max(1e-3, np.hypot(*(points[1] - points[0])))))
    return float(np.mean(errors)) if errors else 1.0


def _padded(scene: Scene) -> tuple[Tensor, ...]:
    """boxes (24,4), landmarks (24,10), which of them are real (24,), doubtful (24,4); more than that is left out."""
    count, unsure = min(len(scene.boxes), _MOST_FACES), min(len(scene.doubtful), _MOST_FACES)
    boxes, landmarks = torch.zeros(_MOST_FACES, 4), torch.zeros(_MOST_FACES, 10)
    real, doubtful = torch.zeros(_MOST_FACES, dtype=torch.bool), torch.zeros(_MOST_FACES, 4)
    boxes[:count] = torch.from_numpy(scene.boxes[:count])
    landmarks[:count] = torch.from_numpy(scene.landmarks[:count].reshape(-1, 10))
    real[:count] = True
    doubtful[:unsure] = torch.from_numpy(scene.doubtful[:unsure])
    return boxes, landmarks, real, doubtful
