"""How options are ordered under a requirement, and told why they lost. Pure; the selector's own.

An option is a place that fits into memory. Those that do what is asked come first, then those that are too slow,
the fastest first, then those that nobody measured, in the order in which they were named.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from recognition.reason import Reason
from recognition.selection.candidates import Cost, Measurement, Placement, Requirement

# `balanced` gives up this much of the best accuracy for speed.
BALANCED_ACCURACY_LOSS = 0.01

# Codes of options that fit, but do not do what is asked.
TOO_SLOW = "too_slow"
QUEUE_TOO_LONG = "queue_too_long"
LATENCY_GOAL_MISSED = "latency_goal_missed"
LATE = frozenset((TOO_SLOW, QUEUE_TOO_LONG, LATENCY_GOAL_MISSED))
BY_LOAD = frozenset((TOO_SLOW, QUEUE_TOO_LONG))  # would do, were less asked of it
FIGURES_MISSING = "figures_missing"


@dataclass(frozen=True, slots=True)
class Refusal(Reason):
    """Why not this model, or (`device` given) why not on this device: a sentence with the numbers."""

    model: str
    device: str | None


@dataclass(frozen=True, slots=True)
class Option:
    """A place that fits into memory.

    `more_mib`: what it would take of `room_mib`, beyond what it holds; None where nobody measured it.
    `unload_first`: models that are idle or can serve no more, and have to go before it fits.
    `trouble`: why it would not do all that is asked (one of LATE, or figures_missing).
    """

    place: Placement
    cost: Cost
    accuracy: Measurement | None
    faces_per_s: float | None
    more_mib: float | None
    room_mib: float
    unload_first: tuple[str, ...] = ()
    trouble: Reason | None = None

    @property
    def memory_mib(self) -> float | None:
        return self.cost.memory_mib.value if self.cost.memory_mib else None


def tier_of(option: Option) -> int:
    """0: does what is asked; 1: too slow for it; 2: nobody knows."""
    if option.trouble is None:
        return 0
    return 1 if option.trouble.code in LATE else 2


@dataclass(frozen=True, slots=True)
class _Merit:
    """One thing that options are compared by, less is better; `code` and `said` are for those that lose by it."""

    code: str
    value: float
    said: str


def _merits(option: Option, requirement: Requirement, best_accuracy: float) -> tuple[_Merit, ...]:
    """What counts, the most important first; nothing where figures are missing: there is nothing to compare."""
    if tier_of(option) == 2:
        return ()
    exact = option.accuracy.value if option.accuracy else -inf
    loss = max(0.0, best_accuracy - exact)
    accuracy = _Merit("less_accurate", -exact, f"accuracy {option.accuracy.said(digits=4)}" if option.accuracy else "")
    near = _Merit("less_accurate", loss if loss > BALANCED_ACCURACY_LOSS + 1e-9 else 0.0, accuracy.said)
    speed = _Merit("slower", -(option.faces_per_s or 0.0), speed_of(option))
    needed = option.cost.memory_mib
    memory = _Merit("needs_more_memory", needed.value if needed else inf, needed.said("MiB") if needed else "")
    if option.trouble is not None:
        misses_goal = option.trouble.code == LATENCY_GOAL_MISSED
        run_ms = option.cost.run_ms.value if option.cost.run_ms else inf
        return (_Merit("", misses_goal, ""), _Merit("", run_ms if misses_goal else speed.value, ""), memory)
    orders = {
        "accuracy": (accuracy, speed, memory),
        "balanced": (near, speed, memory),
        "speed": (speed, accuracy, memory),
        "minimal_memory": (memory, accuracy, speed),
    }
    return orders[requirement]


def _values(merits: Sequence[_Merit]) -> list[float]:
    return [merit.value for merit in merits]


def _best_accuracy(options: Sequence[Option]) -> float:
    """Of those that do what is asked."""
    return max((o.accuracy.value for o in options if o.accuracy and o.trouble is None), default=0.0)


def ranked(options: Sequence[Option], requirement: Requirement) -> list[Option]:
    """Best first. The buckets of one model on one device stay together, and the best of them ranks them."""
    best = _best_accuracy(options)

    def merit_of_bucket(option: Option) -> list[float]:
        if option.trouble is None and requirement != "minimal_memory":
            rate = option.faces_per_s or 0.0
            return [-rate if requirement == "speed" else 0.0, -option.place.bucket]
        # Without figures the smallest batch is the least risk.
        last = option.place.bucket * (1 if tier_of(option) == 2 else -1)
        return [*_values(_merits(option, requirement, best)), last]

    groups: dict[tuple[int, str, str], list[Option]] = {}
    for option in sorted(options, key=merit_of_bucket):
        groups.setdefault((tier_of(option), *option.place.key), []).append(option)
    order = {option.place.key: number for number, option in reversed(list(enumerate(options)))}

    def merit_of_group(group: list[Option]) -> tuple[int, list[float], int]:
        first = group[0]
        return tier_of(first), _values(_merits(first, requirement, best)), order[first.place.key]

    return [option for group in sorted(groups.values(), key=merit_of_group) for option in group]


def explain(options: Sequence[Option], requirement: Requirement) -> Reason:
    """Why the first of them is the choice."""
    best = options[0]
    if best.trouble is not None and best.trouble.code == FIGURES_MISSING:
        why = f"{best.place}: the first in order, as nothing fits that was measured; {best.trouble.why}"
        return Reason(FIGURES_MISSING, why)
    need = best.cost.memory_mib.said("MiB") if best.cost.memory_mib else "memory not measured"
    numbers = f"{need}, {speed_of(best)}"
    if best.trouble is not None:
        return Reason("nothing_keeps_up", f"{best.place}: the fastest that fits ({numbers}), yet {best.trouble.why}")
    merits = {
        "accuracy": "the most accurate that fits and keeps up",
        "balanced": f"the fastest within {BALANCED_ACCURACY_LOSS:g} of the best accuracy",
        "speed": "the fastest that fits",
        "minimal_memory": "the least memory that keeps up",
    }
    accuracy = f"accuracy {best.accuracy.said(digits=4)}, " if best.accuracy else ""
    return Reason("chosen", f"{best.place}: {merits[requirement]} ({accuracy}{numbers})")


def lost_to(options: Sequence[Option], requirement: Requirement) -> list[Refusal]:
    """Why not, for each (model, device) that fits and was not chosen."""
    winner, best_accuracy = options[0], _best_accuracy(options)
    reasons: dict[tuple[str, str], Refusal] = {}
    for option in options[1:]:
        key = option.place.key
        if key == winner.place.key or key in reasons:
            continue
        if option.trouble is not None:
            reasons[key] = Refusal(option.trouble.code, option.trouble.why, *key)
            continue
        pairs = zip(
            _merits(option, requirement, best_accuracy), _merits(winner, requirement, best_accuracy), strict=True
        )
        lost_by = next(((own, other) for own, other in pairs if own.value != other.value), None)
        if lost_by is None:
            why = f"its figures are those of {winner.place}, which is named first"
            reasons[key] = Refusal("later_in_order", why, *key)
        else:
            own, other = lost_by
            reasons[key] = Refusal(own.code, f"{own.said or 'not measured'}; {winner.place} has {other.said}", *key)
    return list(reasons.values())


def speed_of(option: Option) -> str:
    """Its faces a second, in words."""
    if option.faces_per_s is None or option.cost.run_ms is None:
        return "speed not measured"
    return f"{option.faces_per_s:.1f} faces/s ({'measured here' if option.cost.run_ms.measured else 'spec'})"
