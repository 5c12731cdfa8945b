"""The gate before the decoder: which pictures are decoded at once, kept until something moves, or left out.

Each encoded picture of a stream goes in, then what moved in those that were decoded; on a camera's thread. Pure: times
come in. Nothing that was kept is decoded without all that it is made from.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from streamer.ingest.decode_gate.habits import Habits, Watch
from streamer.ingest.decode_gate.lateness import Lateness
from streamer.ingest.decode_gate.picture_kind import PictureKind
from streamer.motion.attention import Attention
from streamer.motion.moved import Moved

# glance: a keyframe, decoded for itself alone. wake: all that was kept, with this one, is decoded at once. late: too
# late to be of use. resume: a keyframe, decoded after such.
Step = Literal["decode", "keep", "skip", "glance", "wake", "late", "resume"]

# Nothing has moved for so long before a camera falls asleep; and, awake, before its packets count as quiet ones.
CALM_S, QUIET_S = 3.0, 1.0
# And no less than this since every frame was last wanted: who asks again and again shall not wake it each time.
UNWANTED_S = 0.5
WOKEN_S = 0.8  # and no less than this since it woke: until the next keyframe of those that come every second
# Of keyframes that are nearer to each other, not each is looked at: so many looks are within wake_within_s.
_LOOKS = 2
# Where sizes tell of movement clearly, one in so many times that, or seconds: every second of keyframes a second apart.
_CLEAR_S = 1.5
# What is kept. Over that the camera wakes: nothing is lost, and what was kept is decoded.
MOST_KEPT, MOST_KEPT_BYTES = 600, 8 * 2**20
# Timestamps that go further, or back by more than reordering takes them, begin anew: a lap, a clock that was set.
_LONGEST_STEP_S, _LONGEST_BACK_S = 10.0, 0.5
_TELL_EVERY_S = 1.0

P = TypeVar("P")


@dataclass(slots=True)
class GateReport:
    """What became of packets, and how long the gate was open and closed, since the last report.

    caught_up: of those kept, that were decoded when something moved. skipped: those that nothing is made from. late:
    those that came too long ago, where the machine decodes slower than they come.
    """

    watch: Watch
    is_asleep: bool = False
    open_s: float = 0.0
    closed_s: float = 0.0
    decoded: int = 0
    kept: int = 0
    caught_up: int = 0
    skipped: int = 0
    late: int = 0


class DecodeGate(Generic[P]):
    """Of one camera's stream. It begins awake, and sleeps once it knows the stream and nothing has moved for a while.

    Asleep, by the stream's Watch: `keyframes` glances at each and keeps what follows it; `reference` leaves out the
    pictures that nothing is made from; `all` never sleeps.
    """

    def __init__(self, attention: Attention, now_s: float, tell: Callable[[GateReport], object]) -> None:
        self._attention = attention
        self._tell = tell
        self.habits = Habits(attention.rules.wake_within_s)
        self.watch = self.habits.watch
        self.is_asleep = False
        self.has_shown = False  # the first of those kept: it was decoded when it came
        self._kept: list[P] = []
        self._kept_bytes = 0
        self._is_roused = False
        self._lateness = Lateness()
        self._moved_s = now_s - CALM_S + QUIET_S  # when something moved last, or may have
        self._woken_s = now_s  # when it began to be awake
        self._has_looked = False
        self._wanted_s = -math.inf  # when every frame was wanted last, or one was damaged
        self._media_s: float | None = None  # the latest
        self._judged_s = now_s
        self._since_glance_s = math.inf
        self._report = GateReport(self.watch)
        self._told_s = now_s

    def judge(
        self,
        picture: P,
        kind: PictureKind,
        size: int,
        media_s: float | None,
        now_s: float,
        *,
        is_damaged: bool = False,
        is_untimed: bool = False,
        late_s: float = 0.0,
    ) -> Step:
        """The next picture, in the order in which they are decoded; media_s: when, by the stream's own time.

        late_s: for how long it has lain here although there was nothing to wait for.
        """
        passed_s, self._judged_s = max(0.0, now_s - self._judged_s), now_s
        step_s = self._step_s(media_s, passed_s)
        self._since_glance_s += max(step_s, passed_s)  # also where timestamps stand still
        self.habits.saw(kind, size, step_s, is_untimed=is_untimed)
        is_raised = not kind.is_entry and self.habits.floors[kind.is_reference].is_raised(size)
        if is_damaged:
            self._moved_s = now_s
        if is_damaged or self._attention.is_held(now_s):
            self._wanted_s = now_s
        if kind.is_entry or self.habits.is_overdue:
            self.watch = self.habits.watch
        if self.is_asleep:
            step = self._asleep(picture, kind, size, is_raised, now_s)
        else:
            step = self._awake(kind, max(step_s, passed_s), now_s, late_s)
        is_quiet = not is_raised if self.is_asleep else now_s - self._moved_s >= QUIET_S
        if is_quiet and not kind.is_entry and step != "late":
            self.habits.learn_quiet(kind, size)
        if step == "glance":
            self._keep_from(picture, size, is_shown=True)
        self._count(step, now_s)
        return step

    def looked(self, moved: Moved | None, now_s: float) -> None:
        """A picture came out, and this moved in it; None: nobody knows, so anything may have."""
        is_first, self._has_looked = not self._has_looked, True  # all of it is new, and nothing has moved
        if not is_first and (moved is None or moved.is_large):
            self._moved_s = now_s
            self._is_roused = self.is_asleep

    def is_followed(self, now_s: float) -> bool:
        """Whether somebody is, on this camera."""
        return self._attention.is_followed(now_s)

    def take_kept(self) -> list[P]:
        """Those to be decoded at `wake`, from a keyframe on, the newest last. has_shown is about its first."""
        kept, self._kept, self._kept_bytes = self._kept, [], 0
        return kept

    def cut(self) -> None:
        """What is kept can't be decoded any more: a gap, a lap's end. Asleep it is still, if a keyframe is next."""
        self.take_kept()
        self._media_s = None

    def finish(self, now_s: float) -> None:
        """The stream is over."""
        self._pass_time(now_s)
        self._send(now_s)

    def _awake(self, kind: PictureKind, step_s: float, now_s: float, late_s: float) -> Step:
        pace = self._lateness.judge(kind, late_s, step_s, self.habits.keyframe_s)
        if pace != "on_time":
            return "resume" if pace == "resumed" else "late"
        if self.watch.way == "all" or not self._is_calm(now_s):
            return "decode"
        if self.watch.way == "keyframes":
            if not kind.is_entry:
                return "decode"
            self._become(now_s, is_asleep=True)
            return "glance"
        self._become(now_s, is_asleep=True)
        return "decode" if kind.is_reference else "skip"

    def _is_calm(self, now_s: float) -> bool:
        """A wake by weight, in whose pictures nothing moves, is soon over; whoever left has been gone for a while when
        nobody follows them any more.
        """
        is_unwanted = now_s - self._wanted_s >= UNWANTED_S and now_s - self._woken_s >= WOKEN_S
        return is_unwanted and now_s - self._moved_s >= CALM_S

    def _asleep(self, picture: P, kind: PictureKind, size: int, is_raised: bool, now_s: float) -> Step:
        is_roused = self._is_roused or is_raised or self._wanted_s == now_s
        if not self._kept:  # those are left out that nothing is made from, or it was cut
            if self.watch.way == "keyframes" and kind.is_entry and not is_roused:
                return "glance"
            if is_roused or self.watch.way != "reference":
                self._become(now_s, is_asleep=False)
                return "decode"
            return "decode" if kind.is_reference else "skip"
        if kind.is_entry and not is_roused and self.watch.way == "keyframes":
            return self._next_keyframe(picture, size)
        self._kept.append(picture)
        self._kept_bytes += size
        is_full = len(self._kept) > MOST_KEPT or self._kept_bytes > MOST_KEPT_BYTES
        if is_roused or is_full or self.watch.way != "keyframes":
            self._become(now_s, is_asleep=False)
            return "wake"
        return "keep"

    def _next_keyframe(self, picture: P, size: int) -> Step:
        limit_s = self._attention.rules.wake_within_s
        rest_s = limit_s / _LOOKS
        if self.habits.is_clear:
            rest_s = max(rest_s, _CLEAR_S * min(limit_s, 1.0))
        if self._since_glance_s < rest_s:
            self._keep_from(picture, size, is_shown=False)
            return "keep"
        return "glance"

    def _keep_from(self, picture: P, size: int, *, is_shown: bool) -> None:
        """A keyframe: what was kept before it is needed no more."""
        self._kept, self._kept_bytes, self.has_shown = [picture], size, is_shown

    def _step_s(self, media_s: float | None, passed_s: float) -> float:
        """Since the picture before: by the stream's time where that makes sense, else by the clock."""
        before_s = self._media_s
        if media_s is None:
            return passed_s
        if before_s is None or not -_LONGEST_BACK_S <= media_s - before_s <= _LONGEST_STEP_S:
            self._media_s = media_s
            return passed_s
        self._media_s = max(media_s, before_s)  # where there are B-frames, timestamps go back
        return self._media_s - before_s

    def _become(self, now_s: float, *, is_asleep: bool) -> None:
        if self.is_asleep == is_asleep:
            return
        self._pass_time(now_s)
        self.is_asleep, self._is_roused, self._since_glance_s = is_asleep, False, math.inf
        if not is_asleep:
            self._woken_s = now_s
        self._send(now_s)

    def _count(self, step: Step, now_s: float) -> None:
        report = self._report
        if step == "keep":
            report.kept += 1
        elif step == "skip":
            report.skipped += 1
        elif step == "late":
            report.late += 1
        elif step == "wake":
            report.caught_up += len(self._kept) - 1
            report.decoded += 1
        else:
            report.decoded += 1
            if step == "glance":
                self._since_glance_s = 0.0
        if now_s - self._told_s >= _TELL_EVERY_S or report.watch != self.watch:
            self._pass_time(now_s)
            self._send(now_s)

    def _pass_time(self, now_s: float) -> None:
        passed_s = max(0.0, now_s - self._told_s)
        if self.is_asleep:
            self._report.closed_s += passed_s
        else:
            self._report.open_s += passed_s

    def _send(self, now_s: float) -> None:
        self._told_s = now_s
        report, self._report = self._report, GateReport(self.watch)
        report.watch, report.is_asleep = self.watch, self.is_asleep
        self._tell(report)
