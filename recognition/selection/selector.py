"""The selector: figures of the models of one role, free memory and load in; the place to run at out, and why.

Pure: no clock, no device, no state. Memory is a hard limit, speed a soft one: where nothing keeps up, the fastest
serves. hysteresis.Hysteresis says when the choice is followed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from recognition.reason import Reason
from recognition.selection.candidates import Candidate, DeviceFigures, Load, Placement, Requirement
from recognition.selection.ranking import (
    FIGURES_MISSING,
    LATENCY_GOAL_MISSED,
    QUEUE_TOO_LONG,
    TOO_SLOW,
    Option,
    Refusal,
    explain,
    lost_to,
    ranked,
    speed_of,
)

# A place that would be new must have a quarter more than is asked for; the serving one only has to keep up.
LOAD_LIMIT = 0.8


@dataclass(frozen=True, slots=True)
class Choice(Reason):
    """`best`: where to run, None where nothing can run. `options`: all that fit, best first.

    `code`: chosen, nothing_keeps_up, figures_missing or nothing_fits. `refused` has every other (model, device).
    """

    best: Option | None
    options: tuple[Option, ...]
    refused: tuple[Refusal, ...]

    def why_not(self, model: str, device: str | None = None) -> Refusal | None:
        """The first reason against this model, or against it on this device; None where it was chosen or not named."""
        if self.best is not None and self.best.place.model == model and device in (None, self.best.place.device):
            return None
        found = (r for r in self.refused if r.model == model and (device is None or r.device in (None, device)))
        return next(found, None)


def choose(
    candidates: Sequence[Candidate], free_vram_mib: Mapping[str, float], requirement: Requirement, load: Load
) -> Choice:
    """Choose among the models of one role; their order counts where nothing else tells them apart.

    `free_vram_mib` by device, `cpu` being RAM: what a load could have now (Ledger.room_mib()). What models hold that
    are idle or can serve no more is added here, for others than themselves.

    accuracy: the most accurate of those that keep up. balanced: the fastest of those within BALANCED_ACCURACY_LOSS
    of the best. speed: the most faces a second. minimal_memory: the least memory. The bucket is the largest that
    fits into memory and, where there is a goal, into half of it (a face may have to wait for the batch before its
    own); for speed the fastest of these, for minimal_memory the smallest that keeps up.
    """
    if len({candidate.model for candidate in candidates}) != len(candidates):
        raise ValueError(f"choose: models named twice: {[candidate.model for candidate in candidates]}")
    reclaimable = _reclaimable(candidates)
    options: list[Option] = []
    refused: list[Refusal] = []
    for candidate in candidates:
        if candidate.unavailable is not None:
            refused.append(Refusal(candidate.unavailable.code, candidate.unavailable.why, candidate.model, None))
        elif not candidate.devices:
            refused.append(Refusal("no_device", "its device policy allows none of those here", candidate.model, None))
        else:
            for device, figures in candidate.devices.items():
                found = _fitting(candidate, device, figures, free_vram_mib, reclaimable, load.serving)
                options += found if isinstance(found, list) else []
                refused += [found] if isinstance(found, Refusal) else []
    slowest = _serving_rate(options, load)
    options = [replace(option, trouble=_trouble(option, requirement, load, slowest)) for option in options]
    ordered = ranked(options, requirement)
    if not ordered:
        why = "; ".join(f"{refusal.model}: {refusal.why}" for refusal in refused) or "no model is named"
        return Choice("nothing_fits", why, None, (), tuple(refused))
    chosen = explain(ordered, requirement)
    return Choice(chosen.code, chosen.why, ordered[0], tuple(ordered), (*lost_to(ordered, requirement), *refused))


def _reclaimable(candidates: Sequence[Candidate]) -> dict[str, dict[str, float]]:
    """By device: the models that are idle or can't serve there any more, and the MiB that they hold."""
    found: dict[str, dict[str, float]] = {}
    for candidate in candidates:
        for device, figures in candidate.devices.items():
            if figures.held_mib and (figures.idle or candidate.unavailable or not figures.open_buckets):
                found.setdefault(device, {})[candidate.model] = figures.held_mib
    return found


