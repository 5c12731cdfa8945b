"""Embeddings and whose they are -> classes to train on, and a split of them by person. Pure; any thread."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gallery.classifier.errors import TrainingImpossible
from gallery.matching.aggregate import class_means
from gallery.matching.exact import on_grid
from recognition.arrays import F32

LEAST_OF_A_CLASS = 2
Labels = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """n faces of the people who have two at least. embeddings (n,d) float32 unit vectors; labels (n,): rows of
    person_ids, which are sorted. dropped: how many people had one face alone, and no class therefore.

    The order is the same whatever the source's: by person, then by the embedding's numbers.
    """

    embeddings: F32
    labels: Labels
    person_ids: tuple[str, ...]
    dropped: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def of(cls, embeddings: F32, person_ids: Sequence[str]) -> Self:
        """Of (n,d) and whose each is. Raises TrainingImpossible where fewer than two people have two faces."""
        sizes = Counter(person_ids)
        kept = tuple(sorted(person for person, size in sizes.items() if size >= LEAST_OF_A_CLASS))
        if len(kept) < LEAST_OF_A_CLASS:
            raise TrainingImpossible(
                f"{len(kept)} of {len(sizes)} people have two usable verified faces or more; a classifier tells two "
                "people apart at least: give more photos"
            )
        class_of = {person: row for row, person in enumerate(kept)}
        packed = np.ascontiguousarray(embeddings, dtype=np.float32)
        rows = [row for row, person in enumerate(person_ids) if person in class_of]
        rows.sort(key=lambda row: (class_of[person_ids[row]], packed[row].tobytes()))
        labels = np.array([class_of[person_ids[row]] for row in rows], np.intp)
        return cls(packed[rows], labels, kept, len(sizes) - len(kept))

    @property
    def sizes(self) -> Labels:
        """How many faces each class has."""
        return np.bincount(self.labels, minlength=len(self.person_ids))

    def at(self, rows: Labels) -> Self:
        """These faces alone, of the same classes."""
        return type(self)(self.embeddings[rows], self.labels[rows], self.person_ids, self.dropped)

    def split(self, validation_share: float, seed: int) -> tuple[Self, Self]:
        """Training and validation part: of each person about such a share for validation, one face at least, and one
        at least to train on.
        """
        random, training, validation = np.random.RandomState(seed), [], []
        for label, size in enumerate(self.sizes.tolist()):
            rows = random.permutation(np.flatnonzero(self.labels == label))
            count = min(max(1, round(size * validation_share)), size - 1)
            validation.append(np.sort(rows[:count]))
            training.append(np.sort(rows[count:]))
        return self.at(np.concatenate(training)), self.at(np.concatenate(validation))


def means_of(dataset: Dataset) -> F32:
    """(classes, d) float32: each class's mean as the matcher's class_mean has it."""
    starts = np.searchsorted(dataset.labels, np.arange(len(dataset.person_ids)))
    return class_means(on_grid(dataset.embeddings), starts)
