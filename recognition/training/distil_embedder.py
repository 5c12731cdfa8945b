"""Distils an embedder: photos and a teacher in, a student that puts faces where the teacher puts them out.

Blocks for hours. The teacher judges each clean crop once; the student sees the crop spoiled and is to say the same.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from recognition.arrays import F32, U8
from recognition.errors import PhotoSetInvalid
from recognition.photos import PhotoSet
from recognition.training.augment import augment
from recognition.training.blends import blend
from recognition.training.crops import SIDE, inner, load_crops
from recognition.training.embedder_net import INPUT_SCALE, NanoEmbedder
from recognition.training.export_embedder import as_trained
from recognition.training.from_onnx import begin
from recognition.training.loop import RunOptions, Say, rate
from recognition.training.teacher import TeachingDetector, TeachingEmbedder

# Of every hundred people, those whose number ends so are never trained on: figures are theirs.
_HELD_OUT, _OF = 3, 20
_BLEND_SEED = 20_000
_ANCHORS = 2048
_FITTED_TO = 256  # crops
_AHEAD = 4
_UNSPOILED = (0.2, 0.6)  # the share of crops that are only moved, at first and at the end


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderOptions(RunOptions):
    """What to distil. `blends`: how many mixtures of two faces join the photos."""

    aligner: str
    blends: int = 40_000
    batch: int = 192
    cosine_weight: float = 1.0
    relation_weight: float = 0.5
    temperature: float = 0.07


class _Spoiled(Dataset[tuple[U8, int]]):
    """Crops as cameras see them, anew in each epoch; item -> (pixels, its row)."""

    def __init__(self, pixels: U8, rows: NDArray[np.int64], seed: int, unspoiled: float) -> None:
        self._pixels, self._rows, self._seed, self._unspoiled = pixels, rows, seed, unspoiled

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: int) -> tuple[U8, int]:
        row = int(self._rows[place])
        return augment(self._pixels[row], np.random.default_rng((self._seed, row)), self._unspoiled), row


class EmbedderTask:
    """Cosine to the teacher, and the same neighbours as the teacher among a bank of its embeddings."""

    name = "embedder"

    def __init__(self, options: EmbedderOptions, say: Say) -> None:
        self._options = options
        self._photos = PhotoSet(options.data)
        self._teacher = TeachingEmbedder(options.teacher, options.weights_folders, options.schedule.threads or 2)
        self._aligner = TeachingDetector(options.aligner, options.weights_folders)
        crops = load_crops(self._photos, self._aligner, options.out / "cache", say)
        held = crops.people % _OF == _HELD_OUT
        _check_enough(crops.people[held], len(crops.people) + options.blends, options)
        self._held = inner(crops.pixels[held])
        self._held_people = crops.people[held]
        self.crops = crops.pixels
        self._pixels = _with_blends(crops.pixels[~held], options, say)
        self._targets = torch.from_numpy(self._taught(say))
        self.net: nn.Module = NanoEmbedder()
        self._started_from = begin(self.net, options.start_from, INPUT_SCALE, self._example, as_trained)

    @property
    def steps_per_epoch(self) -> int:
        return len(self._pixels) // self._options.batch

    def batches(self, epoch: int, seed: int) -> Iterable[Sequence[Tensor]]:
        rng = np.random.default_rng((seed, epoch))
        rows = rng.permutation(len(self._pixels))[: self.steps_per_epoch * self._options.batch]
        dataset = _Spoiled(self._pixels, rows, int(rng.integers(2**31)), self._unspoiled(epoch))
        workers = self._options.workers
        return DataLoader(
            dataset, self._options.batch, num_workers=workers, prefetch_factor=_AHEAD if workers else None
        )

    def _unspoiled(self, epoch: int) -> float:
        """More clean faces while the learning rate falls: what a student of its size keeps best is what it saw last."""
        first, last = _UNSPOILED
        steps, schedule = self.steps_per_epoch, self._options.schedule
        return last + (first - last) * rate(epoch * steps + schedule.warmup_steps, schedule.epochs * steps, schedule)

    def losses(self, net: nn.Module, batch: Sequence[Tensor]) -> dict[str, Tensor]:
        """Relations as in SEED (Fang et al. 2021): the softmax of the similarities to a bank of anchors."""
        pixels, rows = batch
        options = self._options
        ours = functional.normalize(net(_as_tensor(pixels)).float(), dim=1)
        targets = self._targets.to(ours.device)
        theirs = targets[rows]
        anchors = torch.cat((theirs, targets[torch.randint(len(targets), (_ANCHORS,), device=ours.device)]))
        told = functional.softmax(theirs @ anchors.T / options.temperature, dim=1)
        said = functional.log_softmax(ours @ anchors.T / options.temperature, dim=1)
        relation = functional.kl_div(said, told, reduction="batchmean")
        cosine = 1 - (ours * theirs).sum(dim=1).mean()
        return {"cosine": options.cosine_weight * cosine, "relation": options.relation_weight * relation}

    def figures(self, net: nn.Module) -> dict[str, float]:
        """On the people held out: mean cosine to the teacher, and the true-match rate at FMR 1e-3."""
        device = next(net.parameters()).device
        parts = [
            functional.normalize(net(_as_tensor(torch.from_numpy(np.array(part)).to(device))), dim=1).cpu().numpy()
            for part in np.array_split(self._held, max(1, len(self._held) // 64))
        ]
        ours = np.concatenate(parts)
        theirs = self._held_targets
        return {
            "held_out_cosine": float((ours * theirs).sum(axis=1).mean()),
            "held_out_tmr_1e-3": _true_match_rate(ours, self._held_people, 1e-3),
            "teacher_tmr_1e-3": _true_match_rate(theirs, self._held_people, 1e-3),
        }

    def facts(self) -> dict[str, Any]:
        options = self._options
        return {
            "data": options.data.name,
            "data_sha256": self._photos.digest,
            "photos": len(self._photos.names),
            "teacher": options.teacher,
            "teacher_sha256": self._teacher.spec.weights_digest,
            "aligner": options.aligner,
            "aligner_sha256": self._aligner.spec.weights_digest,
            "crops": len(self._pixels),
            "blends": options.blends,
            "held_out_crops": len(self._held),
            "batch": options.batch,
            "cosine_weight": options.cosine_weight,
            "relation_weight": options.relation_weight,
            "temperature": options.temperature,
            **({"started_from": self._started_from} if self._started_from else {}),
        }

    def _example(self) -> Tensor:
        some = np.linspace(0, len(self._pixels) - 1, min(_FITTED_TO, len(self._pixels))).astype(int)
        return _as_tensor(torch.from_numpy(inner(self._pixels[some])))

    def _taught(self, say: Say) -> F32:
        """The teacher's embeddings of everything, made once and kept."""
        digest = f"{self._teacher.spec.short_digest[:8]}-{self._photos.digest[:8]}-{len(self._pixels)}"
        file = self._options.out / "cache" / f"taught-{digest}.npz"
        if not file.exists():
            say(f"asking the teacher about {len(self._pixels) + len(self._held)} faces")
            np.savez(
                file,
                all=self._teacher.embed(inner(crop) for crop in self._pixels),
                held=self._teacher.embed(iter(self._held)),
            )
        kept = np.load(file)
        self._held_targets: F32 = kept["held"]
        taught: F32 = kept["all"]
        return taught


