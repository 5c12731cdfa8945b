"""The gate before the decoder by made-up streams: what it decodes, keeps, leaves out, and when it wakes."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from streamer.ingest.decode_gate.gate import (
    CALM_S,
    MOST_KEPT,
    MOST_KEPT_BYTES,
    QUIET_S,
    UNWANTED_S,
    WOKEN_S,
    DecodeGate,
    GateReport,
    Step,
)
from streamer.ingest.decode_gate.picture_kind import PictureKind
from streamer.ingest.stream_clock import LONGEST_STEP_S
from streamer.motion.attention import Attention, AttentionRules
from streamer.motion.moved import Moved
from streamer.settings import RecognitionSettings

FPS = 25
STILL, MOVES = Moved(np.zeros((2, 2), np.bool_)), Moved(np.ones((2, 2), np.bool_))
KEYFRAME, REFERENCE, SPARE = PictureKind(is_entry=True), PictureKind(is_entry=False), PictureKind(False, False)


class Stream:
    """Pictures by number into a gate; what it decodes is looked at."""

    def __init__(self, every_s: float = 1.0, *, wake_within_s: float = 1.0, spare_each: int = 0) -> None:
        self.reports: list[GateReport] = []
        self.attention = Attention(AttentionRules(wake_within_s=wake_within_s))
        self.gate = DecodeGate[int](self.attention, 0.0, self.reports.append)
        self.every = round(every_s * FPS)
        self.spare_each = spare_each
        self.next = 0
        self.size, self.keyframe_size = 100, 20_000
        self.decoded: list[int] = []
        self.steps: Counter[Step] = Counter()
        self.moved: Moved | None = STILL
        self.has_times = True
        self.began_s = 0.0  # when its timestamps began with 0

    @property
    def now_s(self) -> float:
        return self.next / FPS

    def kind(self) -> PictureKind:
        if self.every and self.next % self.every == 0:
            return KEYFRAME
        return SPARE if self.spare_each and self.next % self.spare_each else REFERENCE

    def step(self, **told: bool) -> Step:
        kind = self.kind()
        size = self.keyframe_size if kind.is_entry else self.size + self.next % 7
        media_s = self.now_s - self.began_s if self.has_times else None
        step = self.gate.judge(self.next, kind, size, media_s, self.now_s, **told)
        self.steps[step] += 1
        if step == "wake":
            kept = self.gate.take_kept()
            self.decoded += kept[1:] if self.gate.has_shown else kept
        elif step in ("decode", "glance"):
            self.decoded.append(self.next)
        if step not in ("keep", "skip"):
            self.gate.looked(self.moved, self.now_s)
        self.next += 1
        return step

    def play(self, seconds: float) -> Counter[Step]:
        """What the gate said of so much of it."""
        self.steps = Counter()
        for _ in range(round(seconds * FPS)):
            self.step()
        return self.steps

    def asleep(self) -> "Stream":
        self.play(8)
        assert self.gate.is_asleep
        return self


def test_a_quiet_stream_is_learnt_awake_and_then_its_keyframes_alone_are_decoded():
    stream = Stream()
    assert stream.play(QUIET_S) == {"decode": QUIET_S * FPS}
    assert stream.play(1) == {"glance": 1, "keep": FPS - 1}
    assert stream.gate.watch.way == "keyframes"


@pytest.mark.parametrize(("size", "every_s"), [(100, 2), (1500, 1)])
def test_where_packets_weigh_little_every_second_keyframe_is_looked_at(size, every_s):
    """A keyframe weighs 20,000 bytes, and this clip's noise 7: movement in a hundredth of the picture shows, or not."""
    stream = Stream()
    stream.size = size
    stream.play(8)
    assert stream.play(8) == {"glance": 8 / every_s, "keep": 8 * FPS - 8 / every_s}


def test_one_that_may_wake_late_is_looked_at_no_more_often_for_its_sizes():
    clear, other = Stream(wake_within_s=8.0), Stream(wake_within_s=8.0)
    other.size = 1500
    for stream in (clear, other):
        stream.play(10)
        assert stream.play(16)["glance"] == 4


@pytest.mark.parametrize("wake_within_s", [2.0, 4.0, 9.0])
def test_keyframes_that_are_further_apart_are_all_looked_at(wake_within_s):
    stream = Stream(wake_within_s, wake_within_s=wake_within_s)
    stream.play(4 * wake_within_s)
    assert stream.play(2 * wake_within_s)["glance"] == 2


def test_a_small_movement_keeps_nothing_awake():
    """A burned-in clock: it is looked at, and whoever is found is followed."""
    stream = Stream()
    stream.moved = Moved(np.arange(14_400).reshape(90, 160) < 30)
    stream.play(8)
    assert stream.gate.is_asleep
    stream.moved = Moved(np.arange(14_400).reshape(90, 160) < 40)
    stream.play(3)
    assert not stream.gate.is_asleep


