"""What waits between a publisher and its camera: bounded by bytes, by age, by frames; and how it ends."""

import threading

import av
import pytest

from streamer.errors import StreamLost, StreamStalled
from streamer.ingest.packet_reader import Instant
from streamer.ingest.publish.publication import (
    LONGEST_WAIT_S,
    MOST_BYTES,
    MOST_FRAMES,
    DecodedPicture,
    EncodedPicture,
    Publication,
    PublishedStream,
)


def publication() -> Publication:
    return Publication(PublishedStream("h264", "rtsp tcp"), lambda: None)


def picture(number: int, at_s: float, size: int = 10, *, keyframe: bool = False, damaged: bool = False):
    return EncodedPicture(bytes(size), number, keyframe, Instant(1e9 + at_s, at_s), is_damaged=damaged)


def taken(published: Publication) -> list[tuple[int, bool]]:
    """(pts, whether something before it is missing) of all that waits."""
    out = []
    while published.has_more:
        found = published.take(0.0)
        assert isinstance(found, EncodedPicture)
        out.append((found.pts, found.is_after_gap))
    return out


def test_pictures_come_out_in_order():
    published = publication()
    for number in range(5):
        published.put(picture(number, number / 25, keyframe=number == 0))
    assert taken(published) == [(number, False) for number in range(5)]
    assert published.dropped == 0
    assert published.take(0.0) is None


@pytest.mark.parametrize("size", [MOST_BYTES // 4, MOST_BYTES // 10 + 1])
def test_what_has_no_room_is_left_out_up_to_the_next_keyframe_which_says_so(size):
    published = publication()
    room = MOST_BYTES // size
    for number in range(room + 3):
        published.put(picture(number, 0.0, size, keyframe=number == 0))
    assert taken(published) == [(number, False) for number in range(room)]
    published.put(picture(100, 0.0))
    assert not published.has_more
    published.put(picture(101, 0.0, keyframe=True))
    published.put(picture(102, 0.0))
    assert taken(published) == [(101, True), (102, False)]
    assert published.dropped == 4


def test_what_is_old_gives_way_to_a_keyframe():
    published = publication()
    for number in range(60):
        published.put(picture(number, number / 25, keyframe=number % 50 == 0))
    assert len(taken(published)) == 60  # 50 came 2 s after 0, and no more
    for number in range(100, 160):
        published.put(picture(number, number / 25, keyframe=number == 100))
    late_s = 100 / 25 + LONGEST_WAIT_S + 0.1
    published.put(picture(160, late_s, keyframe=True, damaged=True))
    assert published.dropped == 0
    published.put(picture(161, late_s, keyframe=True))
    published.put(picture(162, late_s))
    assert taken(published) == [(161, True), (162, False)]
    assert published.dropped == 61


def test_of_decoded_frames_the_newest_stay():
    published = publication()
    frames = [DecodedPicture(av.VideoFrame(16, 16, "yuv420p"), Instant(0.0, float(n))) for n in range(9)]
    for frame in frames:
        published.put(frame)
    assert [published.take(0.0) for _ in range(MOST_FRAMES)] == frames[-MOST_FRAMES:]
    assert published.dropped == 9 - MOST_FRAMES


def test_the_end_comes_after_what_waits_and_the_first_one_counts():
    published = publication()
    published.put(picture(1, 0.0, keyframe=True))
    published.end(StreamLost("gone"))
    published.end(StreamStalled("silent"))
    published.put(picture(2, 0.0))
    assert published.is_over
    assert taken(published) == [(1, False)]
    with pytest.raises(StreamLost):
        published.take(0.0)


def test_nobody_waits_in_an_abandoned_one():
    published = publication()
    published.put(picture(1, 0.0, keyframe=True))
    published.abandon(StreamLost("left"))
    assert not published.has_more
    published = publication()
    ends: list[BaseException] = []

    def take() -> None:
        try:
            published.take(30.0)
        except StreamLost as end:
            ends.append(end)

    thread = threading.Thread(target=take)
    thread.start()
    published.abandon(StreamLost("left"))
    thread.join(10.0)
    assert [str(end) for end in ends] == ["left"]