def _check_enough(held_people: NDArray[np.int64], crops: int, options: EmbedderOptions) -> None:
    """Raises PhotoSetInvalid where there is no batch to train on, or nobody to tell how good the student is."""
    if crops < options.batch:
        raise PhotoSetInvalid(
            f"{options.data}: {crops} faces and blends, a batch has {options.batch}; give more photos"
        )
    several = len(held_people) > len(np.unique(held_people)) > 1
    if not several:
        raise PhotoSetInvalid(
            f"{options.data}: one person in {_OF} is held out to measure with, and that leaves no two people of whom "
            "one has several photos; give photos of more people"
        )


def _with_blends(pixels: U8, options: EmbedderOptions, say: Say) -> U8:
    """The crops and, after them, faces of nobody; in a file, so that the loader's processes share its pages."""
    file = options.out / "cache" / f"pixels-{len(pixels)}-{options.blends}.npy"
    if not file.exists():
        say(f"blending {options.blends} faces")
        part = file.with_suffix(".part.npy")
        bank = np.lib.format.open_memmap(part, "w+", np.uint8, (len(pixels) + options.blends, SIDE, SIDE, 3))
        bank[: len(pixels)] = pixels
        source = np.array(pixels)
        for number in range(options.blends):
            bank[len(pixels) + number] = blend(source, np.random.default_rng((_BLEND_SEED, number)))
        bank.flush()
        part.rename(file)
    shared: U8 = np.load(file, mmap_mode="r")
    return shared


def _as_tensor(pixels: Tensor) -> Tensor:
    """(n,112,112,3) uint8 BGR -> (n,3,112,112) float32 RGB."""
    return pixels.flip(3).permute(0, 3, 1, 2).float()


def _true_match_rate(unit: F32, people: NDArray[np.int64], false_match_rate: float) -> float:
    """The share of same-person pairs above the similarity that this share of other pairs exceeds."""
    similar = unit @ unit.T
    upper = np.triu(np.ones(similar.shape, bool), 1)
    same = people[:, None] == people[None, :]
    threshold = np.quantile(similar[upper & ~same], 1 - false_match_rate)
    return float((similar[upper & same] >= threshold).mean())
