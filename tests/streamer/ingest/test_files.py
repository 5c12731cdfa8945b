"""Clips through the real decoder: pace, sampling, laps, and every way in which a file can be bad."""

import asyncio
import os
import random
import threading
from pathlib import Path

import pytest

from streamer.errors import CameraNotFound, StreamHasNoVideo, StreamInvalid, StreamStalled
from streamer.ingest.source import open_source
from streamer.ingest.stream import StreamEnded
from streamer.settings import CameraSettings
from tests.streamer.ingest.clips import (
    Played,
    SimulatedTime,
    assert_no_camera_thread,
    camera_threads,
    drain,
    index_of,
    play,
    write_clip,
    write_sound,
)


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """50 frames, 25 a second."""
    return write_clip(tmp_path_factory.mktemp("clips") / "fifty.mp4")


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert_no_camera_thread()


# Pace, sampling, laps


async def test_fastest_gives_every_frame_in_order_and_then_ends(clip):
    played = await play(clip, first_number=7)
    assert [index_of(frame) for frame in played.frames] == list(range(50))
    assert [frame.number for frame in played.frames] == list(range(7, 57))
    assert not played.counts
    assert isinstance(played.end, StreamEnded)
    assert not isinstance(played.end, StreamInvalid)


@pytest.mark.parametrize(("fps", "want"), [(25, 50), (10, 20), (5, 10), (12.5, 25), (1, 2)])
async def test_sampling_gives_the_exact_count(clip, fps, want):
    played = await play(clip, fps=fps)
    assert len(played.frames) == want
    assert not played.counts


async def test_real_clips_are_sampled_exactly(shared):
    friends = await play(shared / "video" / "friends1_720p_6s.mp4", fps=10)
    assert (len(friends.frames), friends.counts) == (57, {})
    street = await play(shared / "video" / "street_crowd_1080p_4s.mp4", fps=25)
    assert (len(street.frames), street.counts) == (105, {})


async def test_fastest_waits_for_a_slow_taker(clip):
    camera = CameraSettings(url=str(clip), fps=25, pace="fastest")
    played = Played()
    async with asyncio.timeout(10), open_source("door", camera, str(clip), 0, played.hooks()) as source:
        first = await source.take()
        await asyncio.sleep(0.05)  # time for a decoder that did not wait to be far ahead
        assert source.silent_s == 0
        assert [first.number, (await source.take()).number, (await source.take()).number] == [0, 1, 2]
    assert not played.counts


async def test_realtime_waits_as_long_as_the_clip_lasts_and_says_when_frames_were_due(clip):
    time, played = SimulatedTime(), Played()
    async with asyncio.timeout(10), time.source(clip, played.hooks(), fps=25) as source:
        with pytest.raises(StreamEnded):
            await drain(source, played.frames)
    assert sum(time.waited_s) == pytest.approx(49 / 25)
    assert len(played.frames) + played.counts["dropped"] == 50
    for frame in played.frames:
        assert frame.captured_s == pytest.approx(1000.0 + index_of(frame) / 25)
        assert frame.captured_at == pytest.approx(1e9 + frame.captured_s)
        assert frame.number == index_of(frame)
    assert index_of(played.frames[-1]) == 49


async def test_realtime_keeps_the_newest_frame_for_a_slow_taker(clip):
    time, played = SimulatedTime(), Played()
    async with asyncio.timeout(10), time.source(clip, played.hooks(), fps=25) as source:
        while played.counts["dropped"] < 49:
            await asyncio.sleep(0.001)
        assert index_of(await source.take()) == 49
        assert source.next_number == 50
        with pytest.raises(StreamEnded):
            await source.take()


async def test_a_loop_goes_on_without_a_seam(clip):
    played = await play(clip, loop=True, fps=25, most=120)
    assert [index_of(frame) for frame in played.frames] == [n % 50 for n in range(120)]
    assert [frame.number for frame in played.frames] == list(range(120))
    start = played.frames[0].captured_s
    assert [frame.captured_s - start for frame in played.frames] == pytest.approx([n / 25 for n in range(120)])


