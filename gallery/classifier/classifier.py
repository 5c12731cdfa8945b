"""PersonClassifier: embeddings in, who it is by the trained classifier, or nobody, out. Any thread; blocks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gallery.classifier.fitting import Fitted
from gallery.matching.decide import NOBODY, Match
from recognition.arrays import F32
from recognition.embed import usable


@dataclass(frozen=True, slots=True)
class Prediction:
    """`best_id`: the class; `person_id` the same where it is near enough, else None.

    confidence in [0,1]: among the classes, see embedding_config.json; similarity: cosine to the class's mean, lead over
    the next class's.
    """

    person_id: str | None
    best_id: str | None
    confidence: float
    similarity: float
    lead: float


@dataclass(frozen=True, slots=True, eq=False)
class PersonClassifier:
    """As artifacts.load() gives it. `run_id` and `trained_at`: of its training."""

    fitted: Fitted
    person_ids: tuple[str, ...]
    space: str
    run_id: str
    trained_at: str

    def predict_ids(self, embeddings: F32, threshold: float) -> list[Prediction]:
        """Each of (n,d) float32 unit vectors by itself; nobody where its cosine to the class's mean is under the
        threshold, nor of a row of zeros.
        """
        if not len(embeddings):
            return []
        said, fine = self.fitted.predict(embeddings), usable(embeddings)
        predictions = []
        for row, label in enumerate(said.best.tolist()):
            who, similarity = self.person_ids[label], float(said.similarity[row])
            is_near = bool(fine[row]) and similarity >= threshold
            predictions.append(
                Prediction(
                    who if is_near else None,
                    who if fine[row] else None,
                    float(said.confidence[row]) if fine[row] else 0.0,
                    similarity,
                    float(said.lead[row]),
                )
            )
        return predictions

    def match(self, embeddings: F32, weights: Sequence[float], threshold: float, margin: float) -> Match:
        """The decision on several faces of one person, (n,d) with n weights: the class with most of the weight, held to
        the threshold by the weighted mean of its cosines.
        """
        if not len(embeddings):
            return NOBODY
        shares = np.maximum(np.asarray(weights, np.float64), 1e-9)
        said = self.fitted.predict(embeddings)
        votes = np.bincount(said.best, shares, minlength=self.fitted.classes)
        label = int(votes.argmax())
        cosines = shares / shares.sum() @ (embeddings.astype(np.float64) @ self.fitted.means.T.astype(np.float64))
        similarity = min(max(float(cosines[label]), -1.0), 1.0)
        lead = similarity - float(np.delete(cosines, label).max())
        who = self.person_ids[label]
        if similarity < threshold:
            return Match("unknown", None, similarity, lead, who)
        if lead < margin:
            return Match("ambiguous", None, similarity, lead, who)
        return Match("known", who, similarity, lead, who)
