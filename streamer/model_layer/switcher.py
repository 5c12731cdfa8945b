"""Switching: which model serves a role, where, and why; looks at memory and load, and has the recogniser follow.

Runs on the event loop; loading and measuring happen on threads. What decides is pure and lies in recognition.selection
(selector.choose, hysteresis.Hysteresis), what it is fed with in selection_input; here is what is done about it.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from recognition.errors import CodedError, GpuFailed, InsufficientMemory, TritonModelMismatch, UnsupportedRuntime
from recognition.models.manager import ModelManager
from recognition.reason import Reason
from recognition.selection.candidates import Candidate, Load, Placement
from recognition.selection.hysteresis import Hysteresis, HysteresisRules, SwitchDecision
from recognition.selection.measurements import LocalMeasurements
from recognition.selection.ranking import LATE, Option, Refusal
from recognition.selection.selector import Choice, choose
from recognition.serving.queue_load import WINDOW_S, QueueLoad
from streamer.model_layer.selection_input import SelectionInput, SwitchRules
from streamer.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

BY_HAND = "by_hand"
NOT_IN_LADDER = "not_in_ladder"
NOTHING_FITS = "nothing_fits"
# A model whose answers were useless, or a GPU that failed, is not tried again for so long; what may pass (a server that
# is away, or has other weights for now) is tried again sooner.
HELD_BACK_S = 600.0
SHORTLY_S = 60.0
# Codes of what is no obstacle: another place is liked better.
_LIKED_LESS = LATE | {"less_accurate", "slower", "needs_more_memory", "later_in_order"}


@dataclass(frozen=True, slots=True)
class Standing(Reason):
    """What a role's model does now, and why since its last change."""

    place: Placement


class Slot(Protocol):
    """Of recognition's ModelSlot what a switcher steers."""

    @property
    def place(self) -> Placement: ...

    def load(self) -> QueueLoad: ...

    async def switch(self, place: Placement, *, need_mib: float | None, room_first: bool) -> None: ...


async def _nothing_to_prepare(_: str) -> None: ...


@dataclass(slots=True)
class SwitchHooks:
    """What its owner has to say to a switch, and hears of it. `shed_s`: Load's.

    `refused`: what else speaks against a model; `prepare`: awaited before its first item; `changed`: it serves.
    """

    refused: Callable[[str], Reason | None] = lambda _: None
    prepare: Callable[[str], Awaitable[None]] = _nothing_to_prepare
    changed: Callable[[], None] = lambda: None
    shed_s: Callable[[], float | None] = lambda: None