async def test_a_loop_is_sampled_across_its_seam(tmp_path):
    uneven = write_clip(tmp_path / "27.mp4", 27)
    played = await play(uneven, loop=True, fps=10, most=60)
    steps = [b.captured_s - a.captured_s for a, b in zip(played.frames, played.frames[1:], strict=False)]
    assert max(steps) < 0.121
    assert sum(steps) == pytest.approx(59 / 10, abs=0.04)


async def test_info(clip):
    camera = CameraSettings(url=str(clip))
    async with open_source("door", camera, str(clip)) as source:
        info = source.info
    assert (info.codec, info.width, info.height, info.fps, info.transport) == ("h264", 160, 96, 25, "file")


@pytest.mark.parametrize(("codec", "name"), [("libx265", "a.mp4"), ("mpeg4", "a.avi"), ("mjpeg", "a.mkv")])
async def test_other_codecs_and_containers(tmp_path, codec, name):
    path = tmp_path / name
    if codec == "mjpeg":
        write_clip(path, 10, codec="libx264")
    else:
        write_clip(path, 10, codec=codec)
    assert len((await play(path)).frames) == 10


async def test_a_name_with_a_colon_and_a_file_url(tmp_path):
    path = write_clip(tmp_path / "http:12 30.mp4", 3)
    assert len((await play(path)).frames) == 3
    assert len((await play(path.as_uri())).frames) == 3


# Bad files


def damaged(clip: Path, to: Path, first: float, last: float) -> Path:
    """The file with noise from one share of its pictures' bytes to another."""
    data = bytearray(clip.read_bytes())
    pictures = data.index(b"mdat") + 4
    start, stop = (pictures + int((len(data) - pictures) * share) for share in (first, last))
    data[start:stop] = random.Random(5).randbytes(stop - start)
    to.write_bytes(data)
    return to


async def test_a_truncated_clip_plays_to_where_it_breaks(tmp_path):
    whole = write_clip(tmp_path / "whole.mp4", 100, noise=True)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])
    played = await play(cut)
    assert 50 < len(played.frames) < 70
    assert played.counts["stream_invalid"] >= 1
    assert str(played.end) == "ended"


async def test_a_truncated_clip_without_its_index_is_refused(tmp_path):
    whole = write_clip(tmp_path / "whole.mp4", 100, noise=True, fast_start=False)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])
    with pytest.raises(StreamInvalid, match=r"camera door: .*cut\.mp4 is no video that can be read"):
        await play(cut)


async def test_a_clip_damaged_in_the_middle_goes_on_after_it(tmp_path):
    whole = write_clip(tmp_path / "whole.mp4", 100, noise=True)
    played = await play(damaged(whole, tmp_path / "damaged.mp4", 0.4, 0.5))
    assert played.counts["stream_invalid"] >= 1
    assert 80 < len(played.frames) <= 100
    assert str(played.end) == "ended"


@pytest.mark.parametrize("loop", [False, True])
async def test_a_clip_in_which_nothing_can_be_decoded_is_refused(tmp_path, loop):
    whole = write_clip(tmp_path / "whole.mp4", 100, noise=True)
    with pytest.raises(StreamInvalid, match="has no frame that can be decoded"):
        await play(damaged(whole, tmp_path / "damaged.mp4", 0, 1), loop=loop)


@pytest.mark.parametrize("name", ["notes.mp4", "notes.txt", "notes.srt"])
async def test_a_text_file_as_a_clip(tmp_path, name):
    (tmp_path / name).write_text("[1] once upon a time\n" * 200)
    with pytest.raises(StreamInvalid, match=r"camera door: .*notes") as refused:
        await play(tmp_path / name)
    assert "\n" not in str(refused.value)