def test_somebody_who_is_seen_at_a_keyframe_wakes_it_and_nothing_since_then_is_lost():
    stream = Stream().asleep()
    while stream.step() != "glance":
        pass
    stream.moved = MOVES
    while stream.step() != "glance":
        pass
    keyframe = stream.next - 1
    assert stream.step() == "wake"
    assert stream.play(4) == {"decode": 4 * FPS}
    assert [number for number in stream.decoded if number >= keyframe] == list(range(keyframe, stream.next))


def test_packets_that_weigh_more_wake_it_and_all_since_the_keyframe_is_decoded_at_once():
    stream = Stream().asleep()
    while stream.step() != "glance":
        pass
    keyframe = stream.next - 1
    stream.play(0.4)
    stream.size = 900
    assert [stream.step(), stream.step(), stream.step()] == ["keep", "keep", "wake"]
    assert stream.decoded[-13:] == list(range(keyframe + 1, keyframe + 14))


def test_one_heavy_packet_is_a_clock_and_no_movement():
    stream = Stream().asleep()
    for number in range(10 * FPS):
        stream.size = 900 if number % FPS == 7 else 100
        stream.step()
    assert stream.gate.is_asleep


def test_whoever_watches_wakes_it_at_once():
    stream = Stream().asleep()
    stream.play(0.5)
    stream.attention.hold(stream.now_s + 5)
    assert stream.step() == "wake"
    assert stream.play(4.9)["keep"] == 0
    assert stream.play(6)["keep"] > 0


def until_asleep(stream: Stream) -> float:
    """Seconds until it sleeps; with a keyframe a second, that is up to one more than it has to."""
    began = stream.next
    while not stream.gate.is_asleep:
        stream.step()
    return (stream.next - began) / FPS


def test_whoever_left_is_not_waited_for_once_more_when_nobody_follows_them_any_more():
    stream = Stream().asleep()
    stream.moved = MOVES
    stream.play(3)
    stream.moved = STILL
    stream.attention.follow(stream.now_s + CALM_S + 2)
    stream.play(CALM_S)
    assert not stream.gate.is_asleep
    stream.attention.unfollow()
    assert UNWANTED_S <= until_asleep(stream) <= UNWANTED_S + 1.04


def test_what_moved_last_is_waited_for_although_nobody_is_followed():
    stream = Stream().asleep()
    stream.moved = MOVES
    stream.play(3)
    stream.moved = STILL
    stream.attention.follow(stream.now_s + 0.1)
    assert CALM_S <= until_asleep(stream) <= CALM_S + 1.04


def test_a_wake_by_weight_alone_is_soon_over_but_not_at_once():
    stream = Stream().asleep()
    stream.size = 900
    while stream.gate.is_asleep:
        stream.step()
    stream.size = 100
    assert WOKEN_S <= until_asleep(stream) <= WOKEN_S + 1.04


def test_weight_without_movement_is_learnt_and_wakes_it_no_more():
    """VBR that turns into CBR: all packets are heavy, and nothing is to be seen."""
    stream = Stream().asleep()
    stream.size = 10_000
    assert 1 <= stream.play(2)["wake"] <= 2
    stream.play(30)
    assert stream.play(30) == {"glance": 30, "keep": 30 * (FPS - 1)}
    assert stream.gate.watch.reason == "sizes_say_nothing"


def test_where_nobody_knows_what_moved_every_frame_is_decoded():
    stream = Stream()
    stream.moved = None
    assert stream.play(20) == {"decode": 20 * FPS}


@pytest.mark.parametrize("every_s", [2, 4, 10, 0])
def test_keyframes_that_come_too_late_are_not_waited_for(every_s):
    stream = Stream(every_s)
    assert stream.play(30) == {"decode": 30 * FPS}
    assert (stream.gate.watch.way, stream.gate.watch.reason) == ("all", "keyframes_far_apart")


def test_a_later_wake_makes_rarer_keyframes_enough():
    stream = Stream(4, wake_within_s=4)
    stream.play(20)
    assert stream.play(8) == {"glance": 2, "keep": 8 * FPS - 2}


def test_the_longest_sleep_that_can_be_set_is_no_jump_of_any_clock():
    """Streams' and clips' times take a longer step for a fault in the timestamps."""
    most = next(
        limit.le for limit in RecognitionSettings.model_fields["wake_within_s"].metadata if hasattr(limit, "le")
    )
    stream = Stream(most, wake_within_s=most)
    stream.play(5 * most)
    assert stream.gate.is_asleep
    shown = [n for n in stream.decoded if n >= 3 * most * FPS]
    assert len(shown) < 3 * FPS
    assert max(b - a for a, b in pairwise(shown)) / FPS < LONGEST_STEP_S
    rare = Stream(LONGEST_STEP_S, wake_within_s=most)
    rare.play(6 * LONGEST_STEP_S)
    assert not rare.gate.is_asleep


