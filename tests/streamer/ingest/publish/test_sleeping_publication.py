"""A publisher's quiet pictures through the gate before the decoder, with what moves seen by the gate behind it."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import av
import pytest

from streamer.errors import StreamInvalid
from streamer.ingest.decode_gate.picture_kind import KindReader
from streamer.ingest.packet_reader import Instant
from streamer.ingest.publish.publication import EncodedPicture, PublishedStream
from streamer.motion.attention import Attention
from tests.streamer.ingest.hall import ENTERS_S, FPS, LEAVES_S, Plain, encoded
from tests.streamer.ingest.publish.published import Shown, show

TICKS = 90_000


@pytest.fixture(scope="module")
def halls(tmp_path_factory):
    folder = tmp_path_factory.mktemp("halls")
    return lambda kind: encoded(folder, kind, "ts")


def published(clip) -> list[EncodedPicture]:
    """As a publisher sends it, each picture at its time."""
    with av.open(str(clip)) as container:
        video = container.streams.video[0]
        kinds = KindReader(video.codec_context.name, b"")
        packets = [packet for packet in container.demux(video) if packet.size]
        return [
            EncodedPicture(
                bytes(packet),
                packet.pts,
                kinds.read(memoryview(packet), is_keyframe=packet.is_keyframe).is_entry,
                Instant(1e9 + number / FPS, number / FPS),
            )
            for number, packet in enumerate(packets)
        ]


def shown(kind: str, pictures: Sequence[EncodedPicture], attention: Attention | None = None) -> Shown:
    return show(
        PublishedStream(kind[:4].replace("h265", "hevc"), "rtsp tcp"), pictures, attention=attention or Attention()
    )


def of(done: Shown, fate: str) -> int:
    return sum(getattr(report, fate) for report in done.gated)


@pytest.mark.parametrize("kind", ["h264-vbr", "h264-open-b", "h265-open-b"])
def test_it_sleeps_and_wakes_with_whole_pictures(halls, kind):
    clip = halls(kind)
    plain, done = Plain.of(clip), shown(kind, published(clip))
    assert done.counts == {}
    assert of(done, "kept") > FPS
    order = [frame.image._frame.pts for frame in done.frames]
    assert order == sorted(set(order))
    assert all(luma.tobytes() == plain.luma[pts] for pts, luma in zip(order, done.lumas(), strict=True))
    first = min(plain.luma)
    walk = [pts for pts in order if ENTERS_S <= (pts - first) / TICKS < LEAVES_S]
    assert len(walk) >= (LEAVES_S - ENTERS_S - 1) * FPS
    assert max(b - a for a, b in pairwise(walk)) <= TICKS / FPS + 1, "a gap while somebody walks"


def test_a_gap_while_it_sleeps_is_counted_and_no_wrong_picture_is_shown(halls):
    clip = halls("h264-vbr")
    pictures = published(clip)
    gap = next(n for n, picture in enumerate(pictures) if picture.at.monotonic_s > 7.2 and not picture.is_keyframe)
    lossy = [*pictures[:gap], replace(pictures[gap + 1], is_after_gap=True), *pictures[gap + 2 :]]
    done = shown("h264-vbr", lossy)
    known = set(Plain.of(clip).luma.values())
    assert all(luma.tobytes() in known for luma in done.lumas())
    assert done.counts[StreamInvalid.code] == 1
    assert done.counts["held_back"] >= 5
    assert of(done, "kept") > FPS
    assert done.frames[-1].captured_s == pytest.approx(pictures[-1].at.monotonic_s)


def test_whoever_watches_gets_all_that_was_kept_each_of_its_own_time(halls):
    pictures = published(halls("h264-vbr"))
    quiet = [picture for picture in pictures if picture.at.monotonic_s < ENTERS_S - 0.1]

    class Watched(Attention):
        def is_held(self, now_s: float) -> bool:
            return now_s >= 7.5

    done = shown("h264-vbr", quiet, Watched())
    assert of(done, "caught_up") >= 5
    times = [frame.captured_s for frame in done.frames if frame.captured_s >= 7.01]
    assert [round(b - a, 3) for a, b in pairwise(times)] == [round(1 / FPS, 3)] * (len(times) - 1)
    assert len(times) > FPS


@pytest.mark.parametrize("kind", ["h264-vbr", "h264-open-b", "h265-open-b"])
def test_a_machine_that_is_too_slow_shows_what_is_new_and_shows_it_whole(halls, kind):
    """Somebody watches, so that it does not sleep; each picture takes twice as long as it may."""
    clip = halls(kind)
    stream = PublishedStream(kind[:4].replace("h265", "hevc"), "rtsp tcp")
    attention, lags = Attention(), []
    attention.hold(math.inf)
    slow_s = 2 / FPS
    done = show(stream, published(clip), attention=attention, slow_s=slow_s)
    known = set(Plain.of(clip).luma.values())
    assert all(luma.tobytes() in known for luma in done.lumas())
    assert of(done, "late") > 2 * FPS
    assert len(done.frames) >= len(published(clip)) / 4
    shown_s = 0.0
    for frame in done.frames:
        shown_s = max(shown_s, frame.captured_s) + slow_s
        lags.append(shown_s - frame.captured_s)
    assert max(lags[-10:]) < 2, "later than when the first keyframes' interval was learnt"
