"""Real H.264 and H.265 through the gate before the decoder: which way is chosen, and that what comes out is whole."""

from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import pytest

from streamer.ingest import picture_decoder
from streamer.ingest.address import address
from streamer.ingest.decode_gate.gate import DecodeGate, GateReport
from streamer.ingest.decode_gate.turns import Turns
from streamer.ingest.hardware.acceleration import Acceleration
from streamer.ingest.pacing import Clock
from streamer.ingest.packet_reader import Instant
from streamer.ingest.picture_decoder import PictureDecoder
from streamer.ingest.picture_trouble import PictureTrouble
from streamer.ingest.stream import SourceHooks
from streamer.motion.attention import Attention
from streamer.motion.moved import Moved
from streamer.settings import CameraSettings
from tests.streamer.ingest.hall import ENTERS_S, FPS, KINDS, LEAVES_S, Plain, encoded, luma_of, walks


@pytest.fixture(scope="module")
def halls(tmp_path_factory):
    folder = tmp_path_factory.mktemp("halls")
    return lambda kind, form="mp4": encoded(folder, kind, form)


@dataclass
class Seen:
    """A picture that came out: when, by the stream's time; and of which packet it is said to be."""

    pts: int
    at_s: float
    out_s: float
    came: Instant
    luma: bytes = field(repr=False)


@dataclass
class Run:
    seen: list[Seen] = field(default_factory=list)
    reports: list[GateReport] = field(default_factory=list)
    failures: int = 0
    way: str = ""

    def count(self, name: str) -> int:
        return sum(getattr(report, name) for report in self.reports)


def run(clip: Path, *, slow: float = 0.0, acceleration: Acceleration | None = None) -> Run:
    """In the stream's own time; a picture with the walker in it moves. slow: each takes so many times as long as it is
    shown for, in a hall in which something always moves."""
    done, now = Run(), [0.0]
    clock = Clock(unix_s=lambda: now[0] + 1e9, monotonic_s=lambda: now[0])

    def failed(_code: str) -> None:
        done.failures += 1

    gate = DecodeGate(Attention(), 0.0, done.reports.append)
    where = address("hall", CameraSettings(url=str(clip)), str(clip))
    with av.open(str(clip)) as container:
        video = container.streams.video[0]
        context = video.codec_context
        context.thread_type, context.copy_opaque = av.codec.context.ThreadType.NONE, True
        context.flags |= av.codec.context.Flags.low_delay
        decoder = PictureDecoder(
            where,
            context,
            clock,
            SourceHooks(failed=failed),
            PictureTrouble(),
            acceleration,
            is_clip=True,
            gate=gate,
            late_s=lambda _, came: now[0] - came.monotonic_s,
        )
        for number, packet in enumerate(container.demux(video)):
            came_s = number / FPS
            now[0] = max(now[0], came_s) if slow else came_s
            for frame, _ in decoder.decode(packet, Instant(came_s + 1e9, came_s)):
                now[0] += slow / FPS
                at_s = frame.pts * float(frame.time_base)
                done.seen.append(Seen(frame.pts, at_s, now[0], frame.opaque or Instant(0, 0), luma_of(frame)))
                gate.looked(Moved(np.full((3, 3), bool(slow) or walks(at_s))), now[0])
            if now[0] < ENTERS_S:
                done.way = gate.watch.way
        assert decoder.decoded == len(done.seen)
        assert decoder.decoded + decoder.skipped == number
    gate.finish(now[0])
    return done


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_is_watched_as_it_allows_and_a_walker_wakes_it_in_time(halls, kind):
    clip = halls(kind)
    plain, done = Plain.of(clip), run(clip)
    assert done.failures == 0
    assert done.way == KINDS[kind][2]
    assert [seen.pts for seen in done.seen] == sorted({seen.pts for seen in done.seen}), "lost order, or shown twice"
    assert all(seen.luma == plain.luma[seen.pts] for seen in done.seen), "not what a plain decoder makes of it"
    walk = [seen for seen in done.seen if walks(seen.at_s)]
    assert walk[0].out_s - ENTERS_S < 1.3
    missing = round((LEAVES_S - ENTERS_S) * FPS) - len(walk)
    assert missing <= {"h264-cbr": FPS, "h265-cbr": FPS, "h264-4s-b": 2, "h265-4s-b": 2}.get(kind, 1)
    assert (done.count("kept") > FPS, done.count("skipped") > FPS) == {
        "all": (False, False),
        "reference": (False, True),
        "keyframes": (True, False),
    }[done.way]


