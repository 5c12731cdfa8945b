"""PersonClassifier: embeddings in, who it is by the trained classifier, or nobody, out. Any thread; blocks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np

from gallery.matching.decide import Candidate, Candidates, Match
from gallery.matching.exact import cosines, on_grid
from gallery.people import Profile
from recognition.arrays import F32
from recognition.embed import usable

if TYPE_CHECKING:
    from gallery.classifier.fitting import Fitted


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

    fitted: "Fitted"
    person_ids: tuple[str, ...]
    space: str
    run_id: str
    trained_at: str

    @property
    def space_and_size(self) -> tuple[str, int]:
        """In which space it was trained, and of how many numbers embeddings had there."""
        return self.space, self.fitted.means.shape[1]

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

    def vote(self, embeddings: F32, weights: Sequence[float]) -> int:
        """The class that has most of the weight of several faces (n,d), n > 0, by the classifier's own word."""
        best = self.fitted.best(embeddings)
        return int(np.bincount(best, np.asarray(weights, np.float64) + 1e-9).argmax())


def owners_of(classes: Sequence[str], profiles: Mapping[str, Profile]) -> tuple[str | None, ...]:
    """A class is the person of that id, else whoever another system calls so (the profile's external_id); or nobody."""
    by_external = {one.external_id: who for who, one in profiles.items() if one.external_id is not None}
    return tuple(one if one in profiles else by_external.get(one) for one in classes)


@dataclass(frozen=True, slots=True, eq=False)
class NamedClasses:
    """A classifier and, for each of its classes, who that is in the gallery; None of whom nobody is there."""

    classifier: PersonClassifier
    owners: tuple[str | None, ...]

    @classmethod
    def of(cls, classifier: PersonClassifier, profiles: Mapping[str, Profile]) -> Self:
        return cls(classifier, owners_of(classifier.person_ids, profiles))

    @property
    def people(self) -> frozenset[str]:
        """Who can be named, by the gallery's ids."""
        return frozenset(owner for owner in self.owners if owner is not None)

    def candidates(self, embeddings: F32, weights: Sequence[float], most: int) -> list[Candidates]:
        """For each of several faces (n,d) of one person the cosines to the means of the same nearest classes, so many
        at most. Classes of nobody here stand in as well, as their own ids: whoever is one of them is nobody else.
        """
        if not len(embeddings):
            return []
        means = self.classifier.fitted.means
        by_face = cosines(on_grid(embeddings), means)
        shares = np.asarray(weights, np.float64) + 1e-9
        nearest = np.argsort(-(shares @ by_face), kind="stable")[: max(most, 2)].tolist()
        listed = [self.owners[label] or f"class {label}" for label in nearest]
        found = []
        for row in by_face[:, nearest].tolist():
            similarities: dict[str, float] = {}
            for who, cosine in zip(listed, row, strict=True):
                similarities[who] = max(cosine, similarities.get(who, -1.0))
            found.append(Candidates(similarities))
        return found

    def confirmed(self, match: Match, embeddings: F32, weights: Sequence[float]) -> Match:
        """The decision on candidates() where the classifier's own vote is the same person's; ambiguous where it is
        another's. Of whom nobody is in the gallery: unknown.
        """
        if match.best_person not in self.people:
            return replace(match, outcome="unknown", person_id=None, best_person=None, candidates=())
        if match.outcome != "known":
            return replace(match, candidates=tuple(one for one in match.candidates if one.person_id in self.people))
        label = self.classifier.vote(embeddings, weights)
        voted = self.owners[label]
        if voted == match.person_id:
            return match
        near = [Candidate(match.person_id or "", match.similarity)]
        if voted is not None:
            shares = np.asarray(weights, np.float64) + 1e-9
            by_face = cosines(on_grid(embeddings), self.classifier.fitted.means[[label]])[:, 0]
            near.append(Candidate(voted, min(max(float(shares / shares.sum() @ by_face), -1.0), 1.0)))
        return replace(match, outcome="ambiguous", person_id=None, candidates=tuple(near), is_overruled=True)
