"""Which threshold a space is judged by, and what is to be said of its calibration.

A person's own threshold comes first (decide() has it), then gallery.threshold where the user set it, then the
calibration of the space, then the spec's. Pure but for Calibrated, which tells log and metrics; any thread.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from gallery.matching.calibration import OUTGROWN, Calibration, Conditions
from gallery.matching.decide import Match, confidence
from streamer.pipeline.match_policy import SpacePolicy
from streamer.settings import Settings
from streamer.telemetry.metrics import Metrics
from streamer.telemetry.once_log import OnceLog

log = logging.getLogger(__name__)

State = Literal["used", "outgrown", "stale", "set_aside", "overridden", "none"]
STATES: tuple[State, ...] = ("used", "outgrown", "stale", "set_aside", "overridden", "none")
_AGAIN = "run whosthere calibrate again"


@dataclass(frozen=True, slots=True)
class Standing:
    """Of a space: the state of its calibration, a line about it, and the share of strangers who would be named now at
    the threshold in use; None where nobody can tell.
    """

    state: State
    told: str
    expected_fpir: float | None


def conditions_now(settings: Settings, signature: str) -> Conditions:
    """What a calibration that is made now is made under, with models of this signature."""
    return Conditions(
        signature, settings.gallery.aggregation, settings.gallery.margin, settings.recognition.min_quality
    )


def threshold_of(policy: SpacePolicy, calibration: Calibration | None, now: Conditions) -> float:
    """The cosine from which on somebody without a threshold of their own is named in this space."""
    if calibration is None or policy.is_configured or calibration.conditions.aggregation != now.aggregation:
        return policy.threshold
    return calibration.threshold


def standing(
    policy: SpacePolicy,
    calibration: Calibration | None,
    now: Conditions,
    templates: Mapping[str, int],
    own: Mapping[str, float],
) -> Standing:
    """`templates`: how many each person has in the space; own: thresholds of people's own there."""
    space = policy.space
    if calibration is None:
        whose = "gallery.threshold" if policy.is_configured else "the spec's, for no rate of this gallery's"
        return Standing("none", f"{space}: threshold {policy.threshold:.3f} ({whose}); not calibrated", None)
    asked = f"calibrated for FPIR {calibration.fpir:g} with {calibration.people} people"
    if calibration.conditions.aggregation != now.aggregation:
        return Standing(
            "set_aside",
            f"{space}: threshold {policy.threshold:.3f}; it was {asked}, under gallery.aggregation "
            f"{calibration.conditions.aggregation}, not {now.aggregation}, and that is not used: {_AGAIN}",
            None,
        )
    used = threshold_of(policy, calibration, now)
    expected = calibration.fpir_of(templates, own, used)
    if policy.is_configured:
        return Standing(
            "overridden",
            f"{space}: threshold {used:.3f} of gallery.threshold, which lets about {expected:.2g} of strangers be "
            f"named; it was {asked} ({calibration.threshold:.3f}), and that is not used: take gallery.threshold out",
            expected,
        )
    if expected > OUTGROWN * calibration.fpir:
        return Standing(
            "outgrown",
            f"{space}: the gallery has outgrown its threshold {used:.3f}: it was {asked}, and with {len(templates)} "
            f"about {expected:.2g} of strangers would be named; {_AGAIN}",
            expected,
        )
    if changed := _changed(calibration, now):
        return Standing(
            "stale", f"{space}: threshold {used:.3f}, {asked}, but under {'; '.join(changed)}: {_AGAIN}", expected
        )
    return Standing("used", f"{space}: threshold {used:.3f}, {asked}, about {expected:.2g} now", expected)


def _changed(calibration: Calibration, now: Conditions) -> list[str]:
    """What it was made under that is otherwise now."""
    then = calibration.conditions
    changed = []
    if then.signature != now.signature:
        changed.append(f"other models ({then.signature}, now {now.signature})")
    if then.margin != now.margin:
        changed.append(f"gallery.margin {then.margin:g} (now {now.margin:g})")
    if then.min_quality != now.min_quality:
        changed.append(f"recognition.min_quality {then.min_quality:g} (now {now.min_quality:g})")
    if calibration.is_of_other_measurements:
        changed.append("measured impostor scores of another version")
    return changed


class Calibrated:
    """The calibrations that the running service goes by: of now, and what was said of them."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._once = OnceLog(log)
        self._by_space: Mapping[str, Calibration] = {}

    def take(self, calibrations: Mapping[str, Calibration]) -> None:
        """By space; from now on."""
        self._by_space = calibrations

    def threshold(self, policy: SpacePolicy) -> float:
        return threshold_of(policy, self._by_space.get(policy.space), self._now(policy))

    def confidence(self, policy: SpacePolicy, match: Match, templates: int) -> float | None:
        """How likely the decision is right: by the space's calibration, else as the spec's rates have it."""
        found = self._by_space.get(policy.space)
        if found is None or not found.trust or found.conditions.aggregation != self._now(policy).aggregation:
            return confidence(match, policy.rates, templates)
        if match.outcome == "ambiguous":
            return None
        if match.best_person is None:
            return 1.0
        return found.confidence(match.similarity, known=match.outcome == "known")

    def tell(
        self, policies: Iterable[tuple[SpacePolicy, Mapping[str, int]]], own: Mapping[str, Mapping[str, float]]
    ) -> None:
        """Log, once for each change, what speaks against a calibration, and set the metrics. `own`: by space."""
        for policy, templates in policies:
            space = policy.space
            found = standing(policy, self._by_space.get(space), self._now(policy), templates, own.get(space, {}))
            for state in STATES:
                self._metrics.gallery_calibration.labels(space=space, state=state).set(state == found.state)
            if found.expected_fpir is not None:
                self._metrics.gallery_expected_fpir.labels(space=space).set(found.expected_fpir)
            else:
                self._metrics.gallery_expected_fpir.remove_by_labels({"space": space})
            if found.state in ("used", "none"):
                self._once.over(f"calibration {space}")
            else:
                level = logging.INFO if found.state == "overridden" else logging.WARNING
                code = f"calibration_{found.state}"
                self._once.say(f"calibration {space}", found.state, level, "%s", found.told, code=code)

    def _now(self, policy: SpacePolicy) -> Conditions:
        return conditions_now(self._settings, policy.signature)