@pytest.mark.parametrize("kind", ["h264-vbr", "h264-open-b", "h265-vbr", "h265-open-b"])
def test_a_decoder_that_is_too_slow_goes_on_at_a_keyframe_and_what_it_shows_is_whole(halls, kind):
    clip = halls(kind)
    plain, done = Plain.of(clip), run(clip, slow=3.0)
    assert done.failures == 0
    assert done.count("late") > 3 * FPS
    assert [seen.pts for seen in done.seen] == sorted({seen.pts for seen in done.seen}), "lost order, or shown twice"
    assert all(seen.luma == plain.luma[seen.pts] for seen in done.seen), "not what a plain decoder makes of it"
    known = [seen for seen in done.seen if seen.out_s > 5.0]  # how far apart its keyframes are
    assert max(seen.out_s - seen.came.monotonic_s for seen in known) < 1.5 + 3 / FPS


@pytest.mark.parametrize("kind", ["h264-vbr", "h264-vbr-b"])
def test_what_was_kept_is_of_the_moment_at_which_it_came(halls, kind):
    done = run(halls(kind))
    late = [seen for seen in done.seen if seen.out_s - seen.came.monotonic_s > 2 / FPS]
    assert late, "nothing was caught up on"
    assert len({seen.came for seen in done.seen}) == len(done.seen)


def test_a_raw_stream_without_timestamps_is_whole(halls):
    """libav's parser gives it packets without pts; those of B-frames can't be put in order after a gap."""
    clip = halls("h264-vbr", "h264")
    with av.open(str(clip)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    assert packets[0].is_keyframe
    assert run_untimed(clip, "keyframes")
    assert run_untimed(halls("h264-vbr-b", "h264"), "reference")


def run_untimed(clip: Path, way: str) -> bool:
    """Packets stripped of what libav made up for them."""
    now, shown = [0.0], []
    clock = Clock(monotonic_s=lambda: now[0])
    gate = DecodeGate(Attention(), 0.0, lambda _: None)
    where = address("hall", CameraSettings(url=str(clip)), str(clip))
    with av.open(str(clip)) as container:
        plain = [luma_of(frame) for frame in container.decode(video=0)]
    with av.open(str(clip)) as container:
        video = container.streams.video[0]
        decoder = PictureDecoder(
            where, video.codec_context, clock, SourceHooks(), PictureTrouble(), is_clip=True, gate=gate
        )
        ways = set()
        for number, packet in enumerate(container.demux(video)):
            now[0] = number / FPS
            packet.pts = packet.dts = None
            for frame, _ in decoder.decode(packet, Instant(0, now[0])):
                shown.append(luma_of(frame))
                gate.looked(Moved(np.full((3, 3), walks(now[0]))), now[0])
            ways.add(gate.watch.way)
    order = iter(plain)
    assert all(luma in order for luma in shown), "a picture twice, out of order, or another one"
    return way in ways


@pytest.mark.parametrize("kind", [None, "cuda"])
def test_what_a_device_may_decode_takes_nobodys_turn(halls, monkeypatch, kind):
    """A driver that hangs would keep it for good, and all other cameras with it."""
    turns = Turns(1)
    monkeypatch.setattr(picture_decoder, "TURNS", turns)
    acceleration = Acceleration("hall", "none", lambda used: None)
    acceleration.kind = kind
    with ThreadPoolExecutor(1) as thread:
        with turns.turn():
            running = thread.submit(run, halls("h264-vbr"), acceleration=acceleration)
            waits = bool(wait([running], 1.0 if kind is None else 60.0).not_done)
        assert running.result().failures == 0
    assert waits == (kind is None)
