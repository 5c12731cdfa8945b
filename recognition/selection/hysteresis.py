"""Hysteresis: the selector's choices of the moment in, whether to switch now out. It keeps the choice from flapping.

No clock and no thread: time comes as an argument and only grows, all calls come from one thread (the event loop).
The caller does the switch and then says so with switched(); until then nothing has changed.
"""

from dataclasses import dataclass

from recognition.reason import Reason
from recognition.selection.candidates import BatchCap, Placement
from recognition.selection.cooldowns import Cooldown, Cooldowns
from recognition.selection.ranking import BY_LOAD, LATE, Option
from recognition.selection.selector import Choice

OUT_OF_MEMORY = "out_of_memory"
SHEDDING_FIRST = "shedding_first"


@dataclass(frozen=True, slots=True)
class HysteresisRules:
    """`minimum_s`: how long a place serves at least before it is left of our own accord.

    A step up must leave `margin_mib` free, and `margin_share` of what the model takes where that is more.
    A place that had to be left is held back for `minimum_s`, for `shortest_hold_s` at least, and for twice as long, up
    to `longest_hold_s`, each time that it has to be left again within twice the time that it was held back for.
    """

    minimum_s: float = 60.0
    margin_share: float = 0.1
    margin_mib: float = 256.0
    shortest_hold_s: float = 1.0
    longest_hold_s: float = 3600.0

    def margin_of(self, option: Option) -> float:
        return max(self.margin_mib, self.margin_share * (option.memory_mib or 0.0))


@dataclass(frozen=True, slots=True)
class SwitchDecision(Reason):
    """`switch_to`: where to, None: stay. `forced`: the serving place can't go on, so no minimum stay was asked.

    `code` is the metric's label and says why; to switch: first, better, too_slow, queue_too_long,
    latency_goal_missed, figures_missing, or what the selector has against the serving place (out_of_memory,
    unhealthy, ...). To stay: best, minimum_stay, margin, held_back, shedding_first, nothing_fits.
    """

    switch_to: Option | None
    forced: bool = False


