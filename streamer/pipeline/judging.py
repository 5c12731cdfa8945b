"""Who tracks are: the best faces of each held against the gallery, in each space that its embedder is matched in.

Kept faces go in, verdicts come out. Pure; on the CPU pool, while the gallery may change: what changes takes another's
place.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from gallery.classifier.classifier import NamedClasses
from gallery.index.faiss_index import FaceIndex
from gallery.matching.decide import NOBODY, Candidates, Match, Rule, agree, decide
from gallery.matching.negatives import Negatives
from gallery.matching.reconsider import NeighbourCheck
from gallery.matching.space_policy import SpacePolicy
from recognition.arrays import F32
from recognition.models.ensemble import halves
from streamer.pipeline.match_policy import MatchPolicy
from streamer.pipeline.tracking import KeptFace
from streamer.pipeline.visits import Verdict
from streamer.settings import GallerySettings, Names

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

    ignored: who is known and never told of. check: what names are held to besides; None: nothing.
    """

    policies: Mapping[str, MatchPolicy]
    indexes: Mapping[str, FaceIndex]
    negatives: Mapping[str, Negatives]
    own_thresholds: Mapping[str, Mapping[str, float]]
    ignored: AbstractSet[str]
    rules: GallerySettings
    check: NeighbourCheck | None = None

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

    def by_classifier(self, verdicts: Sequence[Verdict], names: Names, classes: NamedClasses | None) -> list[Verdict]:
        """The gallery's verdicts as cameras have them whose `names` a classifier gives, alone or beside the gallery.

        Where it can't be asked (there is none, or of another space) it names nobody; beside the gallery it is silent.
        """
        return [self._by_classifier(verdict, names, classes) for verdict in verdicts]

    def _by_classifier(self, verdict: Verdict, names: Names, classes: NamedClasses | None) -> Verdict:
        policy, faces = self.policies[verdict.models.embedder], verdict.faces
        spaces = [one.space for one in policy.spaces]
        if classes is None or classes.classifier.space not in spaces or not faces:
            return verdict if names == "both" else replace(verdict, match=NOBODY, confidence=None)
        place, weights = spaces.index(classes.classifier.space), [face.quality for face in faces]
        one, probes = policy.spaces[place], np.stack([face.embedding for face in faces])
        part = probes if len(spaces) == 1 else halves(probes, [space.dim for space in policy.spaces])[place]
        candidates = classes.candidates(part, weights, self.rules.top_k)
        votes = self.negatives[one.space].against(candidates, part, [len(faces)])
        # Re-ranking looks at the gallery's names; the classifier's are held to its own word.
        said = replace(self, check=None)._verdict(replace(policy, spaces=(one,)), faces, [votes])
        match = classes.confirmed(said.match, part, weights)
        said = replace(said, match=match, confidence=None if match.outcome == "ambiguous" else said.confidence)
        return said if names == "classifier" else _both(verdict, said, classes)

    def _search(self, policy: MatchPolicy, tracks: Tracks) -> list[Iterator[Candidates]]:
        """For each space the candidates of each face of these tracks, all of this embedder, in their order."""
        counts = [len(faces) for faces in tracks]
        parts = zip(policy.spaces, _parts(policy, tracks), strict=True)
        return [self._candidates(one, part, counts) for one, part in parts]

    def _candidates(self, policy: SpacePolicy, probes: F32, faces: Sequence[int]) -> Iterator[Candidates]:
        """Of probes (n,d), so many of each track, with what speaks against them."""
        space = policy.space
        index, negatives = self.indexes[space], self.negatives[space]
        rule = None  # the neighbours of all who are near are looked at
        if self.check is None:
            owns = self.own_thresholds.get(space, {}).values()
            rule = Rule(min([policy.threshold, *owns]), self.rules.margin)
        found = index.search_people(
            probes, self.rules.top_k, space=space, faces=faces, doubted=negatives.people, rule=rule
        )
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
        if self.check is not None and faces:
            matches = self._reconsidered(self.check, policy, faces, votes, matches)
        thresholds = [
            own.get(match.best_person or "", one.threshold)
            for one, match, own in zip(policy.spaces, matches, owns, strict=True)
        ]
        match, number = agree(matches, thresholds)
        weakest = policy.spaces[number]
        sure = weakest.confidence(matches[number], len(self.indexes[weakest.space]))
        if match.outcome == "ambiguous":
            sure = None  # each may be sure of its own, but they are sure of two people
        return Verdict(match, thresholds[number], sure, policy.models, faces, weakest.space, self.ignored)

    def _reconsidered(
        self,
        check: NeighbourCheck,
        policy: MatchPolicy,
        faces: Sequence[KeptFace],
        votes: Sequence[Sequence[Candidates]],
        matches: Sequence[Match],
    ) -> list[Match]:
        """Each space's match as the neighbours of its faces have it."""
        weights = [face.quality for face in faces]

        def look(match: Match, space: str, listed: Sequence[Candidates], probes: F32) -> Match:
            if match.person_id is None:
                return match
            templates = self.indexes[space].templates_of(listed[0].similarities)
            return check.reconsidered(match, listed, probes, weights, templates)

        spaces = [one.space for one in policy.spaces]
        return list(map(look, matches, spaces, votes, _parts(policy, [faces])))


def _parts(policy: MatchPolicy, tracks: Tracks) -> list[F32]:
    """For each space the probes (n,d) that the faces of these tracks are there, in their order."""
    probes = np.stack([face.embedding for faces in tracks for face in faces])
    return [probes] if len(policy.spaces) == 1 else halves(probes, [one.dim for one in policy.spaces])


def _both(verdict: Verdict, said: Verdict, classes: NamedClasses) -> Verdict:
    """The gallery's and the classifier's in one: a name where both give it, or where the gallery gives it of whom the
    classifier was not trained on, and that one says nobody.
    """
    if said.match.outcome == "unknown" and verdict.match.person_id not in classes.people:
        return verdict
    match, weakest = agree([verdict.match, said.match], [verdict.threshold, said.threshold])
    weak = (verdict, said)[weakest]
    return replace(weak, match=match, confidence=None if match.outcome == "ambiguous" else weak.confidence)
