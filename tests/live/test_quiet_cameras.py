"""Quiet cameras over RTSP: they sleep, wake for a walker, are probed in plain words, and stall as fast as ever."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from streamer.errors import StreamStalled
from streamer.ingest.decode_gate.gate import GateReport
from streamer.ingest.frame import Frame
from streamer.ingest.probe import probe
from streamer.ingest.source import open_source
from streamer.ingest.stream import SourceHooks
from streamer.motion.attention import Attention
from streamer.settings import CameraSettings
from tests.live.servers import RtspServer, unused_port
from tests.streamer.ingest.clips import camera_threads, drain
from tests.streamer.ingest.hall import ENTERS_S, FPS, KINDS, LEAVES_S, encoded

pytestmark = pytest.mark.live

USUAL = ("h264-vbr", "h265-open-b", "h264-cbr")


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[RtspServer]:
    folder = tmp_path_factory.mktemp("halls")
    clips = {kind: encoded(folder, kind) for kind in (*USUAL, "h264-4s-b", "h264-refresh")}
    with RtspServer(unused_port(), clips, stalling={"stalls": (clips["h264-vbr"], 7.5)}) as server:
        yield server
    assert camera_threads() == []


@dataclass
class Watched:
    frames: list[Frame] = field(default_factory=list)
    reports: list[GateReport] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)  # how long each frame was under way
    longest_silence_s: float = 0.0

    def sum(self, name: str) -> float:
        return sum(getattr(report, name) for report in self.reports)


async def watch(url: str, seconds: float) -> Watched:
    """As the service does, from the clip's start; nobody is followed."""
    loop, seen = asyncio.get_running_loop(), Watched()
    camera = CameraSettings(url=url, fps=FPS)
    async with open_source("hall", camera, url, 0, SourceHooks(gated=seen.reports.append), Attention()) as source:
        async with asyncio.timeout(seconds + 20):
            while not seen.frames or seen.frames[-1].captured_s - seen.frames[0].captured_s < seconds:
                frame = await source.take()
                seen.longest_silence_s = max(seen.longest_silence_s, source.silent_s)
                seen.frames.append(frame)
                seen.late_s.append(loop.time() - frame.captured_s)
    return seen


async def test_a_quiet_camera_sleeps_and_a_walker_wakes_it(server):
    """All at once: most of this is waiting."""
    everyone = await asyncio.gather(*(watch(server.url(kind), LEAVES_S) for kind in USUAL))
    for kind, seen in zip(USUAL, everyone, strict=True):
        start_s = seen.frames[0].captured_s
        assert seen.sum("kept") > FPS, kind
        assert {report.watch.way for report in seen.reports if report.is_asleep} == {KINDS[kind][2]}
        walk = [f for f in seen.frames if f.captured_s - start_s > ENTERS_S and f.moved is not None and f.moved.any]
        assert walk[0].captured_s - start_s < ENTERS_S + 1.5, kind
        assert len(walk) > FPS / 2, kind


async def test_probes_say_how_each_is_watched_and_what_that_costs(server):
    kinds = (*USUAL, "h264-4s-b", "h264-refresh")
    found = await asyncio.gather(
        *(probe(server.url(k), CameraSettings(url=server.url(k)), watch_s=5) for k in kinds),
        probe(server.url(USUAL[0]), CameraSettings(url="x"), watch_s=0.5),
    )
    reports = [one.report for one in found]
    assert [report.watch_way for report in reports] == [*(KINDS[kind][2] for kind in kinds), None]
    assert "keyframes alone are decoded" in reports[0].watch
    assert "a keyframe (I-frame) every second" in reports[3].watch
    assert reports[4].watch_reason == "intra_refresh"
    assert "not known yet" in reports[5].watch
    for report in reports[:2]:
        assert report.keyframe_s == pytest.approx(1, abs=0.2)
        assert report.decode_ms_per_s is not None
        assert report.quiet_decode_ms_per_s is not None
        assert 0 < report.quiet_decode_ms_per_s < report.decode_ms_per_s
    assert reports[4].quiet_decode_ms_per_s == reports[4].decode_ms_per_s


async def test_a_camera_that_stops_while_it_sleeps_is_silent_from_its_last_packet_on(server):
    url, reports, silences = server.url("stalls"), [], []
    camera = CameraSettings(url=url, fps=FPS, read_timeout_s=1.5)
    hooks = SourceHooks(gated=reports.append, decoded=silences.append)
    async with open_source("hall", camera, url, 0, hooks, Attention()) as source:
        with pytest.raises(StreamStalled):
            async with asyncio.timeout(30):
                await drain(source)
        assert 1.4 < source.silent_s < 4
    assert any(report.is_asleep for report in reports)
    assert sorted(silences)[len(silences) // 2] < 0.2, "what was kept is heard, too"
