"""How an embedder's faces are judged: the spaces that they are matched in, with the threshold and rates of each.

Settings and specs go in, a MatchPolicy comes out. Pure; any thread.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Self

from gallery.matching.calibration import Calibration, Conditions
from gallery.matching.decide import Rate
from gallery.matching.space_policy import SpacePolicy
from recognition.architectures import ALIASES
from recognition.models.manager import ModelManager
from recognition.recogniser import Recogniser
from recognition.specs.spec import EmbedderSpec, MatchThresholds
from streamer.events.event import Models
from streamer.settings import Settings


@dataclass(frozen=True, slots=True)
class MatchPolicy:
    """An embedder as LiveGallery needs it: what events say of it, and the spaces in which its faces are matched.

    One space, or, of an ensemble whose members have to agree, each member's: a person counts who is named in all.
    """

    models: Models
    spaces: tuple[SpacePolicy, ...]

    @classmethod
    def of(cls, settings: Settings, spec: EmbedderSpec, recogniser: Recogniser) -> Self:
        """The embedder of this spec behind the recogniser's detector. Raises ModelNotFound (a member)."""
        models = Models(
            detector=recogniser.detector.spec.name, embedder=spec.name, signature=recogniser.signature_with(spec)
        )
        members = _matched_by(spec, recogniser.manager)
        return cls(models, tuple(space_policy(settings, spec, one, recogniser.signature_with(one)) for one in members))

    def under(self, calibrations: Mapping[str, Calibration], now: Callable[[str], Conditions]) -> Self:
        """With the gallery's calibrations, by space. `now`: the conditions of today for models of a signature."""
        spaces = (one.under(calibrations.get(one.space), now(one.signature)) for one in self.spaces)
        return replace(self, spaces=tuple(spaces))


def space_policy(settings: Settings, spec: EmbedderSpec, member: EmbedderSpec, signature: str) -> SpacePolicy:
    """Of one of the spaces that an embedder is matched in, without a calibration. `signature`: that of its models."""
    return SpacePolicy(
        member.space,
        member.embedding_size,
        naming_threshold(settings, spec, member),
        _rates(member.thresholds),
        settings.gallery.threshold is not None and _is_configured(settings, spec, member),
        signature,
    )


def conditions_now(settings: Settings, signature: str) -> Conditions:
    """What a calibration that is made now is made under, with models of this signature."""
    return Conditions(
        signature, settings.gallery.aggregation, settings.gallery.margin, settings.recognition.min_quality
    )


def naming_threshold(settings: Settings, spec: EmbedderSpec, member: EmbedderSpec | None = None) -> float:
    """The cosine from which on two faces count as one person's: the spec's for 1:N, or the configured one.

    That one is meant for the configured embedder: cosines of another are on another scale. `member`: whose cosines
    are meant where the spec is of an ensemble whose members have to agree. What is configured for such an ensemble is
    that of each member.
    """
    judged = member or spec
    if settings.gallery.threshold is not None and _is_configured(settings, spec, judged):
        return settings.gallery.threshold
    return judged.identification_threshold


def own_threshold_spec(settings: Settings, manager: ModelManager) -> EmbedderSpec:
    """In whose space a person's own threshold is meant: the configured embedder's, or its first member's, where
    members have to agree. Raises ModelNotFound.
    """
    configured = ALIASES.get(settings.recognition.embedder, settings.recognition.embedder)
    return _matched_by(manager.spec_of(configured, EmbedderSpec), manager)[0]


def _matched_by(spec: EmbedderSpec, manager: ModelManager) -> list[EmbedderSpec]:
    if spec.matched_by == (spec.name,):
        return [spec]
    return [manager.spec_of(name, EmbedderSpec) for name in spec.matched_by]


def _is_configured(settings: Settings, spec: EmbedderSpec, member: EmbedderSpec) -> bool:
    configured = ALIASES.get(settings.recognition.embedder, settings.recognition.embedder)
    return configured in (spec.name, member.name)


def enrolling_threshold(settings: Settings, recogniser: Recogniser) -> float:
    """naming_threshold() in the space in which enrolment compares photos: the recogniser's first."""
    return naming_threshold(settings, recogniser.embedder.spec, recogniser.template_specs[0])


def verifying_threshold(settings: Settings, recogniser: Recogniser) -> float:
    """The cosine from which on photos that are given as one person's are taken as that: the spec's for 1:1.

    Never above enrolling_threshold(), which the configuration may have lowered.
    """
    thresholds = recogniser.template_specs[0].thresholds
    return min(thresholds.cosine_at(thresholds.verification), enrolling_threshold(settings, recogniser))


def _rates(thresholds: MatchThresholds) -> tuple[Rate, ...]:
    """The table's rows; none where one of them was not measured: confidence would be made of it."""
    rates = tuple(Rate(row.fmr, row.cosine, row.tmr) for row in thresholds.table if row.tmr is not None)
    return rates if thresholds.measured and len(rates) == len(thresholds.table) else ()
