"""Who tracks are: the best faces of each held against the gallery, in each space that its embedder is matched in.

Kept faces go in, verdicts come out. Pure; on the CPU pool, while the gallery may change: what changes takes another's
place.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import islice

import numpy as np

from gallery.index.faiss_index import FaceIndex
from gallery.matching.decide import Candidates, agree, confidence, decide
from gallery.matching.negatives import Negatives
from recognition.arrays import F32
from recognition.models.ensemble import halves
from streamer.pipeline.match_policy import MatchPolicy
from streamer.pipeline.tracking import KeptFace
from streamer.pipeline.visits import Verdict
from streamer.settings import GallerySettings

Tracks = Sequence[Sequence[KeptFace]]


def voters(kept: Sequence[KeptFace], serving: str, min_quality: float) -> list[KeptFace]:
    """Which of a track's faces it is judged by: those of the embedder that made most of the good ones.

    Among equals the serving one, then those of more quality. So a switch leaves a visit's name alone until as many good
    faces by the new embedder speak for another, whoever has no template for it keeps the name for so long, and a poor
    face or two change nothing.
    """
    by_model: dict[str, list[KeptFace]] = {}
    for face in kept:
        by_model.setdefault(face.model, []).append(face)

    def weight(faces: list[KeptFace]) -> tuple[int, bool, float]:
        qualities = [face.quality for face in faces]
        good = sum(quality >= min_quality for quality in qualities)
        return good, faces[0].model == serving, math.fsum(qualities)

    return max(by_model.values(), key=weight, default=[])


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """What tracks are judged by: policies by embedder; by space indexes, negatives and, by person, own thresholds.

    ignored: who is known and never told of.
    """

    policies: Mapping[str, MatchPolicy]
    indexes: Mapping[str, FaceIndex]
    negatives: Mapping[str, Negatives]
    own_thresholds: Mapping[str, Mapping[str, float]]
    ignored: AbstractSet[str]
    rules: GallerySettings

    def verdicts(self, tracks: Tracks, serving: str) -> list[Verdict]:
        """The faces of each track are of one embedder; none at all get the serving embedder's verdict on nothing."""
        by_model: dict[str, list[Sequence[KeptFace]]] = {}
        for faces in filter(None, tracks):
            by_model.setdefault(faces[0].model, []).append(faces)
        found = {model: self._search(self.policies[model], theirs) for model, theirs in by_model.items()}
        verdicts = []
        for faces in tracks:
            policy = self.policies[faces[0].model if faces else serving]
            votes: list[list[Candidates]] = [[] for _ in policy.spaces]
            if faces:
                votes = [list(islice(candidates, len(faces))) for candidates in found[policy.models.embedder]]
            verdicts.append(self._verdict(policy, faces, votes))
        return verdicts

    def _search(self, policy: MatchPolicy, tracks: Tracks) -> list[Iterator[Candidates]]:
        """For each space the candidates of each face of these tracks, all of this embedder, in their order."""
        probes = np.stack([face.embedding for faces in tracks for face in faces])
        parts = [probes] if len(policy.spaces) == 1 else halves(probes, [one.dim for one in policy.spaces])
        counts = [len(faces) for faces in tracks]
        return [self._candidates(one.space, part, counts) for one, part in zip(policy.spaces, parts, strict=True)]

    def _candidates(self, space: str, probes: F32, faces: Sequence[int]) -> Iterator[Candidates]:
        """Of probes (n,d), so many of each track, with what speaks against them."""
        index, negatives = self.indexes[space], self.negatives[space]
        found = index.search_people(probes, self.rules.top_k, space=space, faces=faces, doubted=negatives.people)
        return iter(negatives.against(found, probes, faces))

    def _verdict(
        self, policy: MatchPolicy, faces: Sequence[KeptFace], votes: Sequence[Sequence[Candidates]]
    ) -> Verdict:
        """What the spaces say together; similarity, margin, threshold and confidence are those of the weakest."""
        weights = [face.quality for face in faces]
        owns = [self.own_thresholds.get(one.space, {}) for one in policy.spaces]
        matches = [
            decide(candidates, one.threshold, self.rules.margin, weights, own)
            for one, candidates, own in zip(policy.spaces, votes, owns, strict=True)
        ]
        thresholds = [
            own.get(match.best_person or "", one.threshold)
            for one, match, own in zip(policy.spaces, matches, owns, strict=True)
        ]
        match, number = agree(matches, thresholds)
        weakest = policy.spaces[number]
        sure = confidence(matches[number], weakest.rates, len(self.indexes[weakest.space]))
        if match.outcome == "ambiguous":
            sure = None  # each may be sure of its own, but they are sure of two people
        return Verdict(match, thresholds[number], sure, policy.models, faces, weakest.space, self.ignored)
