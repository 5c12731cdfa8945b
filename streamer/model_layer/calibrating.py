"""Calibration as the configuration wants it: the gallery's spaces, each by the models, the rules and the people of now.

Blocks: seconds for thousands of people. No model is loaded: the gallery's templates are enough.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gallery.errors import CalibrationTooFew, GallerySealBroken
from gallery.matching.calibration import Calibration, Curves, calibrate, check_fpir, check_possible
from gallery.matching.calibration_text import from_texts, to_text
from gallery.matching.cross_scores import CrossScores, cross_scores
from gallery.matching.negatives import Negatives
from gallery.matching.space_policy import SpacePolicy, Standing, standing
from gallery.people import Profile, own_thresholds
from gallery.storage.store import PersonStore
from recognition.errors import CodedError
from recognition.models.manager import ModelManager
from recognition.specs.spec import DetectorSpec, EmbedderSpec, signature_of
from streamer.model_layer.coverage import embedders_behind
from streamer.model_layer.setup import ladder_of
from streamer.pipeline.match_policy import conditions_now, space_policy
from streamer.settings import Settings

Progress = Callable[[str], Callable[[int, int], None]]


@dataclass(frozen=True, slots=True, eq=False)
class SpaceReport:
    """`policy`: how the space is judged once this calibration is kept."""

    embedder: str
    policy: SpacePolicy
    calibration: Calibration
    curves: Curves
    scores: CrossScores


@dataclass(frozen=True, slots=True, eq=False)
class GalleryReport:
    """`failed`: by space, of embedders that do not serve, or of which nobody has templates, why there is none."""

    spaces: tuple[SpaceReport, ...]
    failed: Mapping[str, CodedError]


def policies_of(settings: Settings, manager: ModelManager) -> dict[str, tuple[str, SpacePolicy]]:
    """By space, of every embedder that may serve, the preferred first: its name, and the policy without a calibration.

    Raises ModelNotFound.
    """
    detector = manager.spec_of(settings.recognition.detector, DetectorSpec)
    found: dict[str, tuple[str, SpacePolicy]] = {}
    for name in ladder_of(settings, manager):
        spec = manager.spec_of(name, EmbedderSpec)
        for member in embedders_behind(manager, name):
            policy = space_policy(settings, spec, member, signature_of(detector, member))
            found.setdefault(member.space, (member.name, policy))
    return found


def in_use(settings: Settings, store: PersonStore, policy: SpacePolicy) -> SpacePolicy:
    """Under the calibration that the gallery has."""
    found = from_texts(store.calibrations()).get(policy.space)
    return policy.under(found, conditions_now(settings, policy.signature))


def calibrate_gallery(
    settings: Settings, manager: ModelManager, store: PersonStore, fpir: float, progress: Progress
) -> GalleryReport:
    """Nothing is written. Raises what gallery.matching.calibration.calibrate raises, of the configured embedder."""
    check_fpir(fpir)
    profiles, reports, failed = store.profiles(), list[SpaceReport](), dict[str, CodedError]()
    policies = policies_of(settings, manager)
    serving = {one.space for one in embedders_behind(manager, settings.recognition.embedder)}
    for space, (embedder, policy) in policies.items():
        try:
            reports.append(_calibrated(settings, store, embedder, policy, profiles, fpir, progress(embedder)))
        except CodedError as error:
            if space in serving:
                raise
            failed[space] = error
    return GalleryReport(tuple(reports), failed)


def _calibrated(
    settings: Settings,
    store: PersonStore,
    embedder: str,
    policy: SpacePolicy,
    profiles: Mapping[str, Profile],
    fpir: float,
    progress: Callable[[int, int], None],
) -> SpaceReport:
    check_possible(policy.space, store.templates_by_person(policy.space), fpir)
    scores = scores_of(settings, store, policy.space, progress)
    now = conditions_now(settings, policy.signature)
    thresholds = own_thresholds(profiles).get(policy.space, {})
    own = {who: cosine for who, cosine in thresholds.items() if who in scores.people}
    found, curves = calibrate(policy.space, scores, now, fpir, time.time(), own)
    return SpaceReport(embedder, policy.under(found, now), found, curves, scores)


def scores_of(settings: Settings, store: PersonStore, space: str, progress: Callable[[int, int], None]) -> CrossScores:
    """How alike the gallery's people are in this space. Raises CalibrationTooFew where it has nobody."""
    templates = store.templates(space)
    if not len(templates):
        raise CalibrationTooFew(
            f"nobody has templates in {space}; enrol people, or make them of kept photos: whosthere gallery reindex"
        )
    return cross_scores(templates, settings.gallery.aggregation, Negatives(store.negatives(space)), progress)


def keep(store: PersonStore, report: GalleryReport) -> None:
    """In the place of what the gallery had for these spaces; a running service takes them within a second."""
    told = {one.policy.space: one.calibration for one in report.spaces}
    figures = {space: {"fpir": one.fpir, "threshold": one.threshold} for space, one in told.items()}
    store.keep_calibrations({space: to_text(one) for space, one in told.items()}, figures)


def standings(settings: Settings, manager: ModelManager, store: PersonStore) -> dict[str, Standing]:
    """By space, how the kept calibrations stand. Raises GallerySealBroken where one was changed without the key."""
    texts = store.calibrations()
    if changed := sorted(space for space, text in texts.items() if text is None):
        raise GallerySealBroken(
            f"gallery {store.path}: the calibration of {', '.join(changed)} was changed by somebody without "
            "its key and is not used; run whosthere calibrate again"
        )
    calibrations, profiles = from_texts(texts), store.profiles()
    return {
        space: standing(
            policy,
            calibrations.get(space),
            conditions_now(settings, policy.signature),
            store.templates_by_person(space),
            own_thresholds(profiles).get(space, {}),
        )
        for space, (_, policy) in policies_of(settings, manager).items()
    }