async def test_an_empty_file(tmp_path):
    (tmp_path / "a.mp4").touch()
    with pytest.raises(StreamInvalid, match="is empty"):
        await play(tmp_path / "a.mp4")


async def test_a_missing_file_a_folder_and_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CameraNotFound, match="no such file"):
        await play(tmp_path / "nowhere.mp4")
    for nothing in ("file:///a%00b.mp4", f"/{'a' * 300}.mp4", f"file://{tmp_path}/%00"):
        with pytest.raises(CameraNotFound, match="can't be opened"):
            await play(nothing)
    with pytest.raises(StreamInvalid, match="is no plain file"):
        await play(tmp_path)
    with pytest.raises(StreamInvalid, match="is no plain file"):
        await play(tmp_path / "pipe")


async def test_a_missing_usb_camera():
    with pytest.raises(CameraNotFound, match="camera door: usb:97"):
        await play("usb:97")


async def test_sound_alone(tmp_path):
    with pytest.raises(StreamHasNoVideo):
        await play(write_sound(tmp_path / "sound.m4a"))


@pytest.mark.parametrize(("form", "name"), [("h264", "two.h264"), ("mpegts", "two.ts")])
async def test_a_frame_size_that_changes_in_mid_stream(tmp_path, form, name):
    parts = [
        write_clip(tmp_path / f"{width}.part", 20, size=(width, height), form=form)
        for width, height in ((160, 96), (320, 192), (96, 160))
    ]
    both = tmp_path / name
    both.write_bytes(b"".join(part.read_bytes() for part in parts))
    played = await play(both)
    sizes = [(frame.width, frame.height) for frame in played.frames]
    assert sizes == [(160, 96)] * 20 + [(320, 192)] * 20 + [(96, 160)] * 20
    for frame in played.frames[::10]:
        assert frame.image.bgr().shape == (frame.height, frame.width, 3)
        assert frame.image.luma().shape == (frame.height, frame.width)
        assert frame.image.scaled_rgb_planes(64, 48).shape == (3, 48, 64)
    times = [frame.captured_s for frame in played.frames]
    assert times == sorted(set(times))


# Leaving


@pytest.mark.parametrize("pace", ["realtime", "fastest"])
async def test_leaving_ends_the_thread_at_once_wherever_it_waits(clip, pace):
    camera = CameraSettings(url=str(clip), pace=pace, loop=True)
    async with asyncio.timeout(30):
        async with open_source("door", camera, str(clip)) as source:
            await source.take()
            assert camera_threads() == ["camera-door"]
        assert_no_camera_thread()
        with pytest.raises(StreamEnded):
            await drain(source)


async def test_cancelling_while_it_opens_leaves_no_thread(clip):
    camera = CameraSettings(url=str(clip))

    async def enter() -> None:
        async with open_source("door", camera, str(clip)) as source:
            await source.take()
            await asyncio.Event().wait()

    for steps in range(6):
        task = asyncio.create_task(enter())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert_no_camera_thread()


async def test_twenty_openings_leave_nothing_open(clip):
    await play(clip, most=3)
    assert_no_camera_thread()
    files, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(20):
        await play(clip, most=3)
    assert_no_camera_thread()
    assert len(os.listdir("/proc/self/fd")) == files
    assert threading.active_count() == threads


async def test_a_read_that_libav_cannot_interrupt_stalls_within_the_limit(clip, monkeypatch):
    """As from a network disk that has gone: the thread hangs, the taker doesn't."""
    released = threading.Event()
    camera = CameraSettings(url=str(clip), pace="fastest", fps=25, read_timeout_s=0.1)
    monkeypatch.setattr("streamer.ingest.libav_source.GRACE_S", 0.1)
    async with asyncio.timeout(30), open_source("door", camera, str(clip)) as source:
        monkeypatch.setattr("streamer.ingest.decoder.Decoder._await_packet", lambda *_: released.wait())
        with pytest.raises(StreamStalled, match=r"sent no video for 0\.1 s"):
            await drain(source)
        released.set()