def test_pictures_that_nothing_is_made_from_are_left_out_where_keyframes_are_rare():
    stream = Stream(10, spare_each=3)
    stream.play(20)
    steps = stream.play(10)
    assert steps["skip"] > 6 * FPS
    assert stream.gate.watch.way == "reference"
    stream.moved = MOVES
    stream.play(0.2)
    assert stream.play(3) == {"decode": 3 * FPS}


def test_a_keyframe_that_never_comes_wakes_it_and_nothing_is_lost():
    stream = Stream().asleep()
    while stream.step() != "glance":
        pass
    keyframe, stream.every = stream.next - 1, 0
    stream.play(2)
    assert not stream.gate.is_asleep
    assert stream.decoded[-(stream.next - keyframe) :] == list(range(keyframe, stream.next))
    stream.play(20)
    assert stream.steps == {"decode": 20 * FPS}
    assert stream.gate.watch.reason == "keyframes_far_apart"


def test_it_sleeps_again_once_keyframes_come_in_time_again():
    stream = Stream(4)
    stream.play(12)
    stream.every = FPS
    stream.play(12)
    assert stream.play(4)["keep"] > 0


def test_keyframes_that_are_near_to_each_other_are_not_all_looked_at():
    """MJPEG: every picture is one."""
    stream = Stream(1 / FPS)
    stream.play(8)
    steps = stream.play(10)
    assert 15 <= steps["glance"] <= 20
    stream.moved = MOVES
    stream.play(1)
    assert stream.play(2) == {"decode": 2 * FPS}


@pytest.mark.parametrize(("size", "most"), [(100, MOST_KEPT), (400_000, 2 + MOST_KEPT_BYTES // 400_000)])
def test_what_is_kept_is_bounded_and_nothing_of_it_is_lost(size, most):
    stream = Stream(60, wake_within_s=60)
    stream.size = size
    stream.play(200)
    while stream.step() != "glance":
        pass
    keyframe = stream.next - 1
    kept = 1
    while stream.step() == "keep":
        kept += 1
    assert kept <= most
    assert stream.decoded[-(stream.next - keyframe) :] == list(range(keyframe, stream.next))


def test_damage_wakes_it_and_is_told_as_when_it_is_awake():
    stream = Stream().asleep()
    stream.play(0.5)
    assert stream.step(is_damaged=True) == "wake"


def test_a_gap_leaves_nothing_that_could_be_decoded_wrongly():
    stream = Stream().asleep()
    stream.play(0.5)
    stream.gate.cut()
    assert stream.gate.take_kept() == []
    assert stream.step() == "decode"
    assert not stream.gate.is_asleep


def test_it_sleeps_on_over_a_gap_that_ends_with_a_keyframe():
    stream = Stream().asleep()
    while stream.step() != "glance":
        pass
    stream.play(0.5)
    stream.gate.cut()
    stream.next = -(-stream.next // FPS) * FPS
    assert stream.play(4) == {"glance": 2, "keep": 4 * FPS - 2}


def test_pictures_without_times_go_by_the_clock_and_reordered_ones_are_all_decoded():
    stream = Stream()
    stream.has_times = False
    stream.asleep()
    for _ in range(2 * FPS):
        stream.step(is_untimed=True)
    assert not stream.gate.is_asleep
    assert (stream.gate.watch.way, stream.gate.watch.reason) == ("all", "no_timestamps")


@pytest.mark.parametrize("is_told", [True, False], ids=["a clip's next lap", "a camera's clock was set"])
@pytest.mark.parametrize("lap_s", [2, 6, 9])
def test_times_that_begin_again_leave_no_keyframe_unseen(lap_s, is_told):
    stream = Stream()
    for _ in range(6):
        stream.began_s = stream.now_s
        steps = stream.play(lap_s)
        if is_told:
            stream.gate.cut()
    assert stream.gate.is_asleep
    assert steps["glance"] >= lap_s // 2
    assert stream.gate.habits.keyframe_s == pytest.approx(1, abs=0.1)


def test_times_that_stand_still_leave_no_keyframe_unseen():
    stream = Stream().asleep()
    stream.steps.clear()
    for _ in range(5 * FPS):
        stream.began_s = stream.now_s - 8
        stream.step()
    assert stream.steps["glance"] >= 2


def sums(reports: list[GateReport]) -> Iterator[float]:
    for name in ("open_s", "closed_s", "decoded", "kept", "caught_up", "skipped"):
        yield sum(getattr(report, name) for report in reports)


def test_every_packet_and_every_second_is_told_of_once():
    stream = Stream()
    stream.play(8)
    stream.size = 900
    stream.play(0.5)
    stream.size = 100
    stream.play(7.5)
    stream.gate.finish(stream.now_s)
    open_s, closed_s, decoded, kept, caught_up, skipped = sums(stream.reports)
    assert open_s + closed_s == pytest.approx(16)
    assert decoded + kept + skipped == 16 * FPS
    assert 0 < caught_up <= FPS
    assert closed_s > 5
