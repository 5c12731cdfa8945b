"""A camera's view without a network: one thread, the newest frame, keyframes not too often, faults told once."""

import asyncio
import logging
import threading
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise

import av
import pytest

from streamer.errors import CameraUnknown
from streamer.live_view.camera_view import KEYFRAMES_APART
from streamer.live_view.encoder import Vp8Encoder
from streamer.live_view.messages import CLOCK_HZ
from streamer.live_view.view import LiveView
from streamer.telemetry.metrics import Metrics
from tests.streamer.live_view.viewers import NAMES, picture


@asynccontextmanager
async def view_of_door(metrics=None):
    live_view = LiveView(NAMES.get, metrics or Metrics())
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(live_view.run(), name="live view")
        await asyncio.sleep(0)
        yield live_view.view("door", 10.0)
        running.cancel()


def counted(metrics, outcome):
    labels = {"camera": "door", "outcome": outcome}
    return metrics.registry.get_sample_value("whosthere_view_frames_total", labels)


async def begun(view):
    """A viewer that waits for its first picture, and that wait."""
    viewer = view.admit()
    waiting = asyncio.ensure_future(viewer.take())
    await asyncio.sleep(0)
    return viewer, waiting


async def test_frames_that_nobody_looks_at_are_not_kept():
    metrics = Metrics()
    async with view_of_door(metrics) as view:
        viewer = view.admit()
        assert not view.looks, "it is not connected yet"
        view.taken(picture(0))
        waiting = asyncio.ensure_future(viewer.take())
        await asyncio.sleep(0)
        assert view.looks
        view.taken(picture(1))
        assert (await waiting).is_keyframe
        viewer.end("seen")
        assert not view.looks
        view.taken(picture(2))
        assert (counted(metrics, "encoded"), counted(metrics, "dropped")) == (1, 0)


async def test_the_newest_frame_is_encoded_where_the_encoder_is_late(monkeypatch):
    metrics, may_go, seen = Metrics(), threading.Event(), []
    encode = Vp8Encoder.encode

    def slow(self, image, media_time, keyframe):
        seen.append(threading.current_thread().name)
        assert may_go.wait(10)
        return encode(self, image, media_time, keyframe)

    monkeypatch.setattr(Vp8Encoder, "encode", slow)
    async with view_of_door(metrics) as view:
        viewer, waiting = await begun(view)
        frames = [picture(number) for number in range(6)]
        view.taken(frames[0])
        while not seen:
            await asyncio.sleep(0.01)
        for frame in frames[1:]:
            view.taken(frame)
        may_go.set()
        await waiting
        last = await viewer.take()
        assert abs(last.pts - frames[5].captured_s * CLOCK_HZ) < 100
        assert (counted(metrics, "encoded"), counted(metrics, "dropped")) == (2, 4)
        assert set(seen) == {"view-door_0"}
        viewer.end("seen")


async def test_whoever_asks_again_and_again_gets_two_keyframes_a_second_at_most():
    async with view_of_door() as view:
        viewer, waiting = await begun(view)
        frames = [replace(picture(0), number=number, captured_s=100 + number / 20) for number in range(61)]
        view.taken(frames[0])
        packets = [await waiting]
        for frame in frames[1:]:
            view.want_keyframe()
            view.taken(frame)
            packets.append(await viewer.take())
        times = [packet.pts for packet in packets if packet.is_keyframe]
        assert len(times) == 6
        assert min(late - early for early, late in pairwise(times)) >= KEYFRAMES_APART
        viewer.end("seen")


async def test_whoever_comes_has_a_keyframe_at_once():
    async with view_of_door() as view:
        first, waiting = await begun(view)
        view.taken(picture(0))
        await waiting
        for number in range(1, 4):
            viewer, waiting = await begun(view)
            view.taken(picture(number))
            assert (await waiting).is_keyframe
            assert (await first.take()).is_keyframe
            viewer.end("seen")
        first.end("seen")


async def test_a_frame_that_is_not_later_is_left_out():
    """A wall clock has no part in it; a camera that is opened again might."""
    metrics = Metrics()
    async with view_of_door(metrics) as view:
        viewer, waiting = await begun(view)
        early, late = picture(0), picture(1)
        view.taken(late)
        await waiting
        view.taken(early)
        while not counted(metrics, "dropped"):
            await asyncio.sleep(0.01)
        view.taken(picture(2))
        assert (await viewer.take()).pts > late.captured_s * CLOCK_HZ
        viewer.end("seen")


@pytest.mark.parametrize("fault", [av.error.ExternalError(1, "no"), av.codec.codec.UnknownCodecError("libvpx")])
async def test_a_picture_that_cant_be_encoded_is_told_once_and_the_next_ones_go_on(monkeypatch, caplog, fault):
    metrics, left = Metrics(), [fault] * 3
    encode = Vp8Encoder.encode

    def broken(self, image, media_time, keyframe):
        if left:
            raise left.pop()
        return encode(self, image, media_time, keyframe)

    monkeypatch.setattr(Vp8Encoder, "encode", broken)
    caplog.set_level(logging.WARNING)
    async with view_of_door(metrics) as view:
        viewer, waiting = await begun(view)
        for number in range(3):
            view.taken(picture(number))
            while counted(metrics, "failed") <= number:
                await asyncio.sleep(0.01)
        view.taken(picture(3))
        assert (await waiting).is_keyframe
        viewer.end("seen")
    told = [record for record in caplog.records if getattr(record, "code", None) == "view_failed"]
    assert len(told) == 1
    assert "camera door" in told[0].getMessage()


async def test_whoever_comes_when_the_service_stops_is_sent_away():
    live_view = LiveView(NAMES.get, Metrics())
    viewer = live_view.view("door", 10.0).admit()
    assert await viewer.take() is None
    assert viewer.why_over == "the service stops"


async def test_the_end_of_the_service_ends_viewers_and_threads():
    metrics = Metrics()
    async with view_of_door(metrics) as view:
        viewer, waiting = await begun(view)
        view.taken(picture(0))
        await waiting
    assert (viewer.over.is_set(), viewer.why_over, view.looks) == (True, "the service stops", False)
    async with asyncio.timeout(30):
        while any(thread.name.startswith("view-") for thread in threading.enumerate()):
            await asyncio.sleep(0.01)


def test_nobody_is_admitted_to_the_view_of_a_camera_that_was_removed():
    live_view = LiveView({}.get, Metrics())
    before = live_view.view("door", 10.0)
    live_view.removed("door")
    with pytest.raises(CameraUnknown, match="camera door was removed"):
        before.admit()
    assert live_view.view("door", 10.0) is not before
