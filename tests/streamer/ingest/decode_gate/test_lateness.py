"""A live stream that is decoded slower than it comes: what is passed by, and that the newest is soon looked at."""

import pytest

from streamer.ingest.decode_gate.lateness import Lateness
from streamer.ingest.decode_gate.picture_kind import PictureKind
from streamer.ingest.stream_clock import StreamClock

FPS = 25
KEYFRAME, OTHER = PictureKind(is_entry=True), PictureKind(is_entry=False)


def played(decode_s: float, *, seconds: float = 60.0, keyframe_s: float = 1.0) -> list[tuple[str, float]]:
    """Each picture takes so long to decode: what became of each, and how late it was when it was done."""
    lateness, now_s, done = Lateness(), 0.0, []
    each = round(keyframe_s * FPS)
    for number in range(round(seconds * FPS)):
        came_s = number / FPS
        now_s = max(now_s, came_s)
        kind = OTHER if number % each else KEYFRAME
        pace = lateness.judge(kind, now_s - came_s, 1 / FPS, keyframe_s)
        if pace != "passed_by":
            now_s += decode_s
        done.append((pace, now_s - came_s))
    return done


def test_nothing_is_passed_by_where_decoding_keeps_up():
    assert {pace for pace, _ in played(0.9 / FPS)} == {"on_time"}


@pytest.mark.parametrize("slow", [1.5, 3.0, 10.0])
@pytest.mark.parametrize("keyframe_s", [0.5, 1.0, 4.0])
def test_where_it_does_not_what_is_decoded_is_never_older_than_a_keyframe_and_a_half(slow, keyframe_s):
    done = played(slow / FPS, keyframe_s=keyframe_s)
    decoded = [late_s for pace, late_s in done if pace != "passed_by"]
    assert max(decoded) <= 1.5 * max(keyframe_s, 0.5) + slow / FPS
    # So much as it can: it goes on at a keyframe, and has to wait for the next one.
    assert len(decoded) >= 0.4 * len(done) / slow


@pytest.mark.parametrize(("slow", "least"), [(0.9, 1.0), (1.1, 0.7), (2.0, 0.4)])
def test_a_burst_that_is_decoded_too_slowly_is_not_passed_by_as_a_whole(slow, least):
    """HLS: six seconds come at once, and what is due last of them is not late yet."""
    lateness, clock, now_s, decoded = Lateness(), StreamClock(), 0.0, 0
    pictures = 20 * 6 * FPS
    for number in range(pictures):
        came_s, stream_s = 6.0 * (number // (6 * FPS)), number / FPS
        now_s = max(now_s, came_s)
        due_s = clock.due_s(stream_s)
        late_s = max(0.0, now_s - max(came_s, came_s if due_s is None else due_s))
        kind = OTHER if number % FPS else KEYFRAME
        if lateness.judge(kind, late_s, 1 / FPS, 1.0) != "passed_by":
            now_s += slow / FPS
            now_s += clock.place(stream_s, came_s, now_s).hold_s
            decoded += 1
    assert decoded >= least * pictures


def test_it_begins_again_with_a_keyframe_alone():
    paces = [pace for pace, _ in played(3.0 / FPS)]
    for before, number in zip(paces, range(1, len(paces)), strict=False):
        if before == "passed_by" and paces[number] != "passed_by":
            assert paces[number] == "resumed"
            assert number % FPS == 0


def test_nothing_is_passed_by_where_no_second_keyframe_has_come():
    """Intra refresh: there may never be one to go on with."""
    lateness = Lateness()
    assert {lateness.judge(OTHER, 30.0, 1 / FPS, None) for _ in range(1000)} == {"on_time"}


def test_a_keyframe_may_be_too_old_to_go_on_with():
    lateness = Lateness()
    assert lateness.judge(OTHER, 1.1, 1 / FPS, 1.0) == "passed_by"
    assert lateness.judge(KEYFRAME, 1.0, 1 / FPS, 1.0) == "passed_by", "a newer one may be here already"
    assert lateness.judge(KEYFRAME, 0.0, 1 / FPS, 1.0) == "resumed"


def test_a_keyframe_that_never_comes_blinds_no_camera():
    """A stream that turns to intra refresh, or to keyframes that are far apart, in the very moment that it is late."""
    lateness = Lateness()
    assert lateness.judge(OTHER, 1.5, 1 / FPS, 1.0) == "passed_by"
    for number in range(10 * FPS):  # the interval that is known grows, since none comes
        pace = lateness.judge(OTHER, 0.0, 1 / FPS, 1.0 + number / FPS)
        if pace == "resumed":
            break
    assert 1.0 < number / FPS < 3.0
    assert lateness.judge(OTHER, 0.0, 1 / FPS, 3.0) == "on_time"
