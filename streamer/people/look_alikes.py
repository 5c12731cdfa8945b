"""Which people of the gallery are most alike, as JSON. Blocks, for seconds where there are thousands."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gallery.matching.cross_scores import LookAlike
from gallery.matching.space_policy import SpacePolicy
from gallery.people import Profile
from gallery.storage.store import PersonStore
from recognition.models.manager import ModelManager
from streamer.model_layer.calibrating import in_use, policies_of, scores_of
from streamer.settings import Settings

SHOWN = 10
Row = dict[str, Any]


def alike_document(
    settings: Settings, manager: ModelManager, store: PersonStore, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    """In the configured embedder's space, and from which similarity on it names. Raises ModelNotFound, and what
    scores_of() does.
    """
    _, policy = next(iter(policies_of(settings, manager).values()))
    policy = in_use(settings, store, policy)
    scores = scores_of(settings, store, policy.space, progress)
    rows = alike_rows(scores.look_alikes, store.profiles(), policy)
    return {"space": policy.space, "threshold": policy.threshold, "look_alikes": rows}


def alike_rows(found: Sequence[LookAlike], profiles: Mapping[str, Profile], policy: SpacePolicy) -> list[Row]:
    """`limits`: the similarity reaches the threshold of one of the two, so that the margin alone keeps them apart."""
    return [
        {
            "people": [{"id": who, "name": profiles[who].name} for who in (pair.first, pair.second)],
            "space": policy.space,
            "similarity": round(pair.similarity, 4),
            "limits": pair.similarity >= min(_bar(profiles[who], policy) for who in (pair.first, pair.second)),
        }
        for pair in found
        if pair.first in profiles and pair.second in profiles
    ][:SHOWN]


def _bar(profile: Profile, policy: SpacePolicy) -> float:
    own = profile.threshold
    return own.cosine if own is not None and own.space == policy.space else policy.threshold
