"""SpacePolicy: how cosines of one embedding space are judged, and what is to be said of the space's calibration.

A person's own threshold comes first (decide() has it), then gallery.threshold where the user set it, then the
calibration of the space, then the spec's. Pure; any thread.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from gallery.matching.calibration import OUTGROWN, Calibration, Conditions
from gallery.matching.decide import Match, Rate, confidence

State = Literal["used", "outgrown", "stale", "set_aside", "overridden", "none"]
STATES: tuple[State, ...] = ("used", "outgrown", "stale", "set_aside", "overridden", "none")
_AGAIN = "run whosthere calibrate again"


@dataclass(frozen=True, slots=True)
class SpacePolicy:
    """`threshold`: the cosine from which on somebody is named who has no threshold of their own: what the user set
    (`is_configured`), the calibration's or the spec's. `rates` are the spec's, empty where nobody measured them.
    `signature`: the models' whose embeddings they are. `calibration`: the one that is gone by.
    """

    space: str
    dim: int
    threshold: float
    rates: tuple[Rate, ...]
    is_configured: bool = False
    signature: str = ""
    calibration: Calibration | None = None

    def under(self, calibration: Calibration | None, now: Conditions) -> "SpacePolicy":
        """With this calibration of the space, where it is one of scores that are made as they are now."""
        if calibration is None or calibration.conditions.aggregation != now.aggregation:
            return self
        threshold = self.threshold if self.is_configured else calibration.threshold
        return replace(self, threshold=threshold, calibration=calibration)

    def confidence(self, match: Match, templates: int) -> float | None:
        """How likely the decision is right: by the calibration, else as the spec's rates have it; see there."""
        if self.calibration is None or not self.calibration.trust:
            return confidence(match, self.rates, templates)
        if match.outcome == "ambiguous":
            return None
        if match.best_person is None:
            return 1.0
        return self.calibration.confidence(match.similarity, known=match.outcome == "known")


@dataclass(frozen=True, slots=True)
class Standing:
    """Of a space: the state of its calibration, a line about it, the threshold in use, and the share of strangers who
    would be named by that now; None where nobody can tell. `expected_fnir`: the share of people's own faces that are
    missed by that, as of when it was computed; None where it was not.
    """

    state: State
    told: str
    threshold: float
    expected_fpir: float | None
    expected_fnir: float | None = None


def standing(
    policy: SpacePolicy,
    calibration: Calibration | None,
    now: Conditions,
    templates: Mapping[str, int],
    own: Mapping[str, float],
) -> Standing:
    """Of a policy without a calibration yet. `templates`: how many each person has in the space; own: thresholds of
    people's own there.
    """
    space = policy.space
    if calibration is None:
        whose = "gallery.threshold" if policy.is_configured else "the spec's, for no rate of this gallery's"
        told = f"{space}: threshold {policy.threshold:.3f} ({whose}); not calibrated"
        return Standing("none", told, policy.threshold, None)
    asked = f"calibrated for FPIR {calibration.fpir:g} with {calibration.people} people"
    if calibration.conditions.aggregation != now.aggregation:
        return Standing(
            "set_aside",
            f"{space}: threshold {policy.threshold:.3f}; it was {asked}, under gallery.aggregation "
            f"{calibration.conditions.aggregation}, not {now.aggregation}, and that is not used: {_AGAIN}",
            policy.threshold,
            None,
        )
    used = policy.under(calibration, now).threshold
    expected = calibration.fpir_of(templates, own, used, now.margin)
    missed = calibration.expected_fnir if used == calibration.threshold else None
    if policy.is_configured:
        return Standing(
            "overridden",
            f"{space}: threshold {used:.3f} of gallery.threshold, which lets about {expected:.2g} of strangers be "
            f"named; it was {asked} ({calibration.threshold:.3f}), and that is not used: take gallery.threshold out",
            used,
            expected,
            missed,
        )
    if expected > OUTGROWN * calibration.fpir:
        return Standing(
            "outgrown",
            f"{space}: the gallery has outgrown its threshold {used:.3f}: it was {asked}, and with {len(templates)} "
            f"about {expected:.2g} of strangers would be named; {_AGAIN}",
            used,
            expected,
            missed,
        )
    if changed := _changed(calibration, now):
        told = f"{space}: threshold {used:.3f}, {asked}, but under {'; '.join(changed)}: {_AGAIN}"
        return Standing("stale", told, used, expected, missed)
    told = f"{space}: threshold {used:.3f}, {asked}, about {expected:.2g} now"
    return Standing("used", told, used, expected, missed)


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