class Switcher:
    """One role's model. first() before anything is loaded, then attached() once it is, then look() now and again."""

    def __init__(
        self,
        manager: ModelManager,
        rules: SwitchRules,
        local: LocalMeasurements | None,
        metrics: Metrics,
        hooks: SwitchHooks | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.hooks = hooks or SwitchHooks()
        self.standing: Standing | None = None
        self.choice: Choice | None = None
        self.by_hand: str | None = None
        self.put_off: Refusal | None = None  # why the best place does not serve yet
        self.not_followed: Refusal | None = None  # why the model that was chosen by hand does not serve
        self._manager = manager
        self._metrics = metrics
        self._clock = clock
        self._hysteresis = Hysteresis(HysteresisRules(minimum_s=rules.minimum_stay_s))
        self.weighed = SelectionInput(manager, rules, local, self._hysteresis, lambda name: self.hooks.refused(name))
        self._told: set[str] = set()  # codes of runs that failed where it serves
        self._asked_before = (0.0, 0.0)  # until when (s) it counts, and faces a second
        self._slot: Slot | None = None
        self._lock = asyncio.Lock()

    # Before anything runs.

    def first(self) -> Placement:
        """Where to begin. Where nothing can run, raises what is against the first model, else InsufficientMemory."""
        self._hysteresis.serving = None
        verdict = self._weigh(Load(latency_goal_ms=self.weighed.rules.latency_goal_ms))
        if verdict.switch_to is None:
            self._manager.need(self.weighed.rules.names[0])  # memory is not to blame where it is not there at all
            raise InsufficientMemory(f"no model of {', '.join(self.weighed.rules.names)} can run here: {verdict.why}")
        self._hysteresis.switched(self._clock(), verdict)
        self.standing = Standing(verdict.code, verdict.why, verdict.switch_to.place)
        return self.weighed.as_asked(verdict.switch_to.place)

    def could_not_begin(self, error: CodedError) -> bool:
        """The place that first() gave could not be had; whether there is another one to try."""
        place = self._hysteresis.serving
        assert place is not None
        self._hysteresis.serving = None
        if self._is_asked_for(place, error):
            return False
        self._note_trouble(place, error)
        return self._weigh(Load(latency_goal_ms=self.weighed.rules.latency_goal_ms)).switch_to is not None

    def attached(self, slot: Slot) -> None:
        """It is loaded, and serves at the place where it really is."""
        self._slot = slot
        if self._hysteresis.serving != slot.place:
            self._hysteresis.chosen_by_hand(self._clock(), slot.place)
        assert self.standing is not None
        self._stand(Standing(self.standing.code, self.standing.why, slot.place))

    # While it runs.

    async def look(self) -> None:
        """Choose anew, and switch where that is called for. Raises nothing that the world does."""
        async with self._lock:
            await self._follow()

    async def trouble(self, place: Placement, error: CodedError) -> bool:
        """A run failed at this place; for good, if the error is none that may pass.

        True once another place serves, so that the run can be made there.
        """
        async with self._lock:
            slot = self._need_slot()
            if slot.place != place:
                return True  # somebody else's run failed there, too, and was quicker
            self._metrics.model_troubles.labels(model=place.model, device=place.device, code=error.code).inc()
            if self.vacant:
                return False  # look() tries again when it is time; who asks does not put that off
            if error.code not in self._told:  # else it goes on, and nothing better was found
                self._told.add(error.code)
                log.warning("%s", error, extra={"code": error.code})
            if not self._is_asked_for(place, error):
                self._note_trouble(place, error)
            if not error.retryable:
                self._hysteresis.serving = None
            return await self._follow()

    @property
    def vacant(self) -> bool:
        """Whether nothing serves: what did had to go, or came to its end, and nothing else can be had."""
        return self._slot is not None and self._hysteresis.serving is None

    @property
    def fallback(self) -> Reason | None:
        """Why the model runs on the CPU although it might run on a GPU; None where it does not, or had better not."""
        slot = self._slot
        if slot is None or self.choice is None or slot.place.device != "cpu":
            return None
        gpus = [device for device in self.weighed.devices(self._manager.spec(slot.place.model)) if device != "cpu"]
        against = [self.choice.why_not(slot.place.model, device) for device in gpus]
        if self.put_off is not None and self.put_off.model == slot.place.model and self.put_off.device in gpus:
            against.insert(0, self.put_off)
        obstacles = (refusal for refusal in against if refusal is not None and refusal.code not in _LIKED_LESS)
        return next(obstacles, None)

    def candidates(self) -> list[Candidate]:
        """All that may serve, with what speaks against each."""
        return self.weighed.candidates(self._clock(), self.weighed.names(self.by_hand))

    def choose_by_hand(self, model: str | None) -> None:
        """Somebody chose it, whatever it was held back for; None: nobody chooses any more. look() follows."""
        self.by_hand = model
        if model is not None:
            self.weighed.held_back.forget(model)

    def hold_back(self, model: str, why: Reason, device: str | None = None, for_s: float = HELD_BACK_S) -> None:
        """Do without this model (on this device) for a while."""
        self.weighed.held_back.add(self._clock(), for_s, model, why, device)

    def _is_asked_for(self, place: Placement, error: CodedError) -> bool:
        """Whether its GPU was asked for by name and fails: there is no other device to go to in silence."""
        of_the_gpu = isinstance(error, GpuFailed | UnsupportedRuntime) and place.device.startswith("cuda")
        return of_the_gpu and self.weighed.devices(self._manager.spec(place.model)) == [place.device]

    def _note_trouble(self, place: Placement, error: CodedError) -> None:
        """Remember it, so that the next choice is another one."""
        if isinstance(error, InsufficientMemory):
            self._hysteresis.out_of_memory(self._clock(), place)
            return
        of_the_gpu = isinstance(error, GpuFailed | UnsupportedRuntime) and place.device.startswith("cuda")
        may_pass = not of_the_gpu and (error.retryable or isinstance(error, TritonModelMismatch))
        why = Reason("gpu_failed" if of_the_gpu else error.code, str(error))
        self.hold_back(place.model, why, place.device, SHORTLY_S if may_pass else HELD_BACK_S)

    async def _follow(self) -> bool:
        """Switch until the choice and the place agree, or nothing else can be had; whether there was a switch."""
        switched, failed = False, set[Placement]()
        while True:
            slot = self._need_slot()
            verdict = self._weigh(self._load(slot))
            option = verdict.switch_to
            if option is None or option.place in failed:
                if self.vacant and self.standing is not None and self.standing.code != NOTHING_FITS:
                    self._stand(Standing(NOTHING_FITS, verdict.why, slot.place))
                return switched and not self.vacant
            try:
                await self._switch(slot, option, verdict)
            except CodedError as error:
                place = option.place
                failed.add(place)
                log.warning("no switch to %s (%s): %s", place, verdict.code, error, extra={"code": error.code})
                self._metrics.model_troubles.labels(model=place.model, device=place.device, code=error.code).inc()
                if slot.place.model in option.unload_first:
                    self._hysteresis.serving = None  # it had to go first: nothing serves until a switch works
                self._note_trouble(place, error)
                continue
            switched = True

    async def _switch(self, slot: Slot, option: Option, verdict: SwitchDecision) -> None:
        room_first = not self.vacant and slot.place.model in option.unload_first
        idle = [name for name in option.unload_first if name != slot.place.model]
        if idle:
            await asyncio.to_thread(self._manager.unload_idle, *idle)
        await self.hooks.prepare(option.place.model)
        is_new = self.vacant or option.place.key != slot.place.key
        asked_per_s = self._load(slot).faces_per_s
        await slot.switch(
            self.weighed.as_asked(option.place), need_mib=option.memory_mib if is_new else None, room_first=room_first
        )
        now_s = self._clock()
        self._asked_before = (now_s + WINDOW_S, asked_per_s)
        if verdict.code == BY_HAND:
            self._hysteresis.chosen_by_hand(now_s, slot.place, option.memory_mib)
        else:
            self._hysteresis.switched(now_s, verdict)
            if self._hysteresis.serving != slot.place:
                self._hysteresis.chosen_by_hand(now_s, slot.place, option.memory_mib)
        self._metrics.model_switches.labels(reason=verdict.code).inc()
        log.info("model switch (%s): %s", verdict.code, verdict.why)
        self._stand(Standing(verdict.code, verdict.why, slot.place))

    def _stand(self, standing: Standing) -> None:
        old, self.standing = self.standing, standing
        self._told.clear()
        if old is not None and old.place.key != standing.place.key:
            self._metrics.model_active.labels(model=old.place.model, device=old.place.device).set(0)
        active = self._metrics.model_active.labels(model=standing.place.model, device=standing.place.device)
        active.set(0 if self.vacant else 1)
        self.hooks.changed()

    # What is weighed.

    def _weigh(self, load: Load) -> SwitchDecision:
        now_s = self._clock()
        names = self.weighed.names(self.by_hand)
        everybody = self.weighed.candidates(now_s, names)
        verdict = self._verdict(now_s, everybody, self.weighed.room_mib(names), load)
        best, serving = self.choice.best if self.choice else None, self._hysteresis.serving
        self.put_off = None
        if verdict.switch_to is None and best is not None and serving is not None and best.place.key != serving.key:
            self.put_off = Refusal(verdict.code, verdict.why, *best.place.key)
        return verdict

    def _verdict(
        self, now_s: float, everybody: Sequence[Candidate], free: Mapping[str, float], load: Load
    ) -> SwitchDecision:
        self.not_followed = None
        if self.by_hand is not None:
            alone = [one for one in everybody if one.model == self.by_hand]
            choice = choose(alone, free, self.weighed.rules.requirement, load)
            if choice.best is not None:
                self.choice = choice
                return self._by_hand(choice, now_s, load.shed_s)
            self.not_followed = choice.refused[0]
        ours = {self._manager.spec(name).name for name in self.weighed.rules.names}
        choice = choose([one for one in everybody if one.model in ours], free, self.weighed.rules.requirement, load)
        self.choice = replace(choice, refused=(*choice.refused, *self._outsiders(ours)))
        return self._hysteresis.weigh(now_s, self.choice, load.shed_s)

    def _outsiders(self, ours: Collection[str]) -> Iterator[Refusal]:
        """What is against models that are not in the ladder, and yet were chosen by hand, or serve since they were."""
        if self.not_followed is not None and self.not_followed.model not in ours:
            yield self.not_followed
        elif self._hysteresis.serving is not None and self._hysteresis.serving.model not in ours:
            why = "nobody chooses it by hand any more, and it is not in recognition.ladder"
            yield Refusal(NOT_IN_LADDER, why, self._hysteresis.serving.model, None)

    def _by_hand(self, choice: Choice, now_s: float, shed_s: float | None) -> SwitchDecision:
        """At once to the model that somebody chose; then as ever, with this model alone."""
        serving = self._hysteresis.serving
        if serving is not None and serving.model == self.by_hand:
            return self._hysteresis.weigh(now_s, choice, shed_s)
        assert choice.best is not None
        why = f"{choice.best.place}: chosen by hand"
        return SwitchDecision(BY_HAND, why, choice.best, forced=True)

    def _load(self, slot: Slot) -> Load:
        """What was asked of the queue before a switch counts until the next one knows."""
        asked, (until_s, before_per_s) = slot.load(), self._asked_before
        faces_per_s = max(asked.faces_per_s, before_per_s) if self._clock() < until_s else asked.faces_per_s
        goal_ms, serving = self.weighed.rules.latency_goal_ms, self._hysteresis.serving
        return Load(faces_per_s, asked.queue_delay_ms, goal_ms, serving, self.hooks.shed_s())

    def _need_slot(self) -> Slot:
        assert self._slot is not None, "attached() comes first"
        return self._slot
