"""A dataset -> a fitted classifier, and what that says of faces. Needs scikit-learn; pure; blocks for the processor.

Whose face it is, the classifier's own predict() says; whether it is anybody's, the cosine to that class's mean does:
scores of a classifier that knows no strangers tell nothing of them (docs/training.md has what was measured).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from gallery.classifier.dataset import Dataset, Labels, means_of
from recognition.arrays import F32

Kind = Literal["svc", "knn", "centroid"]
F64 = NDArray[np.float64]
LEAST_CALIBRATED = 5  # faces of a class: the calibration has so many folds
_MOST_DECISIONS = 2**27  # numbers that scikit-learn makes at once for one fold: 1 GiB
_AT_ONCE = 2**22

FACTORIES: Mapping[Kind, Callable[[int], Any]] = {
    "svc": lambda seed: SVC(kernel="linear", class_weight="balanced", random_state=seed),
    "knn": lambda seed: KNeighborsClassifier(n_neighbors=1, algorithm="brute"),
    "centroid": lambda seed: NearestCentroid(),
}


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Of n faces. best (n,): the class; confidence (n,) in [0,1], of the class alone, as if there were no strangers;
    similarity (n,): cosine to that class's mean; lead (n,): over the mean that is nearest of the others.
    """

    best: Labels
    confidence: F64
    similarity: F64
    lead: F64


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """What classifier.pkl holds. `calibrated`: the SVC's probabilities for the classes `calibrated_labels`, those with
    five faces at least, None where there are none; means (classes, d) float32 unit vectors.
    """

    scaler: StandardScaler
    classifier: Any
    calibrated: CalibratedClassifierCV | None
    calibrated_labels: Labels
    means: F32

    @property
    def classes(self) -> int:
        return len(self.means)

    def best(self, embeddings: F32) -> Labels:
        """(n,d) float32 unit vectors -> the class of each (n,), whoever else it may be."""
        size = self._at_once
        parts = [embeddings[start : start + size] for start in range(0, len(embeddings), size)]
        said = [self.classifier.predict(self.scaler.transform(part.astype(np.float64))) for part in parts]
        return np.concatenate([np.empty(0, np.intp), *said]).astype(np.intp)

    @property
    def _at_once(self) -> int:
        """Of more faces the decisions between all pairs of classes would take too much room."""
        return max(1, _AT_ONCE // (self.classes * self.classes))

    def predict(self, embeddings: F32) -> Predictions:
        """(n,d) float32 unit vectors -> Predictions."""
        size = self._at_once
        parts = [self._predict(embeddings[start : start + size]) for start in range(0, len(embeddings), size)]
        parts = parts or [self._nothing()]
        return Predictions(
            np.concatenate([part.best for part in parts]),
            *(np.concatenate([getattr(part, name) for part in parts]) for name in ("confidence", "similarity", "lead")),
        )

    def _predict(self, embeddings: F32) -> Predictions:
        scaled = self.scaler.transform(embeddings.astype(np.float64))
        best = np.asarray(self.classifier.predict(scaled), np.intp)
        cosines = embeddings.astype(np.float64) @ self.means.T.astype(np.float64)
        rows = np.arange(len(best))
        similarity = cosines[rows, best]
        cosines[rows, best] = -np.inf
        return Predictions(best, self._confidence(scaled, best), similarity, similarity - cosines.max(axis=1))

    def _confidence(self, scaled: F64, best: Labels) -> F64:
        confidence = margin_confidence(self.classifier, scaled, best)
        if self.calibrated is not None:
            known = self.calibrated_labels
            column = np.minimum(np.searchsorted(known, best), len(known) - 1)
            has = known[column] == best
            if has.any():
                shares = self.calibrated.predict_proba(scaled[has])
                confidence[has] = shares[np.arange(len(shares)), column[has]]
        return np.clip(confidence, 0.0, 1.0)

    def _nothing(self) -> Predictions:
        empty = np.empty(0)
        return Predictions(np.empty(0, np.intp), empty, empty, empty)


def margin_confidence(classifier: Any, scaled: F64, best: Labels) -> F64:  # noqa: ANN401 - it has no types
    """1 / (1 + exp(-m)) of the class that was predicted, m its lead over the next one in the decision function; of a
    classifier without one, the share of its neighbours' votes.
    """
    if not hasattr(classifier, "decision_function"):
        shares = np.asarray(classifier.predict_proba(scaled))
        return np.asarray(shares[np.arange(len(best)), np.searchsorted(classifier.classes_, best)], np.float64)
    decisions = np.array(classifier.decision_function(scaled), np.float64)
    if decisions.ndim == 1:
        decisions = np.stack((-decisions, decisions), axis=1)
    rows, columns = np.arange(len(best)), np.searchsorted(classifier.classes_, best)
    own = decisions[rows, columns]
    decisions[rows, columns] = -np.inf
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(own - decisions.max(axis=1), -50.0, 50.0))))


def fit(dataset: Dataset, kind: Kind = "svc", seed: int = 42, *, calibrates: bool = True) -> Fitted:
    """The same numbers for the same dataset and seed. `calibrates`: probabilities are wanted, too."""
    scaler = StandardScaler()
    scaled = scaler.fit_transform(dataset.embeddings.astype(np.float64))
    large = np.flatnonzero(dataset.sizes >= LEAST_CALIBRATED)
    calibrated = None
    if kind == "svc" and calibrates and len(large) > 1 and _is_bearable(dataset, large):
        rows = np.isin(dataset.labels, large)
        calibrated = _calibrated(scaled[rows], dataset.labels[rows], large, seed)
    if calibrated is not None and len(large) == len(dataset.person_ids):
        classifier = calibrated.calibrated_classifiers_[0].estimator  # fitted on all of them already
    else:
        classifier = FACTORIES[kind](seed).fit(scaled, dataset.labels)
    return Fitted(scaler, classifier, calibrated, large if calibrated is not None else large[:0], means_of(dataset))


def _is_bearable(dataset: Dataset, large: Labels) -> bool:
    """Whether there is memory for it: scikit-learn makes a number for each pair of classes and each face of a fold."""
    pairs = len(large) * (len(large) - 1) // 2
    return pairs * int(dataset.sizes[large].sum()) // LEAST_CALIBRATED <= _MOST_DECISIONS


def _calibrated(scaled: F64, labels: Labels, large: Labels, seed: int) -> CalibratedClassifierCV:
    """By temperature, which leaves the order of the classes as it is: a sigmoid a class turned it over.

    Its classes are the rows of `large`.
    """
    calibrated = CalibratedClassifierCV(FACTORIES["svc"](seed), method="temperature", ensemble=False, cv=5)
    calibrated.fit(scaled, np.searchsorted(large, labels))
    return calibrated