def _fitting(
    candidate: Candidate,
    device: str,
    figures: DeviceFigures,
    free: Mapping[str, float],
    reclaimable: Mapping[str, Mapping[str, float]],
    serving: Placement | None,
) -> list[Option] | Refusal:
    """The buckets that fit on this device, or why none does."""
    model = candidate.model
    if device not in free:
        there = ", ".join(sorted(free)) or "none"
        return Refusal("device_missing", f"there is no {device}; the devices are {there}", model, device)
    buckets = figures.open_buckets
    if not buckets:
        assert figures.bar is not None  # else its buckets were open
        return Refusal(figures.bar.code, figures.bar.why, model, device)
    options = []
    reclaimed = {name: mib for name, mib in reclaimable.get(device, {}).items() if name != model}
    room = free[device] + sum(reclaimed.values())
    for bucket in buckets:
        place, cost = Placement(model, device, bucket), figures.costs[bucket]
        rate = figures.runners * bucket / cost.run_ms.value * 1000 if cost.run_ms and cost.run_ms.value else None
        option = Option(place, cost, candidate.accuracy, rate, None, free[device])
        if cost.memory_mib is not None:
            # What serves is in memory already, whatever the figures say.
            more = 0.0 if place == serving else max(0.0, cost.memory_mib.value - figures.held_mib)
            option = replace(option, more_mib=more)
            if more > option.room_mib:
                option = replace(option, room_mib=room, unload_first=tuple(reclaimed))
            if more > option.room_mib:
                continue
        options.append(option)
    return options or _too_large(model, device, figures, room)


def _too_large(model: str, device: str, figures: DeviceFigures, room_mib: float) -> Refusal:
    needs = [figure for figure in (figures.costs[bucket].memory_mib for bucket in figures.open_buckets) if figure]
    least = min(needs, key=lambda figure: figure.value)
    held = f" and {figures.held_mib:.0f} MiB are its own" if figures.held_mib else ""
    why = f"needs {least.said('MiB')} on {device} at least; {room_mib:.0f} MiB are free{held}"
    return Refusal("not_enough_memory", why, model, device)


def _serving_rate(options: Sequence[Option], load: Load) -> float | None:
    """Faces a second of the serving place where its queue breaks the latency goal, else None; 0: nobody knows."""
    if load.serving is None or load.latency_goal_ms is None:
        return None
    serving = next((option for option in options if option.place == load.serving), None)
    run_ms = serving.cost.run_ms.value if serving and serving.cost.run_ms else 0.0
    if load.queue_delay_ms + run_ms <= load.latency_goal_ms:
        return None
    return (serving.faces_per_s if serving else None) or 0.0


def _trouble(option: Option, requirement: Requirement, load: Load, slowest: float | None) -> Reason | None:
    device = option.place.device
    missing = [
        name for name, figure in (("memory", option.cost.memory_mib), ("speed", option.faces_per_s)) if figure is None
    ]
    if requirement in ("accuracy", "balanced") and option.accuracy is None:
        missing.append("accuracy")
    serves = load.serving is not None and option.place.key == load.serving.key
    rate = option.faces_per_s
    if slowest is not None and (option.place == load.serving or (rate is not None and rate <= slowest)):
        why = (
            f"{load.serving} keeps faces waiting for {load.queue_delay_ms:.0f} ms, "
            f"the goal is {load.latency_goal_ms:.0f} ms in all"
        )
        why += "" if option.place == load.serving else f"; {speed_of(option)} is no faster than its {slowest:.1f}"
        return Reason(QUEUE_TOO_LONG, why)
    if missing or rate is None or option.cost.run_ms is None:
        why = f"nobody measured its {' and '.join(missing)} in batches of {option.place.bucket} on {device}"
        return Reason(FIGURES_MISSING, why)
    run_ms = option.cost.run_ms
    if load.latency_goal_ms is not None and 2 * run_ms.value > load.latency_goal_ms:
        why = (
            f"a batch of {option.place.bucket} on {device} takes {run_ms.said('ms', 1)}; "
            f"two of them exceed the goal of {load.latency_goal_ms:.0f} ms"
        )
        return Reason(LATENCY_GOAL_MISSED, why)
    if rate * (1.0 if serves else LOAD_LIMIT) < load.faces_per_s:
        limit = "" if serves else f", of which {LOAD_LIMIT:.0%} count"
        why = f"does {speed_of(option)} on {device}{limit}; {load.faces_per_s:.1f} are asked for"
        return Reason(TOO_SLOW, why)
    return None
