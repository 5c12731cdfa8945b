"""A live stream that is decoded slower than it comes: what is passed by, and that the newest is soon looked at."""

import pytest

from streamer.ingest.decode_gate.lateness import UNKNOWN_S, Lateness
from streamer.ingest.decode_gate.picture_kind import PictureKind

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
        pace = lateness.judge(kind, now_s - came_s, keyframe_s)
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


def test_it_begins_again_with_a_keyframe_alone():
    paces = [pace for pace, _ in played(3.0 / FPS)]
    for before, number in zip(paces, range(1, len(paces)), strict=False):
        if before == "passed_by" and paces[number] != "passed_by":
            assert paces[number] == "resumed"
            assert number % FPS == 0


def test_before_its_keyframes_are_known_it_may_be_later():
    lateness = Lateness()
    assert lateness.judge(OTHER, UNKNOWN_S, None) == "on_time"
    assert lateness.judge(OTHER, UNKNOWN_S + 0.1, None) == "passed_by"
    assert lateness.judge(KEYFRAME, UNKNOWN_S, None) == "passed_by", "a newer one may be here already"
    assert lateness.judge(KEYFRAME, 0.0, None) == "resumed"