class Hysteresis:
    """The hysteresis of one role's model.

    A step up is one to another device, or to more memory on the same one: it needs a known figure and a margin.
    Whatever else is not forced needs the minimum stay alone.
    """

    def __init__(self, rules: HysteresisRules | None = None) -> None:
        self.rules = rules or HysteresisRules()
        self.serving: Placement | None = None  # what Load.serving wants to hear
        self._serving_mib: float | None = None
        self._since_s = 0.0
        self._out_of_memory = Cooldowns()  # choose() is told of these, see bar()
        self._too_slow = Cooldowns()

    def weigh(self, now_s: float, choice: Choice, shed_s: float | None = None) -> SwitchDecision:
        """Whether to switch now. Changes nothing. `shed_s`: Load's; a place that is too slow is not left before what is
        asked of it was cut down for `minimum_s`, and that was not enough.
        """
        usable = [option for option in choice.options if not self._has_no_memory(now_s, option)]
        if not usable:
            return SwitchDecision("nothing_fits", choice.why, None)
        if self.serving is None:
            return SwitchDecision("first", choice.why, usable[0], forced=True)
        serving = next((option for option in usable if option.place == self.serving), None)
        if serving is None:
            return self._forced(now_s, choice, usable)
        blocked = self._unshed(serving, shed_s)
        if blocked is not None:
            return blocked
        for option in choice.options[: choice.options.index(serving)]:
            obstacle = self._obstacle(now_s, option)
            if obstacle is None:
                trouble = serving.trouble
                why = f"{option.place} instead of {serving.place}{f': {trouble.why}' if trouble else ''}"
                return SwitchDecision(trouble.code if trouble else "better", why, option)
            blocked = blocked or obstacle
        return blocked or SwitchDecision("best", f"{serving.place} is the best choice", None)

    def switched(self, now_s: float, verdict: SwitchDecision) -> None:
        """What the verdict wanted is done: its place serves from now on."""
        if verdict.switch_to is None:
            raise ValueError(f"switched: the verdict was to stay ({verdict.code})")
        target = verdict.switch_to
        if self.serving is not None and self.serving.key != target.place.key and verdict.code in LATE:
            self._set_back(self._too_slow, now_s, self.serving, verdict, 1)
        self.chosen_by_hand(now_s, target.place, target.memory_mib)

    def chosen_by_hand(self, now_s: float, place: Placement, memory_mib: float | None = None) -> None:
        """`place` serves from now on, whatever was weighed; `memory_mib`: what it takes, where that is known."""
        self.serving, self._serving_mib, self._since_s = place, memory_mib, now_s

    def out_of_memory(self, now_s: float, place: Placement) -> None:
        """A load or a batch at `place` ran out: its bucket and larger ones are barred, and left where they serve."""
        why = Reason(OUT_OF_MEMORY, f"{place.model} ran out of memory on {place.device}")
        self._set_back(self._out_of_memory, now_s, place, why, place.bucket)

    def bar(self, now_s: float, model: str, device: str) -> BatchCap | None:
        """What DeviceFigures.bar has to be for this model and device now."""
        held = self._out_of_memory.against(now_s, model, device)
        if held is None:
            return None
        why = f"{held.why} in batches of {held.bucket}; again in {held.until_s - now_s:.0f} s"
        return BatchCap(held.code, why, held.bucket)

    def _forced(self, now_s: float, choice: Choice, usable: list[Option]) -> SwitchDecision:
        """The serving place can't go on: the best that is no step up or leaves its margin, else the best."""
        assert self.serving is not None
        model, device = self.serving.key
        target = next((option for option in usable if self._has_margin(option)), usable[0])
        against: Reason = (
            self.bar(now_s, model, device)
            or choice.why_not(model, device)
            or Reason("gone", "it is not to be had any more")
        )
        why = f"{target.place} instead of {self.serving}: {against.why}"
        return SwitchDecision(against.code, why, target, forced=True)

    def _unshed(self, serving: Option, shed_s: float | None) -> SwitchDecision | None:
        """Why the serving place may not be left yet although too much is asked of it."""
        trouble = serving.trouble
        by_load = trouble is not None and trouble.code in BY_LOAD
        if shed_s is None or not by_load or shed_s >= self.rules.minimum_s:
            return None
        shed = f"what is asked is cut down for {shed_s:.0f} s of at least {self.rules.minimum_s:.0f}"
        return SwitchDecision(SHEDDING_FIRST, f"{serving.place} is too slow for now, but {shed}", None)

    def _obstacle(self, now_s: float, option: Option) -> SwitchDecision | None:
        """Why the serving place may not be left for this better one now."""
        held = self._held_back(now_s, option)
        if held is not None:
            wait = f"{held.until_s - now_s:.0f} s more"
            why = f"{option.place} is held back for {wait}: it was left ({held.code})"
            return SwitchDecision("held_back", why, None)
        if not self._has_margin(option):
            margin = f"{self.rules.margin_of(option):.0f} MiB"
            if option.more_mib is None:
                why = f"what it takes was never measured, so that {margin} would stay free is not known"
            else:
                why = f"it takes {option.more_mib:.0f} of {option.room_mib:.0f} MiB, and {margin} have to stay free"
            return SwitchDecision("margin", f"{option.place} would be better, but {why}", None)
        served_s = now_s - self._since_s
        if served_s < self.rules.minimum_s:
            why = f"{self.serving} serves for {served_s:.0f} s of at least {self.rules.minimum_s:.0f}"
            return SwitchDecision("minimum_stay", f"{option.place} would be better, but {why}", None)
        return None

    def _has_margin(self, option: Option) -> bool:
        """Whether this is no step up, or leaves its margin free."""
        if not self.is_step_up(option):
            return True
        return option.more_mib is not None and option.room_mib - option.more_mib >= self.rules.margin_of(option)

    def is_step_up(self, option: Option) -> bool:
        """Whether going there takes more memory of the serving place's device, or memory of another one."""
        if self.serving is None or option.place == self.serving:
            return False
        if option.place.device != self.serving.device:
            return True
        if option.memory_mib is None or self._serving_mib is None:
            return True
        return option.memory_mib > self._serving_mib

    def _has_no_memory(self, now_s: float, option: Option) -> bool:
        cap = self.bar(now_s, *option.place.key)
        return cap is not None and option.place.bucket >= cap.bucket

    def _held_back(self, now_s: float, option: Option) -> Cooldown | None:
        """What holds this option back now; memory comes first."""
        found = (cooldowns.against(now_s, *option.place.key) for cooldowns in (self._out_of_memory, self._too_slow))
        return next((one for one in found if one is not None and option.place.bucket >= one.bucket), None)

    def _set_back(self, cooldowns: Cooldowns, now_s: float, place: Placement, why: Reason, bucket: int) -> None:
        hold_s, longest_s = max(self.rules.minimum_s, self.rules.shortest_hold_s), self.rules.longest_hold_s
        cooldowns.add(now_s, hold_s, place.model, why, place.device, bucket=bucket, longest_s=longest_s)
